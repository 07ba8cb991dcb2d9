// Opt-in: at::Tensor itself as argument and result of pybind11 functions. The main headers leave it
// out, since torch/extension.h has a caster of the same type.
//
// An argument is the caller's own memory, which the function may write into, as with torch/extension.h: an array,
// or another holder of memory, that as_tensor() shares and that may be written. All else is refused with a
// TypeError: read-only and reversed arrays, other byte orders, lists, numbers. A function that only reads takes
// tensor_t<>. A result becomes a NumPy array, as numpy() makes it; an undefined one None.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/arguments/access.h>
#include <ndtorch/detail/arguments/requirements.h>
#include <ndtorch/detail/arguments/signature.h>
#include <ndtorch/typed.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#if defined(NDTORCH_TORCH_PYTHON)
#error \
    "With NDTORCH_TORCH_PYTHON (the CMake target ndtorch::torch_python) PyTorch's own caster of at::Tensor is \
there, which takes torch.Tensor objects only. Leave ndtorch/tensor_caster.h out: take tensor_t<>, and return \
ndtorch::to_torch(tensor)."
#elif defined(THP_STREAM_INC)
#error \
    "ndtorch/tensor_caster.h and torch/extension.h both make at::Tensor an argument of pybind11 \
functions, and a program may have only one of the two. Include one of them: with ndtorch's a tensor \
is a NumPy array in Python, with torch's it is a torch.Tensor."
#endif

namespace pybind11::detail {

// The compiler shows this line where torch/extension.h comes after it.
template <>
struct type_caster<at::Tensor> {  // torch/extension.h has one too: include one of the two headers
  static constexpr auto name = ndtorch::detail::io_text(
      ndtorch::detail::argument_text<ndtorch::detail::folded<ndtorch::detail::at_tensor>>(),
      ndtorch::detail::result_text<ndtorch::detail::folded<>>());

  bool load(handle source, bool convert) { return caster_.load(source, convert); }

  static handle cast(const at::Tensor& tensor, return_value_policy policy, handle parent) {
    if (!tensor.defined()) return none().release();
    return make_caster<ndtorch::tensor_t<>>::cast(ndtorch::tensor_t<>(tensor), policy, parent);
  }
  // pybind11's default for a pointer is to take it over.
  static handle cast(const at::Tensor* tensor, return_value_policy policy, handle parent) {
    const bool takes =
        policy == return_value_policy::take_ownership || policy == return_value_policy::automatic;
    const std::unique_ptr<const at::Tensor> owner(takes ? tensor : nullptr);
    return tensor != nullptr ? cast(*tensor, policy, parent) : none().release();
  }

  template <class T>
  using cast_op_type = movable_cast_op_type<T>;
  operator at::Tensor*() { return &value(); }
  operator at::Tensor&() { return value(); }
  operator at::Tensor&&() && { return std::move(value()); }

 private:
  at::Tensor& value() { return caster_; }

  make_caster<ndtorch::tensor_t<ndtorch::detail::at_tensor>> caster_;
};

template <>
struct container_traits<at::Tensor> : container_traits<ndtorch::tensor_t<>> {};

}  // namespace pybind11::detail
