// What an array or a tensor is, and what the conversions make of it: for logs and for a debugger. Not
// in the umbrella, since few files need it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/convert.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/holder.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/share_tensor.h>
#include <ndtorch/dtype.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// NumPy's names (numpy.ndarray.flags), of those that are set.
inline std::string flags_text(const array_object* array) {
  constexpr std::pair<int, const char*> flags[] = {
      {array_flag::c_contiguous, "C_CONTIGUOUS"}, {array_flag::f_contiguous, "F_CONTIGUOUS"},
      {array_flag::owndata, "OWNDATA"},           {array_flag::writeable, "WRITEABLE"},
      {array_flag::aligned, "ALIGNED"},           {array_flag::writebackifcopy, "WRITEBACKIFCOPY"}};
  std::string text;
  for (const auto& [flag, name] : flags) {
    if ((array->flags & flag) != 0) text += c10::str(text.empty() ? "" : ", ", name);
  }
  return text.empty() ? "none" : text;
}

// The types of what keeps the array's memory, from the nearest on. NumPy skips views of views, so that
// there are few.
inline std::string bases_text(const array_object* array) {
  std::string text;
  for (PyObject* base = array->base; base != nullptr;) {
    text += c10::str(text.empty() ? "" : " of ", type_name(base));
    base = api().is_array(base) ? reinterpret_cast<array_object*>(base)->base : nullptr;
  }
  return text.empty() ? "none" : text;
}

// What `function` says, or that it refuses, in the words of its error.
template <class Function>
std::string said_by(Function&& function) {
  return value_or_refusal([&]() -> std::string { return function(); },
                          [](const std::string& text) { return "refuses: " + text; });
}

inline std::string shared_text(bool writable) {
  return writable ? "shares the array's memory"
                  : "shares the array's memory until the first write, which copies (the array is "
                    "read-only)";
}

inline std::string from_numpy_text(py::handle object) {
  return said_by([&] { return shared_text(require_array(object).view.writable); });
}

// Of an array that may be what another object was taken as.
inline std::string explain_array(py::handle object, py::handle taken_from = {}) {
  // For as_tensor and tensor, each by the function that it asks itself.
  const auto what_does = [&](sharing rule) {
    return said_by([&]() -> std::string {
      const array_source source = read_array(object);
      if (shares(source, {}, rule)) return shared_text(source.view.writable);
      const bool would_share = rule == sharing::where_possible;
      return would_share ? "copies, as from_numpy refuses" : "copies";
    });
  };
  const auto* const array = reinterpret_cast<const array_object*>(object.ptr());
  return c10::str(describe(array), "\n  type: ", type_name(object),
                  "\n  data: ", static_cast<const void*>(array->data),
                  "\n  flags: ", flags_text(array), "\n  base: ", bases_text(array),
                  "\n  from_numpy: ", from_numpy_text(taken_from ? taken_from : object),
                  "\n  as_tensor: ", what_does(sharing::where_possible),
                  "\n  tensor: ", what_does(sharing::never));
}

inline std::string other_text(py::handle object, const std::string& as_tensor,
                              const std::string& tensor) {
  return c10::str("a ", type_name(object), "\n  as_tensor: ", as_tensor, "\n  tensor: ", tensor,
                  "\n  from_numpy: ", from_numpy_text(object));
}

// An object that is no array. What as_tensor says of it can only be known by asking the object.
inline std::string explain_other(py::handle object) {
  const holder_kind kind = api().is_scalar(object) ? holder_kind::none : find_holder(object);
  const char* way = "copies what it holds";
  switch (kind) {
    case holder_kind::torch_tensor:
      way = "shares the memory of the torch.Tensor";
      break;
    case holder_kind::dlpack:
      way = "shares its memory by __dlpack__";
      break;
    case holder_kind::cuda_array:
      way = "shares its memory by __cuda_array_interface__";
      break;
    case holder_kind::buffer:
      return c10::str("a ", type_name(object), ", a buffer: as_tensor reads it as\n",
                      explain_array(array_of(object, kind), object));
    case holder_kind::array_like:
      return c10::str("a ", type_name(object), ": as_tensor reads it, with np.asarray(), as\n",
                      explain_array(array_of(object, kind), object));
    case holder_kind::capsule:  // which can be taken only once
      return c10::str("a ", type_name(object), "\n  as_tensor: ",
                      value_or_refusal(
                          [&] {
                            return c10::str(
                                "takes what it holds, which nobody else can take then: ",
                                describe(*read_capsule(object).described));
                          },
                          [](const std::string& text) { return "refuses: " + text; }));
    case holder_kind::none:
      break;
  }
  const std::string as_tensor = said_by(
      [&] { return c10::str(way, ": ", describe(convert(object, {}, sharing::where_possible))); });
  std::string tensor = "copies";
  if (kind != holder_kind::none) {
    tensor = said_by([&] {
      check_storage(share_to_convert(object, kind, {}));
      return "copies";
    });
  } else if (as_tensor.find(way) != 0) {
    tensor = as_tensor;  // refused, since both read it in the same way
  }
  return other_text(object, as_tensor, tensor);
}

}  // namespace detail

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
