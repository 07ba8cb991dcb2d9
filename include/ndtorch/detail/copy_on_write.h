// Storages over read-only memory: reads share it, the first write gets its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StorageImpl.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <ndtorch/detail/error.h>
#include <ndtorch/detail/interpreter.h>
#include <ndtorch/detail/owner.h>
#include <ndtorch/detail/strided_view.h>
#include <ndtorch/detail/tensor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#if __has_include(<pthread.h>)
#include <pthread.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

#if __has_include(<c10/core/StorageMaterializer.h>)

// The objects that first writes have left, and that wait for the interpreter to let them go.
struct first_writes {
  std::mutex mutex;
  std::vector<PyObject*> objects;
  bool is_asked = false;  // whether the interpreter will call release_waiting()

  static first_writes& instance() {
    static auto* const only = [] {
      auto* const made = new first_writes;  // for good: writes may come late in an exit
#if __has_include(<pthread.h>)
      // A fork waits for the lock: in the child process nobody would give it back.
      const auto lock = [] { instance().mutex.lock(); };
      const auto unlock = [] { instance().mutex.unlock(); };
      pthread_atfork(lock, unlock, unlock);
#endif
      return made;
    }();
    return *only;
  }
};

// Taken by who moves a storage, and by who looks whose memory it is. Modules look at each other's
// tensors, so all have one lock. Nobody asks for the GIL under it. The first call, by who makes a
// storage that can be moved, needs the GIL.
inline std::mutex& moving() {
  static std::atomic<std::mutex*> shared{nullptr};
  if (std::mutex* const found = shared.load(std::memory_order_acquire)) return *found;
  auto* const found = static_cast<std::mutex*>(shared_by_modules("ndtorch.moving", [] {
    static std::mutex* made = nullptr;  // for good, and waited for by a fork, as above
    if (made == nullptr) {
      made = new std::mutex;
#if __has_include(<pthread.h>)
      const auto lock = [] { made->lock(); };
      const auto unlock = [] { made->unlock(); };
      pthread_atfork(lock, unlock, unlock);
#endif
    }
    return static_cast<void*>(made);
  }));
  shared.store(found, std::memory_order_release);
  return *found;
}

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

// The storage's bytes in memory of LibTorch's. On a device they are there for what its current stream
// does from now on.
inline at::DataPtr copy_of_memory(const c10::StorageImpl& storage) {
  const at::Device device = storage.device();
  const c10::DeviceGuard guard(device);
  c10::Allocator* const allocator = c10::GetAllocator(device.type());
  TORCH_CHECK(allocator != nullptr, "can't write to read-only memory on ", device,
              ", where LibTorch has no allocator. Write to a copy, with tensor.clone().");
  const std::size_t nbytes = storage.nbytes();
  if (nbytes == 0) return allocator->allocate(0);
  if (device.is_cpu()) return allocator->clone(storage.data(), nbytes);
  // Not clone(), which CUDA does on the default stream (CUDACachingAllocator's copy_data, 2.13).
  at::DataPtr made = allocator->allocate(nbytes);
  strided_view bytes;
  bytes.dtype = at::kByte;
  bytes.device = device;
  bytes.ndim = 1;
  bytes.size_of[0] = static_cast<std::int64_t>(nbytes);
  set_dense_strides(bytes);
  bytes.data = made.get();
  at::Tensor target = borrow_tensor(bytes);
  bytes.data = const_cast<void*>(storage.data());
  // For the device alone: this is the middle of some other operator.
  at::_ops::copy_::redispatch(
      c10::DispatchKeySet(c10::computeDispatchKey(at::kByte, at::kStrided, device)), target,
      borrow_tensor(bytes), /*non_blocking=*/true);
  return made;
}

// What was copied is its owner's again, who may give it to others: the device has to be done with it.
inline void wait_for_copy(at::Device device) {
  if (device.is_cpu()) return;
  std::optional<gil_release> without_gil;
  if (may_touch_objects()) without_gil.emplace();
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream(device));
}

