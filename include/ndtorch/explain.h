// What an array or a tensor is, and what the conversions make of it: for logs and for a debugger. Not
// in the umbrella, since few files need it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/explain_object.h>
#include <ndtorch/detail/holders/from_any.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/expose_tensor.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/from_numpy.h>
#include <pybind11/pybind11.h>

#include <string>

namespace ndtorch {

// Several lines of text on any Python object: of an array its shape, strides (bytes), dtype, flags and
// bases; and whether from_numpy, as_tensor and tensor share its memory, copy it, or refuse it, in the
// words of the error that they throw: their own checks say it. The wording may change between versions.
// Changes nothing. Other objects than arrays are asked for their memory as as_tensor asks them, and
// sequences are read as a whole. Needs the GIL; throws only what is about no object, such as an
// interrupt.
[[nodiscard]] inline std::string explain(py::handle object) {
  detail::check_gil("explain");
  if (!object) return "a null handle";
  return detail::value_or_refusal(
      [&] {
        return detail::api().is_array(object) ? detail::explain_array(object)
                                              : detail::explain_other(object);
      },
      [&](const std::string& text) {
        const std::string refused = "refuses: " + text;
        return detail::other_text(object, refused, refused);
      });
}

// The same of a tensor: its shape, strides (elements), dtype, device and whose its memory is; and
// whether numpy and to_numpy share it, copy it, or refuse it, as their own checks say. Copies nothing.
// Needs the GIL.
[[nodiscard]] inline std::string explain(const at::Tensor& tensor) {
  detail::check_gil("explain");
  if (!tensor.defined()) return "an undefined tensor";
  const std::string shared = detail::said_by([&] {
    detail::make_numpy(tensor, detail::task::check);
    return "shares the tensor's memory";
  });
  const std::string forced = detail::said_by([&] {
    const bool shares = bool{detail::make_to_numpy(tensor, detail::task::check)};
    return shares ? "shares the tensor's memory" : "copies";
  });
  std::string text = "a tensor";
  if (tensor.layout() == at::kStrided && !tensor.is_nested()) {
    text = detail::describe(tensor);
    const bool has_storage = tensor.has_storage() && !detail::stands_for_others(tensor);
    PyObject* const holder = has_storage ? detail::memory_of(tensor.storage()).holder : nullptr;
    text += c10::str(
        "\n  memory: ",
        holder == nullptr ? "LibTorch's" : std::string("of a ") + detail::type_name(holder),
        holder == nullptr || detail::may_be_written(holder) ? "" : ", read-only");
  }
  return c10::str(text, "\n  numpy: ", shared, "\n  to_numpy: ", forced);
}

}  // namespace ndtorch
