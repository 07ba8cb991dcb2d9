// tensor_t in a function's docstring, as a type checker reads it. The notation is the one that
// pybind11 3 has for Eigen's matrices (pybind11/eigen/matrix.h).
#pragma once

#include <ndtorch/detail/arguments/element.h>
#include <ndtorch/detail/arguments/requirements.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What a signature says where the type is an argument's, and where it is a result's. pybind11 2 has
// one text for both.
template <std::size_t N, std::size_t M>
constexpr auto io_text(const char (&argument)[N], [[maybe_unused]] const char (&result)[M]) {
#if PYBIND11_VERSION_MAJOR >= 3
  return py::detail::io_name(argument, result);
#else
  return py::detail::const_name(argument);
#endif
}

template <class... Constraints>
constexpr auto signature_of() {
  using py::detail::const_name;
  constexpr requirements wants = folded<Constraints...>::wants;
  constexpr auto scalar = scalar_text<wants.dtype>();
  constexpr auto notes = notes_of<folded<Constraints...>>(wants);
  constexpr bool has_notes = sizeof(notes.text) > 1;

  if constexpr (wants.has_device && wants.device != at::kCPU) {
    // No array is there: a tensor of any library is taken.
    return const_name("typing.Annotated[typing.Any, ") + scalar + notes + const_name("]");
  } else if constexpr (wants.writes) {
    return const_name<has_notes>("typing.Annotated[", "") + const_name("numpy.typing.NDArray[") +
           scalar + const_name("]") + notes + const_name<has_notes>("]", "");
  } else if constexpr (!wants.has_dtype() && !has_notes) {
    return io_text("numpy.typing.ArrayLike", "numpy.typing.NDArray[typing.Any]");
  } else if constexpr (!has_notes) {
    return io_text("typing.Annotated[numpy.typing.ArrayLike, ", "numpy.typing.NDArray[") + scalar +
           const_name("]");
  } else {
    return const_name("typing.Annotated[") +
           io_text("numpy.typing.ArrayLike, ", "numpy.typing.NDArray[") + scalar +
           io_text("", "]") + notes + const_name("]");
  }
}

// A signature's argument form, without the marks that pybind11 replaces ("@argument@result@").
template <class Descr>
std::string plain_text(const Descr& name) {
  std::string text;
  int part = 0;  // 1: in an argument's form, 2: in a result's
  for (const char* c = name.text; *c != '\0'; ++c) {
    if (*c == '@') {
      part = (part + 1) % 3;
    } else if (part != 2) {
      text += *c;
    }
  }
  return text;
}

}  // namespace detail
}  // namespace ndtorch
