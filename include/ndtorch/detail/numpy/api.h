// The few entries of NumPy's C API that ndtorch calls, loaded once for each module.
//
// NumPy's own way (import_array() and macros over a static table) asks the user for set-up in every
// translation unit, and clashes where a user has set PY_ARRAY_UNIQUE_SYMBOL.
#pragma once

#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <type_traits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

struct numpy_api {
  PyTypeObject* array_type;
  PyTypeObject* generic_type;  // numpy.generic, the base of all NumPy scalars
  array_descr* (*descr_from_type)(int type_num);
  PyObject* (*from_scalar)(PyObject* scalar, array_descr* dtype);
  PyObject* (*new_from_descr)(PyTypeObject* type, array_descr* dtype, int ndim,
                              Py_ssize_t const* sizes, Py_ssize_t const* strides, void* data,
                              int flags, PyObject* object);
  int (*descr_converter)(PyObject* object, array_descr** dtype);
  bool is_numpy_2;  // descriptors have NumPy 2's layout at run time

  bool is_array(py::handle object) const { return PyObject_TypeCheck(object.ptr(), array_type); }
  bool is_scalar(py::handle object) const { return PyObject_TypeCheck(object.ptr(), generic_type); }
};

// Reads the table that NumPy publishes as a capsule. The slots are part of NumPy's stable ABI: the
// numbers stand in __multiarray_api.h and are the same in NumPy 1.x and 2.x.
inline numpy_api load_numpy_api() {
  py::module_ multiarray;
  try {
    multiarray = py::module_::import("numpy._core._multiarray_umath");
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ModuleNotFoundError)) throw;
    multiarray = py::module_::import("numpy.core._multiarray_umath");  // NumPy 1.x
  }
  const py::object capsule = multiarray.attr("_ARRAY_API");
  auto** const slot = static_cast<void**>(PyCapsule_GetPointer(capsule.ptr(), nullptr));
  if (slot == nullptr) throw_python_error();

  numpy_api table{};
  table.array_type = static_cast<PyTypeObject*>(slot[2]);
  table.generic_type = static_cast<PyTypeObject*>(slot[10]);
  const auto load = [slot](auto& function, int number) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(slot[number]);
  };
  load(table.descr_from_type, 45);
  load(table.from_scalar, 61);
  load(table.new_from_descr, 94);
  load(table.descr_converter, 174);
  unsigned (*abi_version)() = nullptr;
  load(abi_version, 0);
  table.is_numpy_2 = abi_version() >= 0x02000000;
  return table;
}

// Needs the GIL. Throws what Python raised where NumPy can't be imported.
inline const numpy_api& api() {
  // Not one function-local static: its lock, held while `import numpy` may hand the GIL to a thread
  // that waits for the same lock, would be a deadlock. Loading twice is harmless.
  static std::atomic<const numpy_api*> loaded{nullptr};
  const numpy_api* found = loaded.load(std::memory_order_acquire);
  if (found == nullptr) {
    static numpy_api table;
    follow_interpreter();
    call_at_end([] { loaded = nullptr; });
    const numpy_api fresh = load_numpy_api();
    found = loaded.load(std::memory_order_acquire);
    if (found == nullptr) {
      table = fresh;
      found = &table;
      loaded.store(found, std::memory_order_release);
    }
  }
  return *found;
}

inline Py_ssize_t item_size(const array_descr* dtype) {
  if (api().is_numpy_2) return reinterpret_cast<const array_descr_2*>(dtype)->elsize;
  return reinterpret_cast<const array_descr_1*>(dtype)->elsize;
}

}  // namespace detail
}  // namespace ndtorch
