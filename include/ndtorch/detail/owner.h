// Who keeps the memory alive: a tensor holds the array it came from (through its storage), an array
// holds the storage it came from (through a capsule), and each can tell the other's hold.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>
#include <ndtorch/detail/numpy_api.h>
#include <pybind11/pybind11.h>

#include <atomic>

namespace ndtorch {
namespace detail __attribute__((visibility("hidden"))) {

inline bool interpreter_is_gone() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsInitialized() == 0 || Py_IsFinalizing() != 0;
#else
  return Py_IsInitialized() == 0 || _Py_IsFinalizing() != 0;
#endif
}

// Drops a reference from wherever the last tensor dies: any thread, with or without the GIL. Once
// the interpreter goes, nobody may touch its objects (and a thread that asks for the GIL never gets
// it): the reference is leaked then.
inline void release_reference(void* object) {
  if (interpreter_is_gone()) return;
  if (PyGILState_Check() != 0) {
    Py_DECREF(static_cast<PyObject*>(object));
    return;
  }
  const PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(static_cast<PyObject*>(object));
  PyGILState_Release(state);
}

// The deleter's address marks a storage that from_numpy made. Every extension module has a copy of
// this header, so all of them use the deleter of the one that came first: the address is left in
// the interpreter's state. Needs the GIL.
inline c10::DeleterFnPtr array_deleter() {
  static std::atomic<c10::DeleterFnPtr> shared{nullptr};
  c10::DeleterFnPtr deleter = shared.load(std::memory_order_acquire);
  if (deleter != nullptr) return deleter;

  static constexpr char name[] = "ndtorch.array_deleter";
  PyObject* const state = PyInterpreterState_GetDict(PyInterpreterState_Get());
  if (state == nullptr) return &release_reference;  // then each module knows its own arrays only
  PyObject* capsule = PyDict_GetItemString(state, name);
  if (capsule == nullptr) {
    const auto made = py::reinterpret_steal<py::object>(
        PyCapsule_New(reinterpret_cast<void*>(&release_reference), name, nullptr));
    if (!made || PyDict_SetItemString(state, name, made.ptr()) != 0) throw py::error_already_set();
    capsule = made.ptr();
  }
  void* const address = PyCapsule_GetPointer(capsule, name);
  if (address == nullptr) throw py::error_already_set();
  deleter = reinterpret_cast<c10::DeleterFnPtr>(address);
  shared.store(deleter, std::memory_order_release);
  return deleter;
}

// Memory that lives as long as `object`, an array: takes a new reference. Needs the GIL.
inline at::DataPtr hold_array(void* data, PyObject* object) {
  const c10::DeleterFnPtr deleter = array_deleter();
  Py_INCREF(object);
  return {data, object, deleter, at::Device(at::kCPU)};
}

// The array whose memory a storage shares, borrowed; nullptr where from_numpy didn't make the
// storage, or where a write has given it memory of its own. Needs the GIL.
inline PyObject* array_behind(const at::Storage& storage) {
  const at::DataPtr& data = storage.data_ptr();
  return data.get_deleter() == array_deleter() ? static_cast<PyObject*>(data.get_context()) : nullptr;
}

// A Python object that keeps a storage alive. The storage may not grow any more: that would move the
// memory from under the array (PyTorch does the same in tensor_to_numpy).
inline py::object hold_storage(const at::Storage& storage) {
  static constexpr char name[] = "ndtorch.storage";
  auto owner = c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(storage.unsafeGetStorageImpl());
  owner->set_resizable(false);
  PyObject* const capsule = PyCapsule_New(owner.get(), name, [](PyObject* self) {
    // A reference that goes out of scope at once.
    c10::intrusive_ptr<c10::StorageImpl>::reclaim(
        static_cast<c10::StorageImpl*>(PyCapsule_GetPointer(self, name)));
  });
  if (capsule == nullptr) throw py::error_already_set();
  owner.release();  // the capsule has it now
  return py::reinterpret_steal<py::object>(capsule);
}

}  // namespace detail
}  // namespace ndtorch
