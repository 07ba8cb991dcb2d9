#include "faults/failing_allocators.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <pybind11/pybind11.h>
#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#define NPY_TARGET_VERSION NPY_1_22_API_VERSION
#include <malloc.h>
#include <numpy/arrayobject.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>

namespace faults {
namespace {

struct plan {
  long left = -1;  // allocations until one fails; negative: none does
  bool onwards = false;
  std::optional<kind> spared;
  bool happened = false;
  kind what = kind::python;
};

thread_local plan current;
std::atomic<long> in_use{0};

bool fails(kind what) {
  if (current.left < 0 || what == current.spared) return false;
  if (current.left > 0) {
    --current.left;
    return false;
  }
  if (current.happened) return current.onwards && what == current.what;
  current.happened = true;
  current.what = what;
  return true;
}

void* counted(void* memory) {
  if (memory != nullptr) ++in_use;
  return memory;
}

void uncount(const void* memory) {
  if (memory != nullptr) --in_use;
}

// ----- Python

PyMemAllocatorEx original[3];

void* python_malloc(void* context, std::size_t size) {
  if (fails(kind::python)) return nullptr;
  auto* const to = static_cast<PyMemAllocatorEx*>(context);
  return counted(to->malloc(to->ctx, size));
}
void* python_calloc(void* context, std::size_t count, std::size_t size) {
  if (fails(kind::python)) return nullptr;
  auto* const to = static_cast<PyMemAllocatorEx*>(context);
  return counted(to->calloc(to->ctx, count, size));
}
void* python_realloc(void* context, void* memory, std::size_t size) {
  if (fails(kind::python)) return nullptr;
  auto* const to = static_cast<PyMemAllocatorEx*>(context);
  void* const moved = to->realloc(to->ctx, memory, size);
  if (memory == nullptr) counted(moved);
  return moved;
}
void python_free(void* context, void* memory) {
  uncount(memory);
  auto* const to = static_cast<PyMemAllocatorEx*>(context);
  to->free(to->ctx, memory);
}

// ----- NumPy

void* numpy_malloc(void*, std::size_t size) {
  return fails(kind::numpy) ? nullptr : counted(std::malloc(size));
}
void* numpy_calloc(void*, std::size_t count, std::size_t size) {
  return fails(kind::numpy) ? nullptr : counted(std::calloc(count, size));
}
void* numpy_realloc(void*, void* memory, std::size_t size) {
  return fails(kind::numpy) ? nullptr : std::realloc(memory, size);
}
void numpy_free(void*, void* memory, std::size_t) {
  uncount(memory);
  std::free(memory);
}
PyDataMem_Handler numpy_handler = {
    "faults", 1, {nullptr, numpy_malloc, numpy_calloc, numpy_realloc, numpy_free}};

// ----- LibTorch

class libtorch_allocator final : public c10::Allocator {
 public:
  explicit libtorch_allocator(c10::Allocator* original_one) : original_(original_one) {}

  at::DataPtr allocate(std::size_t count) override {
    // The words of c10/core/impl/alloc_cpu.cpp.
    TORCH_CHECK(!fails(kind::libtorch),
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate ", count,
                " bytes. Error code 12 (Cannot allocate memory)");
    at::DataPtr memory = original_->allocate(count);
    if (memory.get() == nullptr) return memory;
    ++in_use;
    return {memory.get(), memory.release_context(), &release, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* target, const void* source, std::size_t count) const override {
    default_copy_data(target, source, count);
  }

  static inline at::DeleterFnPtr original_release = nullptr;

 private:
  static void release(void* memory) {
    uncount(memory);
    original_release(memory);
  }
  c10::Allocator* original_;
};

}  // namespace

void install() {
  for (const PyMemAllocatorDomain domain : {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ}) {
    PyMemAllocatorEx* const to = &original[domain];
    PyMem_GetAllocator(domain, to);
    PyMemAllocatorEx wrapped = {to, python_malloc, python_calloc, python_realloc, python_free};
    PyMem_SetAllocator(domain, &wrapped);
  }
  if (_import_array() < 0) throw pybind11::error_already_set();
  const auto capsule = pybind11::reinterpret_steal<pybind11::object>(
      PyCapsule_New(&numpy_handler, "mem_handler", nullptr));
  const auto before =
      pybind11::reinterpret_steal<pybind11::object>(PyDataMem_SetHandler(capsule.ptr()));
  if (!before) throw pybind11::error_already_set();

  c10::Allocator* const usual = c10::GetCPUAllocator();
  libtorch_allocator::original_release = usual->raw_deleter();
  static libtorch_allocator wrapped(usual);
  c10::SetCPUAllocator(&wrapped, /*priority=*/100);
}

failing::failing(long first, bool onwards, std::optional<kind> spared) {
  current = plan{};
  current.onwards = onwards;
  current.spared = spared;
  current.left = first;
}
failing::~failing() { stop(); }
void failing::stop() { current.left = -1; }
bool failing::happened() const { return current.happened; }
kind failing::what() const { return current.what; }

long blocks_in_use() { return in_use; }

const char* name_of(kind one) {
  switch (one) {
    case kind::python:
      return "Python's";
    case kind::numpy:
      return "NumPy's";
    case kind::cpp:
      return "C++'s";
    case kind::libtorch:
      return "LibTorch's";
    case kind::libc:
      return "libc's";
  }
  return "";
}

}  // namespace faults

// ----- C++ and the C library, for the whole program

namespace {

void* allocate(std::size_t size) {
  void* const memory = faults::fails(faults::kind::cpp) ? nullptr : std::malloc(size);
  return faults::counted(memory);
}
void* allocate(std::size_t size, std::align_val_t alignment) {
  void* const memory = faults::fails(faults::kind::cpp)
                           ? nullptr
                           : memalign(static_cast<std::size_t>(alignment), size);
  return faults::counted(memory);
}
void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void release(void* memory) {
  faults::uncount(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return or_throw(allocate(size)); }
void* operator new[](std::size_t size) { return or_throw(allocate(size)); }
void* operator new(std::size_t size, std::align_val_t to) { return or_throw(allocate(size, to)); }
void* operator new[](std::size_t size, std::align_val_t to) { return or_throw(allocate(size, to)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

extern "C" [[gnu::visibility("default")]] int posix_memalign(void** memory, std::size_t alignment,
                                                             std::size_t size) noexcept {
  if (faults::fails(faults::kind::libc)) return ENOMEM;
  *memory = memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
