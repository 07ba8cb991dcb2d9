// Storages over read-only memory: reads share it, the first write gets its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StorageImpl.h>
#include <ndtorch/detail/owner.h>

#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

#if __has_include(<c10/core/StorageMaterializer.h>)

// LibTorch calls this before it hands out the first pointer to write through. That can be inside
// a parallel region, on a thread without the GIL, while a thread that has it waits for the region
// to end: the object behind is therefore let go without waiting for the GIL, by the interpreter,
// a little later.
inline void move_to_own_memory(c10::StorageImpl* storage) {
  const c10::DeviceGuard guard(storage->device());
  c10::Allocator* const allocator = c10::GetAllocator(storage->device_type());
  at::DataPtr own = storage->nbytes() > 0 ? allocator->clone(storage->data(), storage->nbytes())
                                          : allocator->allocate(0);
  storage->clear_materializer();  // set_data_ptr would come back here
  at::DataPtr shared = storage->set_data_ptr(std::move(own));
  if (interpreter_is_gone() || PyGILState_Check() != 0) return;
  void* const object = shared.release_context();
  const auto release = [](void* released) -> int {
    Py_DECREF(static_cast<PyObject*>(released));
    return 0;
  };
  if (Py_AddPendingCall(release, object) != 0) release_reference(object);  // its queue (32) is full
}

inline void make_copy_on_write(c10::StorageImpl& storage) {
  storage.set_materializer(&move_to_own_memory);
}

#else

// LibTorch before 2.13 has no such hook: a write throws and leaves the object as it is.
inline void make_copy_on_write(c10::StorageImpl& storage) {
  storage.set_throw_on_mutable_data_ptr();
}

#endif

}  // namespace detail
}  // namespace ndtorch
