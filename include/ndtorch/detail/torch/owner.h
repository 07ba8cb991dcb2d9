// Who keeps the memory alive: a tensor holds the Python object that its memory came from (through
// its storage), an array holds the storage it came from (through a capsule), and each can tell the
// other's hold.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/drop_queue.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <cstring>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Drops a reference from wherever the last tensor dies: any thread, with or without the GIL, also a
// subinterpreter's. It never waits. Where the interpreter has ended, the object stays.
inline void release_reference(void* object) {
  if (may_touch_objects()) {
    Py_DECREF(static_cast<PyObject*>(object));
  } else {
    drop_queue::instance().push(static_cast<PyObject*>(object));
  }
}

// The references that wait for the GIL, in the queue of whichever module came first.
inline std::atomic<const waiting_references*>& known_waiting_references() {
  static const waiting_references none;
  static std::atomic<const waiting_references*> known{&none};
  return known;
}

inline std::atomic<c10::DeleterFnPtr>& known_object_deleter() {
  static std::atomic<c10::DeleterFnPtr> known{nullptr};
  return known;
}

// Finds the deleter at the first conversion. It is a function of its own so that object_deleter(),
// which each conversion calls, stays short.
[[gnu::noinline]] inline c10::DeleterFnPtr find_object_deleter() {
  follow_interpreter();
  call_at_end([] { known_object_deleter() = nullptr; });
  const auto deleter =
      reinterpret_cast<c10::DeleterFnPtr>(shared_by_modules("ndtorch.object_deleter", [] {
        drop_queue::open();
        return reinterpret_cast<void*>(&release_reference);
      }));
  known_waiting_references() =
      static_cast<const waiting_references*>(shared_by_modules("ndtorch.waiting_references", [] {
        return static_cast<void*>(&drop_queue::instance().waiting());
      }));
  known_object_deleter().store(deleter, std::memory_order_release);
  return deleter;
}

// The deleter's address marks a storage over a Python object's memory. All extension modules use the
// deleter of the one that came first. Needs the GIL.
inline c10::DeleterFnPtr object_deleter() {
  const c10::DeleterFnPtr known = known_object_deleter().load(std::memory_order_acquire);
  return known != nullptr ? known : find_object_deleter();
}

// Memory that lives as long as `object`: an array, a memoryview, or a capsule with one of the
// names below. Takes a new reference. Needs the GIL.
inline at::DataPtr hold_object(void* data, PyObject* object, at::Device device) {
  const c10::DeleterFnPtr deleter = object_deleter();
  check_interpreter();
  Py_INCREF(object);
  at::DataPtr held(data, object, deleter, device);
  // The array has been read and is held. make_way() may run Python code, and other threads with it:
  // from here on that does no harm.
  const waiting_references& waiting = *known_waiting_references().load(std::memory_order_relaxed);
  if (waiting.count.load(std::memory_order_relaxed) != 0) waiting.make_way();
  return held;
}

// The object whose memory the storage shares (a borrowed reference). It is nullptr where the memory is
// LibTorch's own, from the start or since a first write. No other thread may make that first write
// during the call; memory_of() in copy_on_write.h sees to it. Needs the GIL.
inline PyObject* holder_of(const at::Storage& storage) {
  const at::DataPtr& data = storage.data_ptr();
  return data.get_deleter() == object_deleter() ? static_cast<PyObject*>(data.get_context())
                                                : nullptr;
}

// The names of the capsules that hold foreign memory say whether it may be written, and whether it is a
// copy that was made for us, where the producer's own stays as it is.
inline constexpr char writable_capsule[] = "ndtorch.writable";
inline constexpr char copied_capsule[] = "ndtorch.copied";
inline constexpr char read_only_capsule[] = "ndtorch.read_only";

inline bool is_capsule_named(PyObject* holder, const char* name) {
  return PyCapsule_CheckExact(holder) && std::strcmp(PyCapsule_GetName(holder), name) == 0;
}

// A DataPtr that keeps no object alive: its capsule says only whether the memory may be written. Needs
// the GIL.
inline at::DataPtr hold_nobody(void* data, bool writable, at::Device device) {
  static char nobody;  // a capsule can't be empty
  const auto capsule = py::reinterpret_steal<py::object>(
      PyCapsule_New(&nobody, writable ? writable_capsule : read_only_capsule, nullptr));
  if (!capsule) throw_python_error();
  return hold_object(data, capsule.ptr(), device);
}

// Whether nobody is known to keep the memory of a storage whose holder this is: at::from_blob()'s
// without a deleter, as over a member of a class.
inline bool is_kept_by_nobody(const at::Storage& storage, PyObject* holder) {
  if (holder != nullptr) {
    return PyCapsule_CheckExact(holder) && PyCapsule_GetDestructor(holder) == nullptr;
  }
  const at::DataPtr& data = storage.data_ptr();
  return data.get_context() == nullptr && data.get() != nullptr;
}

inline bool may_be_written(PyObject* holder) {
  if (api().is_array(holder)) {
    return (reinterpret_cast<array_object*>(holder)->flags & array_flag::writeable) != 0;
  }
  if (PyMemoryView_Check(holder)) return PyMemoryView_GET_BUFFER(holder)->readonly == 0;
  return !is_capsule_named(holder, read_only_capsule);
}

// A Python object that keeps a storage alive. The storage may not grow any more: that would move
// the memory from under the array (PyTorch does the same in tensor_to_numpy).
inline py::object hold_storage(const at::Storage& storage) {
  auto owner = c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(storage.unsafeGetStorageImpl());
  owner->set_resizable(false);
  // Without a name, which would be compared at the end of each array.
  PyObject* const capsule = PyCapsule_New(owner.get(), nullptr, [](PyObject* self) {
    // A reference that goes out of scope at once.
    c10::intrusive_ptr<c10::StorageImpl>::reclaim(
        static_cast<c10::StorageImpl*>(PyCapsule_GetPointer(self, nullptr)));
  });
  if (capsule == nullptr) throw_python_error();
  owner.release();  // the capsule has it now
  return py::reinterpret_steal<py::object>(capsule);
}

}  // namespace detail
}  // namespace ndtorch
