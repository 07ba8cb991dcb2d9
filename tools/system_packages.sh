#!/bin/sh
# Installs what the build takes from the system and does not find: Python's headers and GoogleTest.
# Only where that needs no question: on a Debian, as root. Elsewhere the configure step says what is
# missing, and gets GoogleTest itself.
#
#   sh tools/system_packages.sh <python> [benchmarks]    and what the benchmarks take
set -eu

missing=""
[ -f /usr/include/gtest/gtest.h ] || [ -f /usr/local/include/gtest/gtest.h ] ||
  missing="$missing libgtest-dev"
"$1" -c '
import os, sysconfig
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
' || missing="$missing python3-dev"

if [ "${2:-}" = benchmarks ]; then
  [ -f /usr/include/benchmark/benchmark.h ] || [ -f /usr/local/include/benchmark/benchmark.h ] ||
    missing="$missing libbenchmark-dev"
  command -v valgrind >/dev/null || missing="$missing valgrind"
fi

[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] || exit 0
echo "Installing$missing"
# A failure is no reason to stop: the configure step has other ways.
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $missing; } \
  >/dev/null 2>&1 || echo "Could not install$missing; going on without"
