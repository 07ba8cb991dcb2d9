#!/bin/sh
# Prints the path of a Clang that has libFuzzer and AddressSanitizer; nothing where there is none.
for name in clang++ clang++-21 clang++-20 clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 \
  clang++-14; do
  command -v "$name" >/dev/null || continue
  if echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    "$name" -x c++ -fsanitize=fuzzer,address,undefined -o /dev/null - 2>/dev/null; then
    command -v "$name"  # the whole path: CMake starts anew where the name looks like another
    break
  fi
done
