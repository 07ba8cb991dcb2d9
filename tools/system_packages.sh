#!/bin/sh
# Installs what the build takes from the system and does not find: Python's headers and GoogleTest.
# Only where that needs no question: on a Debian, as root. Elsewhere the configure step says what is
# missing, and gets GoogleTest itself.
#
#   sh tools/system_packages.sh <python> [benchmarks] [clang] [fuzz] [docs] [g++-12 clang++-19 ...]
#                                                                     and what these take
set -eu

python="$1"
shift
missing=""
[ -f /usr/include/gtest/gtest.h ] || [ -f /usr/local/include/gtest/gtest.h ] ||
  missing="$missing libgtest-dev"
"$python" -c '
import os, sysconfig
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
' || missing="$missing python3-dev"

for part; do
  case "$part" in
    benchmarks)
      [ -f /usr/include/benchmark/benchmark.h ] || [ -f /usr/local/include/benchmark/benchmark.h ] ||
        missing="$missing libbenchmark-dev"
      command -v valgrind >/dev/null || missing="$missing valgrind"
      ;;
    clang)
      # Debian calls a compiler that was asked for by its version clang++-16.
      command -v clang++ >/dev/null || ls /usr/bin/clang++-* >/dev/null 2>&1 ||
        missing="$missing clang"
      ;;
    docs)
      command -v doxygen >/dev/null || missing="$missing doxygen"
      ;;
    fuzz)
      # libFuzzer and the sanitizers are a package beside Debian's clang, named by its version.
      if [ -z "$(sh "$(dirname "$0")/clang_with_fuzzer.sh")" ]; then
        version=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-//p' | head -1)
        missing="$missing clang ${version:+libclang-rt-$version-dev}"
      fi
      ;;
    g++-* | clang++-*)
      # The package of clang++-19 is clang-19.
      command -v "$part" >/dev/null || missing="$missing $(echo "$part" | sed 's/^clang++/clang/')"
      ;;
    *)
      echo "$0: unknown: $part" >&2
      exit 1
      ;;
  esac
done

[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] || exit 0
echo "Installing$missing"
# shellcheck disable=SC2086  # several words
# A failure is no reason to stop: the configure step has other ways.
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $missing; } \
  >/dev/null 2>&1 || echo "Could not install$missing; going on without"
