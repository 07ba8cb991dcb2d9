// Storages over read-only memory: reads share it, the first write gets its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StorageImpl.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>
#include <c10/util/safe_numerics.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/tensor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#if __has_include(<pthread.h>)
#include <pthread.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

#if __has_include(<c10/core/StorageMaterializer.h>)

// The lock that a thread takes to move a storage, or to see whose memory a storage is on. All modules
// share one, since they look at each other's tensors. No thread waits for it with the GIL, because a
// device's allocator may ask for the GIL while the lock is held. The first call, which whoever makes a
// movable storage does, needs the GIL.
inline std::mutex& moving() {
  static std::atomic<std::mutex*> shared{nullptr};
  if (std::mutex* const found = shared.load(std::memory_order_acquire)) return *found;
  auto* const found = static_cast<std::mutex*>(shared_by_modules("ndtorch.moving", [] {
    static std::mutex* made = nullptr;  // for good: writes may come late in an exit
    if (made == nullptr) {
      made = new std::mutex;
#if __has_include(<pthread.h>)
      // A fork waits for the lock: in the child process nobody would give it back.
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

// The storage's bytes in memory of LibTorch's, where they are when this returns.
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
  set_device(bytes, device);
  bytes.ndim = 1;
  bytes.size_of[0] = static_cast<std::int64_t>(nbytes);
  set_dense_strides(bytes, 1);
  bytes.data = made.get();
  at::Tensor target = borrow_tensor(bytes);
  bytes.data = const_cast<void*>(storage.data());
  // For the device alone: this is the middle of some other operator.
  at::_ops::copy_::redispatch(
      c10::DispatchKeySet(c10::computeDispatchKey(at::kByte, at::kStrided, device)), target,
      borrow_tensor(bytes), /*non_blocking=*/true);
  const c10::impl::VirtualGuardImpl streams(device.type());
  streams.synchronizeStream(streams.getStream(device));
  return made;
}

// The memory that a storage has moved to, and the memory that it has left. The left memory stays until
// the storage dies: an operator may have taken a pointer for reading before it asked for one to write
// through. The new memory is a storage of its own, so that others can keep it without the left one.
struct moved_memory {
  at::Storage own;
  at::DataPtr left;

  // nullptr where the storage hasn't moved. (One that another module has moved isn't recognised.)
  static moved_memory* of(const at::DataPtr& data) {
    return data.get_deleter() == &drop ? static_cast<moved_memory*>(data.get_context()) : nullptr;
  }

  static void drop(void* self) {
    const std::unique_ptr<moved_memory> moved(static_cast<moved_memory*>(self));
    const at::Device device = moved->own.device();
    if (device.is_cpu()) return;
    // record_stream() works only for memory of its own allocator, and other streams may still use this
    // memory: so the whole device is waited for.
    std::optional<gil_release> without_gil;
    if (may_touch_objects()) without_gil.emplace();
    try {
      c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
    } catch (const std::exception&) {  // a device that fails has nobody at work
    }
  }
};

// LibTorch calls this before it hands out the first pointer to write through. That can be inside
// a parallel region, on several threads at once and without the GIL, while a thread that has it
// waits for the region to end: it never waits for the GIL where it came without.
inline void move_to_own_memory(c10::StorageImpl* storage) {
  std::optional<gil_release> without_gil;  // taken back when the lock is gone
  const std::unique_lock lock = may_touch_objects() ? keep_in_place() : std::unique_lock(moving());
  if (!storage->has_materializer()) return;  // another thread has moved it
  const at::Device device = storage->device();
  if (!device.is_cpu() && may_touch_objects()) without_gil.emplace();  // while the device copies
  auto moved = std::make_unique<moved_memory>();
  moved->own =
      at::Storage(at::Storage::use_byte_size_t(), storage->nbytes(), copy_of_memory(*storage));
  void* const data = const_cast<void*>(moved->own.data());
  at::DataPtr& left = moved->left;
  left = at::DataPtr(data, moved.release(), &moved_memory::drop, device);
  // In this order: a thread that finds no hook must find the new memory. It looks without a lock.
  std::swap(left, storage->_mutable_data_ptr_no_checks());
#if defined(__SANITIZE_THREAD__)  // which knows no fence; g++ warns
  std::atomic_signal_fence(std::memory_order_release);
#else
  std::atomic_thread_fence(std::memory_order_release);
#endif
  storage->clear_materializer();
}

inline void make_copy_on_write(c10::StorageImpl& storage) {
  moving();
  storage.set_materializer(&move_to_own_memory);
}

// Whether another thread may be moving the storage, now or at any time.
inline bool may_move(const c10::StorageImpl& storage) { return storage.has_materializer(); }

// What holds the object that the storage was made of, also where a first write has left that.
inline at::DataPtr& hold_of(c10::StorageImpl& storage) {
  at::DataPtr& data = storage._mutable_data_ptr_no_checks();
  moved_memory* const moved = moved_memory::of(data);
  return moved != nullptr ? moved->left : data;
}

// The storage to keep for others: the moved one, without the memory that a first write has left.
// Otherwise each array that becomes a tensor again, and is written to, would keep all arrays before it.
inline const at::Storage& home_of(const at::Storage& storage) {
  const moved_memory* const moved =
      moved_memory::of(storage.unsafeGetStorageImpl()->_mutable_data_ptr_no_checks());
  return moved != nullptr ? moved->own : storage;
}

#else

// LibTorch before 2.13 has no such hook: a write throws and leaves the object as it is.
inline void make_copy_on_write(c10::StorageImpl& storage) {
  storage.set_throw_on_mutable_data_ptr();
}

inline bool may_move(const c10::StorageImpl&) { return false; }
inline std::unique_lock<std::mutex> keep_in_place() { return {}; }
inline at::DataPtr& hold_of(c10::StorageImpl& storage) {
  return storage._mutable_data_ptr_no_checks();
}
inline const at::Storage& home_of(const at::Storage& storage) { return storage; }

#endif

// The object whose memory a storage is on (as holder_of() has it) and the memory's address, both read
// at one moment, since another thread may make the first write at any time. Both stay valid as long as
// the storage lives, even after the storage has moved. Needs the GIL.
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

// Whether who gave the memory sees what is written to it.
inline bool shows_writes(const at::Storage& storage) {
  PyObject* const holder = with_python_errors([&] { return memory_of(storage).holder; });
  return holder == nullptr || (may_be_written(holder) && !is_capsule_named(holder, copied_capsule));
}

}  // namespace detail
}  // namespace ndtorch
