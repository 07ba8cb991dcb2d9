// What tensor(), Tensor() and as_tensor() have in common: any kind of data, shared or copied.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/holders/protocols.h>
#include <ndtorch/detail/holders/sequence.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy_array.h>
#include <ndtorch/detail/torch/copy_tensor.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/request.h>
#include <ndtorch/detail/torch/share_array.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

enum class sharing { never, where_possible };

// Whether a conversion shares the array's memory, else it copies. Throws what is in the way of both.
inline bool shares(const array_source& source, const request& wanted, sharing rule) {
  if (!source.can_be_copied()) throw_refused(source);
  const at::ScalarType dtype = source.view.dtype;
  if (wanted.requires_grad) check_may_require_grad(wanted.dtype.value_or(dtype));
  return rule == sharing::where_possible && source.why == refusal::none &&
         wanted.dtype.value_or(dtype) == dtype && (!wanted.device || wanted.device->is_cpu()) &&
         !wanted.pinned;
}

inline at::Tensor share_or_copy_array(py::handle array, const request& wanted, sharing rule) {
  const array_source source = read_array(array);
  if (shares(source, wanted, rule)) return share_array(array, source, on_read_only::copy_on_write);
  return copy_array(source, wanted.dtype.value_or(source.view.dtype), wanted);
}

// A tensor on the memory of a holder other than an array, all of which can be copied.
inline at::Tensor share_holder(py::handle data, const protocol& spoken, const request& wanted) {
  at::Tensor held = spoken.share(data);
  if (wanted.requires_grad) check_may_require_grad(wanted.dtype.value_or(held.scalar_type()));
  return held;
}

inline at::Tensor share_or_copy_holder(const at::Tensor& held, const request& wanted) {
  const bool same_device =
      !wanted.device || (held.is_cpu() ? wanted.device->is_cpu() : held.device() == *wanted.device);
  if (same_device && !wanted.pinned &&
      wanted.dtype.value_or(held.scalar_type()) == held.scalar_type()) {
    return held;
  }
  return copy_tensor(held, wanted);
}

// What tensor(), Tensor() and as_tensor() do.
inline at::Tensor from_any(py::handle data, const request& wanted, sharing rule) {
  if (!data) throw py::type_error("can't convert a null handle to a tensor. Pass an object.");
  const auto from_array = [&](py::handle array) {
    return share_or_copy_array(array, wanted, rule);
  };
  const auto from_holder = [&](const protocol& spoken) {
    const at::Tensor held = share_holder(data, spoken, wanted);
    at::Tensor result = rule == sharing::never ? copy_tensor(detached(held), wanted)
                                               : share_or_copy_holder(held, wanted);
    // With libtorch_python it may be the caller's own tensor, which stays as it is.
    if (wanted.requires_grad && result.is_same(held) && !held.requires_grad()) {
      result = detached(held);
    }
    return result;
  };
  return with_python_errors([&] {
    at::Tensor result;
    if (api().is_array(data)) {
      result = from_array(data);
    } else if (const protocol* const spoken = find_protocol(data); spoken == nullptr) {
      result = copy_nested(read_nested(data, wanted.dtype), wanted);
    } else if (spoken->array_of != nullptr) {
      result = from_array(spoken->array_of(data));
    } else {
      result = from_holder(*spoken);
    }
    if (wanted.requires_grad) result.set_requires_grad(true);
    return result;
  });
}

}  // namespace detail
}  // namespace ndtorch
