// What an array or a tensor is, and what the conversions make of it: for logs and for a debugger. Not
// in the umbrella, since few files need it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/array.h>
#include <ndtorch/detail/dlpack.h>
#include <ndtorch/detail/error.h>
#include <ndtorch/detail/holder.h>
#include <ndtorch/detail/numpy_api.h>
#include <ndtorch/detail/owner.h>
#include <ndtorch/detail/tensor.h>
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

inline std::string explain_array(py::handle object) {
  const array_source source = read_array(object);
  const bool view = source.why == refusal::none;
  // A refused array's view is not filled in.
  const char* const shares = view && source.view.writable
                                 ? "shares the array's memory"
                                 : "shares the array's memory until the first write, which copies "
                                   "(the array is read-only)";
  const std::string refused = view ? "" : "refuses: " + refusal_text(source);
  return c10::str(describe(source.array), "\n  type: ", type_name(object),
                  "\n  data: ", static_cast<const void*>(source.array->data),
                  "\n  flags: ", flags_text(source.array), "\n  base: ", bases_text(source.array),
                  "\n  from_numpy: ", view ? shares : refused, "\n  as_tensor: ",
                  view                     ? shares
                  : source.can_be_copied() ? "copies, as from_numpy refuses"
                                           : refused,
                  "\n  tensor: ", source.can_be_copied() ? "copies" : refused);
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
                      explain_array(array_of(object, kind)));
    case holder_kind::array_like:
      return c10::str("a ", type_name(object), ": as_tensor reads it, with np.asarray(), as\n",
                      explain_array(array_of(object, kind)));
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
  const std::string as_tensor = value_or_refusal(
      [&] { return c10::str(way, ": ", describe(convert(object, {}, sharing::where_possible))); },
      [](const std::string& text) { return "refuses: " + text; });
  return c10::str("a ", type_name(object), "\n  as_tensor: ", as_tensor);
}

}  // namespace detail

// Several lines of text on any Python object: of an array its shape, strides (bytes), dtype, flags and
// bases; and whether from_numpy, as_tensor and tensor share its memory, copy it, or refuse it, in the
// words of the error that they throw. The wording may change between versions.
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
        return c10::str("a ", detail::type_name(object), "\n  as_tensor: refuses: ", text);
      });
}

// The same of a tensor: its shape, strides (elements), dtype, device and whose its memory is; and
// whether numpy and to_numpy share it, copy it, or refuse it. Copies nothing. Needs the GIL.
[[nodiscard]] inline std::string explain(const at::Tensor& tensor) {
  detail::check_gil("explain");
  if (!tensor.defined()) return "an undefined tensor";
  const auto refuses = [](const std::string& text) { return "refuses: " + text; };
  const std::string shared = detail::value_or_refusal(
      [&] {
        detail::check_layout(tensor);
        detail::check_shareable(tensor);
        numpy_dtype(tensor.scalar_type());
        return std::string("shares the tensor's memory");
      },
      refuses);
  const std::string forced = detail::value_or_refusal(
      [&] {
        detail::check_convertible(tensor);
        const bool as_it_is = tensor.device().is_cpu() && !tensor.is_conj() && !tensor.is_neg() &&
                              !tensor._is_zerotensor();
        return std::string(as_it_is ? "shares the tensor's memory" : "copies");
      },
      refuses);
  std::string text = "a tensor";
  if (tensor.layout() == at::kStrided && !tensor.is_nested()) {
    text = detail::describe(tensor);
    PyObject* const holder =
        tensor.has_storage() ? detail::memory_of(tensor.storage()).holder : nullptr;
    text += c10::str(
        "\n  memory: ",
        holder == nullptr ? "LibTorch's" : std::string("of a ") + detail::type_name(holder),
        holder == nullptr || detail::may_be_written(holder) ? "" : ", read-only");
  }
  return c10::str(text, "\n  numpy: ", shared, "\n  to_numpy: ", forced);
}

}  // namespace ndtorch
