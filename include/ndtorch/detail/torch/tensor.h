// The LibTorch side: a tensor described as a strided_view, and a tensor built from one.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/GradMode.h>
#include <c10/core/StorageImpl.h>
#include <c10/core/TensorImpl.h>
#include <c10/core/TensorOptions.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// LibTorch's words for what a strided_view says in the header-only ones.
inline at::IntArrayRef array_ref(int_list list) { return {list.data(), list.size()}; }
inline bool is_on_cpu(const strided_view& view) { return view.device == c10::kCPU; }
inline at::Device device_of(const strided_view& view) { return {view.device, view.device_index}; }
inline void set_device(strided_view& view, at::Device device) {
  view.device = device.type();
  view.device_index = device.index();
}

// A tensor on the view's memory. `owner` keeps that alive; its deleter runs when the last tensor
// on the storage dies. What at::from_blob does, without its std::function and its second pass.
inline at::Tensor make_tensor(const strided_view& view, at::DataPtr owner) {
  auto storage = c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), c10::SymInt(static_cast<std::int64_t>(view.nbytes)),
      std::move(owner), /*allocator=*/nullptr, /*resizable=*/false);
  const c10::DispatchKey key =
      is_on_cpu(view) ? c10::DispatchKey::CPU
                      : c10::computeDispatchKey(view.dtype, at::kStrided, device_of(view));
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(key), c10::scalarTypeToTypeMeta(view.dtype));
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(array_ref(view.sizes()),
                                                      array_ref(view.strides()));
  return tensor;
}

// The same on memory that the caller keeps alive for as long as the tensor.
inline at::Tensor borrow_tensor(const strided_view& view) {
  return make_tensor(view, at::DataPtr(view.data, device_of(view)));
}

// The dispatch keys of most tensors: on the CPU, dense, without the conj, neg or zero bit. One
// comparison says all that (nearly; a tensor that isn't recognised is looked at piece by piece).
inline bool is_plain_cpu_tensor(const at::Tensor& tensor) {
  constexpr c10::DispatchKeySet plain({c10::DispatchKey::CPU, c10::DispatchKey::AutogradCPU,
                                       c10::DispatchKey::AutocastCPU,
                                       c10::DispatchKey::ADInplaceOrView});
  return tensor.defined() && tensor.unsafeGetTensorImpl()->key_set() == plain;
}

[[noreturn]] inline void throw_too_many_dimensions(const at::Tensor& tensor) {
  throw py::value_error(c10::str("number of dimensions must be within [0, ", max_ndim,
                                 "], as NumPy has no more. Got ", tensor.dim(),
                                 ". Merge some with Tensor.flatten() or Tensor.reshape()."));
}

inline constexpr char nested_is_not_dense[] =
    "expected a dense tensor (got a nested one). Use Tensor.to_padded_tensor(0) or Tensor.unbind() "
    "first.";

// The first words are PyTorch's (c10/core/TensorImpl.h, 2.13).
inline void check_stands_for_itself(const at::Tensor& tensor) {
  if (!stands_for_others(tensor)) return;
  throw std::runtime_error(c10::str(
      "Cannot access data pointer of Tensor that doesn't have storage. Got ", describe(tensor),
      ", which stands for others, as inside torch.vmap and torch.func. Return it from the "
      "transformed function, and convert the result."));
}

// What NumPy has no form for, on any device: no later step of a conversion could mend it.
inline void check_layout(const at::Tensor& tensor) {
  if (is_plain_cpu_tensor(tensor)) {
    if (tensor.dim() > static_cast<std::int64_t>(max_ndim)) throw_too_many_dimensions(tensor);
    return;
  }
  if (!tensor.defined()) {
    throw py::type_error(
        "can't convert an undefined tensor to numpy. Give it a value first; at::Tensor() has "
        "none.");
  }
  if (tensor.is_nested()) {
    throw py::type_error(
        "can't convert nested tensor to numpy. Use Tensor.to_padded_tensor(0) or Tensor.unbind() "
        "first.");
  }
  if (tensor.layout() != at::kStrided) {
    throw py::type_error(c10::str("can't convert ", tensor.layout(),
                                  " layout tensor to numpy. Use Tensor.to_dense() first. Got a "
                                  "tensor of shape ",
                                  tensor.sizes(), ", dtype ", tensor.scalar_type(), ", device ",
                                  tensor.device(), "."));
  }
  if (is_dispatched_to_python(tensor)) {
    throw std::runtime_error(
        ".numpy() is not supported for tensor subclasses. Its __torch_dispatch__ says what this "
        "one means: convert the plain tensor inside.");
  }
  check_stands_for_itself(tensor);
  if (tensor.dim() > static_cast<std::int64_t>(max_ndim)) throw_too_many_dimensions(tensor);
}

