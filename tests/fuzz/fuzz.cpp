// libFuzzer's entry points: an interpreter for the whole run, one case for each input, and a look at
// the heap now and then.
#define FUZZ_IMPORTS_NUMPY
#include <Python.h>
#include <pybind11/embed.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "fuzz/cases.h"

extern "C" int LLVMFuzzerInitialize(int*, char***);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace fuzz;

std::uint64_t cases = 0, heap_checks = 0;
std::chrono::steady_clock::time_point started;

void run(const std::uint8_t* data, std::size_t size) {
  input bytes(data, size);
  conversion::current = nullptr;
  const std::uint8_t kind = bytes.byte();
  listener::wanted = size % 4 == 3;
  try {
    if (kind < 160) {
      array_case(bytes);
    } else if (kind < 216) {
      dlpack_case(bytes);
    } else if (kind < 232) {
      cuda_array_case(bytes);
    } else {
      buffer_case(bytes);
    }
  } catch (const std::exception& error) {
    fail(std::string("the harness itself met ") + error.what());
  }
  if (PyErr_Occurred() != nullptr) fail("a Python error is pending after the case");
  if (block::alive != 0) fail("an array's memory is still held after the case");
  ++cases;
}

// The same case again and again: what makes the heap grow each time is lost. (Caches fill up, and
// grow less than each time, if many times at the start of the process.)
void check_heap(const std::uint8_t* data, std::size_t size) {
  ++heap_checks;
  run(data, size);
  std::size_t before = heap_in_use();
  for (int i = 0; i < 50; ++i) {
    run(data, size);
    if (i % 10 == 6) PyGC_Collect();
    const std::size_t now = heap_in_use();
    if (now <= before) return;
    before = now;
  }
  fail("each run of the case leaves memory behind: " + hex(data, size));
}

void print_figures() {
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  std::printf("\n%s\n%llu cases, %.0f a second, %llu of them looked at for leaks; differences: 0\n",
              conversion::table().c_str(), static_cast<unsigned long long>(cases),
              static_cast<double>(cases) / seconds.count(),
              static_cast<unsigned long long>(heap_checks));
  std::fflush(stdout);
}

bool import_numpy() { return _import_array() == 0; }

}  // namespace

int LLVMFuzzerInitialize(int*, char***) {
  // For the whole process: libFuzzer ends it with exit().
  new py::scoped_interpreter(/*init_signal_handlers=*/false);
  if (!import_numpy()) throw py::error_already_set();
  py::exec(
      "import gc, numpy, numpy.ma, ml_dtypes, torch, torch.utils._python_dispatch, warnings\n"
      "numpy.seterr(all='ignore')\n"
      "warnings.simplefilter('ignore')\n"
      "torch.set_num_threads(1)\n"
      "gc.collect(); gc.freeze()\n");
  dtypes();
  started = std::chrono::steady_clock::now();
  std::atexit(&print_figures);
  return 0;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run(data, size);
  if (cases % 64 == 0 || std::getenv("FUZZ_CHECK_HEAP") != nullptr) check_heap(data, size);
  return 0;
}