// LibTorch calls this before it hands out the first pointer to write through. That can be inside
// a parallel region, on several threads at once and without the GIL, while a thread that has it
// waits for the region to end: the object behind is therefore let go without waiting for the GIL.
inline void move_to_own_memory(c10::StorageImpl* storage) {
  at::DataPtr shared;  // let go after the lock: that may run Python code
  {
    const std::scoped_lock lock(moving());
    if (!storage->has_materializer()) return;  // another thread has moved it
    shared = copy_of_memory(*storage);
    // In this order: a thread that finds no hook must find the new memory. It looks without a lock,
    // so it is this fence that holds the compiler to the order, as x86 holds itself.
    std::swap(shared, storage->_mutable_data_ptr_no_checks());
    std::atomic_signal_fence(std::memory_order_release);
    storage->clear_materializer();
  }
  wait_for_copy(shared.device());
  if (may_touch_objects()) return;
  if (const interpreter_claim claim; claim) release_later(shared.release_context());
}

inline void make_copy_on_write(c10::StorageImpl& storage) {
  moving();
  storage.set_materializer(&move_to_own_memory);
}

// Whether another thread may be moving the storage, now or at any time.
inline bool may_move(const c10::StorageImpl& storage) { return storage.has_materializer(); }

// Nobody moves a storage while the lock is held. Needs the GIL, which is given up while it waits: a
// first write may take long.
inline std::unique_lock<std::mutex> keep_in_place() {
  std::unique_lock<std::mutex> lock(moving(), std::try_to_lock);
  while (!lock) {
    {
      const gil_release without_gil;
      const std::scoped_lock until_free(moving());
    }
    lock.try_lock();
  }
  return lock;
}

#else

// LibTorch before 2.13 has no such hook: a write throws and leaves the object as it is.
inline void make_copy_on_write(c10::StorageImpl& storage) {
  storage.set_throw_on_mutable_data_ptr();
}

inline bool may_move(const c10::StorageImpl&) { return false; }
inline std::unique_lock<std::mutex> keep_in_place() { return {}; }

#endif

// Whose memory a storage is on, as holder_of() says it, and where it begins; both of one moment, though
// another thread may make the first write at any time. Needs the GIL: as long as it is kept, the
// memory and its holder stay, even if they are the storage's no more.
struct storage_memory {
  const void* data;
  PyObject* holder;
};

inline storage_memory memory_of(const at::Storage& storage) {
  const auto read = [&] { return storage_memory{storage.data(), holder_of(storage)}; };
  if (!may_move(*storage.unsafeGetStorageImpl())) return read();
  object_deleter();  // may run Python code the first time it is asked for: not under the lock
  const auto lock = keep_in_place();
  return read();
}

// Whether writing to the storage's memory is right as it stands: not where it is still that of a
// read-only object, which a first write leaves.
inline bool may_be_written(const at::Storage& storage) {
  PyObject* const holder = with_python_errors([&] { return memory_of(storage).holder; });
  return holder == nullptr || may_be_written(holder);
}

// A tensor's memory for others.
struct exported_memory {
  void* data;
  PyObject* holder;  // as above
  bool writable;
};

// The memory of a tensor that means what its memory says. Where it is read-only and `others_may_write`,
// the tensor gets memory of its own first. const_data_ptr() is the only access that leaves it shared.
inline exported_memory export_memory(const at::Tensor& tensor, bool others_may_write = false) {
  return with_python_errors([&]() -> exported_memory {
    const at::Storage& storage = tensor.storage();
    storage_memory memory = memory_of(storage);
    const bool writable =
        memory.holder == nullptr || others_may_write || may_be_written(memory.holder);
    if (writable) {
      memory.data = storage.mutable_data();
      // The memory of an array that became writable since it came has been left just now.
      if (memory.holder != nullptr) memory.holder = holder_of(storage);
    }
    if (tensor.numel() == 0) return {nullptr, memory.holder, writable};  // as LibTorch's data_ptr()
    if (memory.data == nullptr) {
      throw std::runtime_error(c10::str("can't export a tensor without memory. Got ",
                                        describe(tensor), ". Use Tensor.clone() first."));
    }
    const auto offset = static_cast<std::size_t>(tensor.storage_offset()) * tensor.itemsize();
    return {static_cast<char*>(const_cast<void*>(memory.data)) + offset, memory.holder, writable};
  });
}

}  // namespace detail
}  // namespace ndtorch
