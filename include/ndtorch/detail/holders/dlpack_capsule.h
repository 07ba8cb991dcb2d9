// DLPack's capsules: those that objects give, those that somebody passes as they are, and those made for
// others.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <pybind11/pybind11.h>

#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// The names of the capsules that carry the two structures, before and after they were consumed.
template <class Managed>
struct dlpack_capsule;
template <>
struct dlpack_capsule<DLManagedTensor> {
  static constexpr char name[] = "dltensor";
  static constexpr char used[] = "used_dltensor";
};
template <>
struct dlpack_capsule<DLManagedTensorVersioned> {
  static constexpr char name[] = "dltensor_versioned";
  static constexpr char used[] = "used_dltensor_versioned";
};

// What a capsule holds, and keeps; nullptr where it holds no structure of the kind, or holds none any
// more.
template <class Managed>
Managed* content_of(py::handle capsule) {
  constexpr const char* name = dlpack_capsule<Managed>::name;
  if (PyCapsule_IsValid(capsule.ptr(), name) == 0) return nullptr;
  return static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), name));
}

// The name of an object that is no DLPack capsule, or is a consumed one, for an error's text.
inline std::string name_of_capsule(py::handle capsule) {
  const char* name = nullptr;
  if (PyCapsule_CheckExact(capsule.ptr())) name = PyCapsule_GetName(capsule.ptr());
  PyErr_Clear();
  return name != nullptr ? c10::str("one named ", name) : type_name(capsule);
}

// Takes what a capsule holds: nothing can take it a second time. What is refused stays in it. No Python
// code runs between the look and the mark, so that no other thread takes it too.
template <class Managed>
at::Tensor consume_dlpack(py::handle capsule, Managed* content, bool writable) {
  const dlpack_memory memory = read_managed(*content, writable);
  if (PyCapsule_SetName(capsule.ptr(), dlpack_capsule<Managed>::used) != 0) throw_python_error();
  return share_dlpack(dlpack_owner<Managed>(content), memory);
}

// Calls function(content) with the structure that a capsule holds. Throws type_error where it holds none.
template <class Function>
auto with_content(py::handle capsule, Function&& function) {
  if (auto* const content = content_of<DLManagedTensorVersioned>(capsule)) {
    return function(content);
  }
  if (auto* const content = content_of<DLManagedTensor>(capsule)) return function(content);
  throw py::type_error(c10::str(
      "expected a capsule named dltensor or dltensor_versioned (got ", name_of_capsule(capsule),
      "). A capsule can be consumed only once: make a new one, with object.__dlpack__()."));
}

// What a capsule offers, which it keeps.
inline dlpack_memory read_capsule(py::handle capsule) {
  return with_content(capsule, [](auto* content) { return read_managed(*content); });
}

// A tensor on the memory of a capsule that somebody passed as it is. It can't be taken again.
inline at::Tensor share_capsule(py::handle capsule) {
  at::Tensor tensor = with_content(
      capsule, [&](auto* content) { return consume_dlpack(capsule, content, /*writable=*/true); });
  if (!tensor.device().is_cpu()) {
    with_python_errors([&] { wait_for_default_stream(tensor.device()); });
  }
  return tensor;
}

// The structure in a capsule, which deletes it unless somebody consumes it.
template <class Managed>
py::object dlpack_capsule_of(dlpack_owner<Managed> managed) {
  auto capsule = py::reinterpret_steal<py::object>(
      PyCapsule_New(managed.get(), dlpack_capsule<Managed>::name, [](PyObject* self) {
        if (PyCapsule_IsValid(self, dlpack_capsule<Managed>::name) == 0) return;
        dlpack_deleter()(
            static_cast<Managed*>(PyCapsule_GetPointer(self, dlpack_capsule<Managed>::name)));
      }));
  if (!capsule) throw_python_error();
  managed.release();  // the capsule has it now
  return capsule;
}

// A capsule that somebody passed as it is.
inline constexpr protocol capsule_protocol = {
    "",
    [](py::handle object) { return PyCapsule_CheckExact(object.ptr()) != 0; },
    /*array_of=*/nullptr,
    &share_capsule,
    /*look_into=*/&read_capsule,
    /*may_copy=*/false};

}  // namespace detail
}  // namespace ndtorch
