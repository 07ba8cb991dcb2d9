// Storages over read-only arrays: reads share the array's memory, the first write gets its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/StorageImpl.h>
#include <ndtorch/detail/owner.h>

#include <cstring>
#include <utility>

namespace ndtorch {
namespace detail __attribute__((visibility("hidden"))) {

#if __has_include(<c10/core/StorageMaterializer.h>)

// LibTorch calls this before it hands out the first pointer to write through. That can be inside a
// parallel region, on a thread without the GIL, while a thread that has it waits for the region to
// end: the array is therefore let go without waiting for the GIL, by the interpreter, a little later.
inline void move_to_own_memory(c10::StorageImpl* storage) {
  const std::size_t nbytes = storage->nbytes();
  at::DataPtr own = c10::GetCPUAllocator()->allocate(nbytes);
  if (nbytes > 0) std::memcpy(own.get(), storage->data(), nbytes);
  storage->clear_materializer();  // set_data_ptr would come back here
  at::DataPtr shared = storage->set_data_ptr(std::move(own));
  if (interpreter_is_gone() || PyGILState_Check() != 0) return;
  void* const array = shared.release_context();
  const auto release = [](void* object) -> int {
    Py_DECREF(static_cast<PyObject*>(object));
    return 0;
  };
  if (Py_AddPendingCall(release, array) != 0) release_reference(array);  // its queue (32) is full
}

inline void make_copy_on_write(c10::StorageImpl& storage) {
  storage.set_materializer(&move_to_own_memory);
}

#else

// LibTorch before 2.13 has no such hook: a write throws and leaves the array as it is.
inline void make_copy_on_write(c10::StorageImpl& storage) {
  storage.set_throw_on_mutable_data_ptr();
}

#endif

}  // namespace detail
}  // namespace ndtorch
