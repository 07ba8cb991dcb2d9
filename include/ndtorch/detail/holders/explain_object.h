// What the conversions make of an object, in words: their own checks say it.
#pragma once

#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/from_any.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/holders/protocols.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/storage.h>
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
  const protocol* const spoken = find_protocol(object);
  if (spoken != nullptr && spoken->array_of != nullptr) {
    return c10::str("a ", type_name(object), spoken->what_it_does, "\n",
                    explain_array(spoken->array_of(object), object));
  }
  if (spoken != nullptr && spoken->look_into != nullptr) {  // which can be taken only once
    return c10::str("a ", type_name(object), "\n  as_tensor: ", said_by([&] {
                      return c10::str("takes what it holds, which nobody else can take then: ",
                                      describe(*spoken->look_into(object).described));
                    }));
  }
  const char* const way = spoken == nullptr ? "copies what it holds" : spoken->what_it_does;
  const std::string as_tensor = said_by(
      [&] { return c10::str(way, ": ", describe(from_any(object, {}, sharing::where_possible))); });
  std::string tensor = "copies";
  if (spoken != nullptr) {
    tensor = said_by([&] {
      check_storage(share_holder(object, *spoken, {}));
      return "copies";
    });
  } else if (as_tensor.find(way) != 0) {
    tensor = as_tensor;  // refused, since both read it in the same way
  }
  return other_text(object, as_tensor, tensor);
}

}  // namespace detail
}  // namespace ndtorch
