// What ndtorch knows of each way in which Python objects hand over their memory.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

inline bool has_attribute(py::handle object, const char* name) {
  const auto found = py::reinterpret_steal<py::object>(PyObject_GetAttrString(object.ptr(), name));
  if (!found) clear_error();
  return static_cast<bool>(found);
}

// The two items of a tuple, list or array, as the protocols return them; else no item.
inline py::tuple pair_in(py::handle object) {
  if (PyTuple_Check(object.ptr()) || PyList_Check(object.ptr()) || api().is_array(object)) {
    auto items = py::reinterpret_steal<py::tuple>(PySequence_Tuple(object.ptr()));
    if (!items) throw_python_error();
    if (items.size() == 2) return items;
  }
  return py::reinterpret_steal<py::tuple>(build_value("()").release());
}

// To add one: a file beside this one that says these, and a line in holders/protocols.h.
struct protocol {
  const char* what_it_does;  // in explain()'s words; "" where it has others
  bool (*is_spoken_by)(py::handle object);
  // The object as an array, for a protocol that NumPy reads; else nullptr, and share() is there.
  py::object (*array_of)(py::handle object);
  // A tensor on the object's memory.
  at::Tensor (*share)(py::handle object);
  // What share() would take, where it can be taken only once; else nullptr.
  dlpack_memory (*look_into)(py::handle object);
  bool may_copy;  // nobody knows whether array_of() gives the object's memory or a copy
};

}  // namespace detail
}  // namespace ndtorch
