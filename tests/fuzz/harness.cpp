#include "fuzz/harness.h"

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <sstream>
#include <stdexcept>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NDTORCH_FUZZ_ASAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define NDTORCH_FUZZ_ASAN
#endif
#if defined(NDTORCH_FUZZ_ASAN)
#include <sanitizer/asan_interface.h>
#if __has_include(<sanitizer/allocator_interface.h>)
#include <sanitizer/allocator_interface.h>
#else  // GCC has the function without the header.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();
#endif
#endif

#if defined(NDTORCH_FUZZ_ASAN)
// Leaks are found by the harness: CPython and LibTorch keep much to the end. A refused allocation is
// an exception. The rest is for speed, under an interpreter that allocates all the time.
extern "C" const char* __asan_default_options();
const char* __asan_default_options() {
  return "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0:"
         "malloc_context_size=4:quarantine_size_mb=16";
}
#endif

namespace fuzz {

namespace {

std::vector<conversion*>& conversions() {
  static auto* const all = new std::vector<conversion*>;  // printed at the exit
  return *all;
}

void print_case() {
  if (conversion::current != nullptr) std::cerr << "\nconversion: " << conversion::current->name();
  if (description::current) std::cerr << "\ncase: " << description::current();
  std::cerr << "\n====" << std::endl;
}

}  // namespace

#if defined(NDTORCH_FUZZ_ASAN)
extern "C" void __asan_on_error();
void __asan_on_error() { print_case(); }
#endif

void fail(const std::string& what) {
  std::cerr << "\n==== a difference: " << what;
  print_case();
  std::abort();
}

conversion::conversion(const char* name) : name_(name) { conversions().push_back(this); }

std::string conversion::table() {
  std::ostringstream text;
  char line[128];
  std::snprintf(line, sizeof(line), "%-28s %12s %12s\n", "conversion", "made", "refused");
  text << line;
  std::vector<conversion*> sorted = conversions();
  std::sort(sorted.begin(), sorted.end(), [](const conversion* a, const conversion* b) {
    return std::strcmp(a->name_, b->name_) < 0;
  });
  for (const conversion* one : sorted) {
    std::snprintf(line, sizeof(line), "%-28s %12llu %12llu\n", one->name_,
                  static_cast<unsigned long long>(one->made_),
                  static_cast<unsigned long long>(one->refused_));
    text << line;
  }
  return text.str();
}

listener::listener() {
  if (!wanted) return;
  static const auto* const make = new py::object([] {
    const py::dict scope;
    py::exec(
        "from torch.utils._python_dispatch import TorchDispatchMode\n"
        "class Listener(TorchDispatchMode):\n"
        "    heard = None\n"
        "    def __torch_dispatch__(self, function, types, args=(), kwargs=None):\n"
        "        self.heard = str(function)\n"
        "        return function(*args, **(kwargs or {}))\n",
        scope);
    return py::object(scope["Listener"]);
  }());
  mode_ = (*make)();
  mode_.attr("__enter__")();
}

listener::~listener() {
  if (!mode_) return;
  {
    const py::error_scope pending;  // which is for attempt() to find
    mode_.attr("__exit__")(py::none(), py::none(), py::none());
  }
  const py::object heard = mode_.attr("heard");
  if (!heard.is_none()) fail("a mode saw an operator: " + heard.cast<std::string>());
}

outcome of_current_exception() {
  try {
    throw;
  } catch (const py::error_already_set& error) {
    const std::string text = error.what();
    for (const auto& [type, kind] :
         {std::pair(PyExc_TypeError, raised::type), std::pair(PyExc_ValueError, raised::value),
          std::pair(PyExc_BufferError, raised::buffer),
          std::pair(PyExc_MemoryError, raised::memory),
          std::pair(PyExc_OverflowError, raised::overflow),
          std::pair(PyExc_IndexError, raised::index),
          std::pair(PyExc_RuntimeError, raised::runtime)}) {
      if (error.matches(type)) return {kind, text};
    }
    return {raised::other_python, text};
  } catch (const py::type_error& error) {
    return {raised::type, error.what()};
  } catch (const py::value_error& error) {
    return {raised::value, error.what()};
  } catch (const py::buffer_error& error) {
    return {raised::buffer, error.what()};
  } catch (const py::index_error& error) {
    return {raised::index, error.what()};
  } catch (const std::bad_alloc& error) {
    return {raised::memory, error.what()};
  } catch (const py::cast_error& error) {
    fail(std::string("pybind11's own error came through: ") + error.what());
  } catch (const std::runtime_error& error) {
    return {raised::runtime, error.what()};
  } catch (const std::exception& error) {
    fail(std::string("an exception of a type that is not documented: ") + error.what());
  }
}

block::block(std::size_t size) : size_(size) {
  const std::size_t rounded = (size + 7) / 8 * 8;  // what AddressSanitizer can tell apart
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, rounded + 2 * margin) != 0) throw std::bad_alloc();
  data_ = static_cast<std::uint8_t*>(memory) + margin;
  std::memset(memory, 0xa5, rounded + 2 * margin);
#if defined(NDTORCH_FUZZ_ASAN)
  __asan_poison_memory_region(data_ - margin, margin);
  __asan_poison_memory_region(data_ + size_, rounded + margin - size_);
#endif
  ++alive;
}

block::~block() {
  const std::size_t rounded = (size_ + 7) / 8 * 8;
#if defined(NDTORCH_FUZZ_ASAN)
  __asan_unpoison_memory_region(data_ - margin, rounded + 2 * margin);
#endif
  const auto untouched = [](std::uint8_t byte) { return byte == 0xa5; };
  if (!std::all_of(data_ - margin, data_, untouched) ||
      !std::all_of(data_ + size_, data_ + rounded + margin, untouched)) {
    fail("memory beside the array's was written");
  }
  std::free(data_ - margin);
  --alive;
}

bool block::contains(const void* begin, std::size_t count) const {
  const auto* const first = static_cast<const std::uint8_t*>(begin);
  return first >= data_ && first <= data_ + size_ &&
         count <= static_cast<std::size_t>(data_ + size_ - first);
}

bool block::is_as_kept() const {
  return kept_.size() == size_ && (size_ == 0 || std::memcmp(kept_.data(), data_, size_) == 0);
}

py::object block::capsule(block* memory) {
  return py::capsule(memory, [](void* owned) { delete static_cast<block*>(owned); });
}

std::string hex(const void* data, std::size_t size) {
  std::string text;
  char digits[3];
  for (std::size_t i = 0; i < std::min<std::size_t>(size, 512); ++i) {
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<const unsigned char*>(data)[i]);
    text += digits;
  }
  return text + (size > 512 ? "..." : "");
}

std::size_t heap_in_use() {
#if defined(NDTORCH_FUZZ_ASAN)
  return __sanitizer_get_current_allocated_bytes();
#else
  return mallinfo2().uordblks;
#endif
}

}  // namespace fuzz
