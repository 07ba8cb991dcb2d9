#!/bin/sh
# Tests and measures on a GPU, also on a bare machine without a network: docs/gpu.md.
#
#   sh tools/gpu.sh pack            puts GoogleTest's sources into .gpu/, which goes along
#   sh tools/gpu.sh test | bench    builds and does one of them
#   sh tools/gpu.sh run             builds and does both, within nine minutes
#
# PYTHON names the Python that has torch, NumPy and pybind11; else it is python3. Results go to the
# folder OUT too, where that is set.
set -eu
cd "$(dirname "$0")/.."
start=$(date +%s)

if [ "${1:-}" = pack ]; then
  sources=${GOOGLETEST:-/usr/src/googletest}
  if [ ! -f "$sources/googletest/src/gtest-all.cc" ]; then
    echo "No sources of GoogleTest in $sources: install googletest, or name them with GOOGLETEST" >&2
    exit 1
  fi
  rm -rf .gpu/googletest
  mkdir -p .gpu
  cp -r "$sources" .gpu/googletest
  rm -rf .gpu/googletest/googletest/test .gpu/googletest/googlemock/test
  du -sh .gpu/googletest
  exit
fi

python=$(command -v "${PYTHON:-python3}") || {
  echo "No such Python: ${PYTHON:-python3}" >&2
  exit 1
}
PATH="$(dirname "$python"):$PATH"  # pip puts cmake and ninja there
export PATH PYTHONUNBUFFERED=1
tests="test_device test_transfer test_device_streams test_to_numpy_async test_gpu_exchange"

build() {
  targets=$*
  set -- -DPython_EXECUTABLE="$python"
  ! command -v ninja >/dev/null || set -- "$@" -G Ninja
  if [ -d .gpu/googletest ]; then
    set -- "$@" -DFETCHCONTENT_SOURCE_DIR_GOOGLETEST="$PWD/.gpu/googletest"
  else
    echo "No .gpu/googletest (sh tools/gpu.sh pack): taking the system's GoogleTest, or the network's"
  fi
  cmake --preset gpu "$@"
  # shellcheck disable=SC2086  # several words
  cmake --build --preset gpu --parallel "${JOBS:-$(nproc)}" --target $targets
  echo "Built in $(($(date +%s) - start)) s"
}

run_tests() {
  "$python" tools/gpu_tests.py build/gpu/tests
}

# Gets as many seconds.
bench() {
  rm -f build/gpu/gpu.json
  status=0
  PYTHONPATH=build/gpu/benchmarks/gpu "$python" benchmarks/gpu.py \
    --seconds "$1" --results build/gpu/gpu.json --page docs/gpu.md || status=$?
  if [ -n "${OUT:-}" ] && [ -f build/gpu/gpu.json ]; then
    cp build/gpu/gpu.json docs/gpu.md "$OUT"
  fi
  return $status
}

case "${1:-}" in
  test)
    # shellcheck disable=SC2086
    build $tests
    run_tests
    ;;
  bench)
    build gpu_transfers
    bench 400
    ;;
  run)
    # shellcheck disable=SC2086
    build $tests gpu_transfers
    failed=""
    run_tests || failed="$failed test"
    bench $((540 - $(date +%s) + start)) || failed="$failed bench"
    echo "All of it took $(($(date +%s) - start)) s"
    if [ -n "$failed" ]; then
      echo "Failed:$failed" >&2
      exit 1
    fi
    ;;
  *)
    sed -n '4,6s/^# *//p' tools/gpu.sh >&2
    exit 2
    ;;
esac
