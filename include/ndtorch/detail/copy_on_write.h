// Storages over read-only memory: reads share it, the first write gets its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/Exception.h>
#include <ndtorch/detail/interpreter.h>
#include <ndtorch/detail/owner.h>

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#if __has_include(<pthread.h>)
#include <pthread.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

#if __has_include(<c10/core/StorageMaterializer.h>)

// What all writes on all threads have in common.
struct first_writes {
  std::mutex moving;  // taken by who moves a storage

  // Objects that wait for the interpreter to let them go.
  std::mutex mutex;
  std::vector<PyObject*> objects;
  bool is_asked = false;  // whether the interpreter will call release_waiting()

  static first_writes& instance() {
    static auto* const only = [] {
      auto* const made = new first_writes;  // for good: writes may come late in an exit
#if __has_include(<pthread.h>)
      // A fork waits for the locks: in the child process nobody would give them back.
      const auto lock = [] { std::lock(instance().moving, instance().mutex); };
      const auto unlock = [] {
        instance().moving.unlock();
        instance().mutex.unlock();
      };
      pthread_atfork(lock, unlock, unlock);
#endif
      return made;
    }();
    return *only;
  }
};

inline int release_waiting(void*) {
  first_writes& waiting = first_writes::instance();
  std::vector<PyObject*> objects;
  {
    const std::scoped_lock lock(waiting.mutex);
    waiting.is_asked = false;
    objects.swap(waiting.objects);
  }
  for (PyObject* object : objects) Py_DECREF(object);
  return 0;
}

// Drops a reference without waiting for the GIL: the interpreter does it, a little later. It is
// asked once for many objects, since its queue is short (32 calls). Where that is full, the next
// object asks again.
inline void release_later(void* object) {
  first_writes& waiting = first_writes::instance();
  const std::scoped_lock lock(waiting.mutex);
  waiting.objects.push_back(static_cast<PyObject*>(object));
  if (!waiting.is_asked) waiting.is_asked = Py_AddPendingCall(&release_waiting, nullptr) == 0;
}

// LibTorch calls this before it hands out the first pointer to write through. That can be inside
// a parallel region, on several threads at once and without the GIL, while a thread that has it
// waits for the region to end: the object behind is therefore let go without waiting for the GIL.
inline void move_to_own_memory(c10::StorageImpl* storage) {
  at::DataPtr shared;  // let go after the lock: that may run Python code
  {
    const std::scoped_lock lock(first_writes::instance().moving);
    if (!storage->has_materializer()) return;  // another thread has moved it
    const c10::DeviceGuard guard(storage->device());
    c10::Allocator* const allocator = c10::GetAllocator(storage->device_type());
    TORCH_CHECK(allocator != nullptr, "can't write to read-only memory on ", storage->device(),
                ", where LibTorch has no allocator. Write to a copy, with tensor.clone().");
    shared = storage->nbytes() > 0 ? allocator->clone(storage->data(), storage->nbytes())
                                   : allocator->allocate(0);
    // In this order: a thread that finds no hook must find the new memory. It looks without a lock,
    // so it is this fence that holds the compiler to the order, as x86 holds itself.
    std::swap(shared, storage->_mutable_data_ptr_no_checks());
    std::atomic_signal_fence(std::memory_order_release);
    storage->clear_materializer();
  }
  if (may_touch_objects()) return;
  if (const interpreter_claim claim; claim) release_later(shared.release_context());
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