// PyTorch's words (tensor_to_numpy in torch/csrc/utils/tensor_numpy.cpp, 2.13).
[[noreturn]] inline void throw_requires_grad() {
  throw std::runtime_error(
      "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
}
[[noreturn]] inline void throw_conj() {
  throw std::runtime_error(
      "Can't call numpy() on Tensor that has conjugate bit set. Use "
      "tensor.resolve_conj().numpy() instead.");
}
[[noreturn]] inline void throw_neg() {
  throw std::runtime_error(
      "Can't call numpy() on Tensor that has negative bit set. Use tensor.resolve_neg().numpy() "
      "instead.");
}

// Whether the tensor's memory is, as it stands, what the tensor means. The conditions are
// PyTorch's, in its order.
inline void check_shareable(const at::Tensor& tensor) {
  // The first question is the cheaper one, and mostly no.
  const bool requires_grad = tensor.requires_grad() && c10::GradMode::is_enabled();
  if (is_plain_cpu_tensor(tensor)) {
    if (requires_grad) throw_requires_grad();
    return;
  }
  if (!tensor.device().is_cpu()) {
    throw py::type_error(c10::str("can't convert ", tensor.device(),
                                  " device type tensor to numpy. Use Tensor.cpu() to copy the "
                                  "tensor to host memory first. Got ",
                                  describe(tensor), "."));
  }
  if (requires_grad) throw_requires_grad();
  if (tensor.is_conj()) throw_conj();
  if (tensor.is_neg()) throw_neg();
  if (tensor._is_zerotensor()) {
    throw std::runtime_error(
        "Cannot convert a ZeroTensor to numpy. Set force=True if you need the zero array. "
        "ndtorch::to_numpy does so.");
  }
}

// What most tensors are: one that check_layout() and check_shareable() let pass.
inline bool is_plain(const at::Tensor& tensor) {
  return is_plain_cpu_tensor(tensor) && !tensor.requires_grad() &&
         tensor.dim() <= static_cast<std::int64_t>(max_ndim);
}

inline void check_plain(const at::Tensor& tensor) {
  if (is_plain(tensor)) return;
  check_layout(tensor);
  check_shareable(tensor);
}

// Whether two indices may reach the same element, as in an expanded tensor. Errs on the side of
// yes: an exact answer is a hard problem, and only strange strides are judged wrongly.
[[gnu::noinline]] inline bool axes_may_overlap(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return false;
  struct axis {
    std::int64_t stride, size;
  };
  std::array<axis, max_ndim> axes;
  std::size_t count = 0;
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    if (tensor.size(i) > 1) axes[count++] = {tensor.stride(i), tensor.size(i)};
  }
  std::sort(axes.begin(), axes.begin() + static_cast<std::ptrdiff_t>(count),
            [](const axis& a, const axis& b) { return a.stride < b.stride; });
  std::int64_t reach = 0;  // the farthest element that the axes so far lead to
  for (std::size_t i = 0; i < count; ++i) {
    if (axes[i].stride <= reach) return true;
    reach += axes[i].stride * (axes[i].size - 1);
  }
  return false;
}

// The strides that std::layout_stride takes for the tensor; false where it takes none. Each axis has to
// step over all of the one with the next smaller steps ([mdspan.layout.stride.cons] of C++23).
inline bool layout_stride_of(const at::Tensor& tensor, std::int64_t* strides) {
  const auto ndim = static_cast<std::size_t>(tensor.dim());
  std::array<std::size_t, max_ndim> order;
  std::int64_t dense = 1;
  for (std::size_t i = ndim; i-- > 0;) {
    const std::int64_t size = tensor.sizes()[i];
    // An axis that is never stepped along may have any stride, but must have a valid one there.
    strides[i] = tensor.numel() == 0 ? dense : size == 1 ? 1 : tensor.strides()[i];
    dense *= std::max<std::int64_t>(size, 1);
    order[i] = i;
  }
  if (tensor.numel() == 0) return true;
  std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(ndim),
            [&](std::size_t a, std::size_t b) {
              return std::pair(strides[a], tensor.sizes()[a]) <
                     std::pair(strides[b], tensor.sizes()[b]);
            });
  std::int64_t least = 1;
  for (std::size_t i = 0; i < ndim; ++i) {
    if (strides[order[i]] < least) return false;
    least = strides[order[i]] * tensor.sizes()[order[i]];
  }
  return true;
}

}  // namespace detail
}  // namespace ndtorch
