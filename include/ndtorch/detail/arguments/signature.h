// tensor_t in a function's docstring, as a type checker reads it. The notation is the one that
// pybind11 3 has for Eigen's matrices (pybind11/eigen/matrix.h).
#pragma once

#include <ndtorch/detail/arguments/constraints.h>
#include <ndtorch/detail/torch/copy.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

template <std::size_t N, std::size_t... Is>
constexpr auto text_of(const char* text, std::index_sequence<Is...>) {
  return py::detail::descr<N>(text[Is]...);
}

constexpr std::size_t length_of(const char* text) {
  std::size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

// By value: with UBSan, g++ takes no comparison of find_dtype()'s pointer for a constant.
constexpr dtype_entry entry_or_nothing(at::ScalarType type) {
  const std::int8_t position = entry_of_scalar_type[static_cast<std::size_t>(type)];
  return position == no_entry ? dtype_entry{type, 0, 0, 0, "", 0} : dtypes[position];
}

constexpr const char* dtype_name(at::ScalarType type) { return entry_or_nothing(type).name; }

constexpr bool is_built_in(at::ScalarType type) { return entry_or_nothing(type).is_built_in(); }

template <at::ScalarType Type>
constexpr auto dtype_text() {
  constexpr std::size_t length = length_of(dtype_name(Type));
  return text_of<length>(dtype_name(Type), std::make_index_sequence<length>());
}

// "numpy.float32"; typing.Any where there is no dtype or NumPy has no type for it.
template <at::ScalarType Type>
constexpr auto scalar_text() {
  if constexpr (is_built_in(Type)) {
    return py::detail::const_name("numpy.") + dtype_text<Type>();
  } else {
    return py::detail::const_name("typing.Any");
  }
}

// A size that is said, or a name for one that is not: m, n, p, q, ... as NumPy's documentation has
// them.
template <std::int64_t Size, std::size_t Axis>
constexpr auto size_text() {
  constexpr char letters[] = "mnpqrstuvw";
  if constexpr (Size >= 0) {
    return py::detail::const_name<static_cast<std::size_t>(Size)>();
  } else if constexpr (Axis + 1 < sizeof(letters)) {
    return py::detail::descr<1>(letters[Axis]);
  } else {
    return py::detail::const_name("d") + py::detail::const_name<Axis>();
  }
}

template <class... Constraints>
struct folded {
  static constexpr requirements wants = fold_constraints<Constraints...>();
};

template <class Folded, std::size_t... Axes>
constexpr auto sizes_text(std::index_sequence<Axes...>) {
  return py::detail::concat(
      size_text<Folded::wants.has_sizes ? Folded::wants.sizes[Axes] : -1, Axes>()...);
}

template <class Folded>
constexpr auto shape_note() {
  if constexpr (Folded::wants.ndim == any_ndim) {
    return py::detail::const_name("");
  } else {
    constexpr auto ndim = static_cast<std::size_t>(Folded::wants.ndim);
    return py::detail::const_name(", \"[") + sizes_text<Folded>(std::make_index_sequence<ndim>()) +
           py::detail::const_name("]\"");
  }
}

template <class Folded>
constexpr auto dtype_note() {
  constexpr at::ScalarType type = Folded::wants.dtype;
  if constexpr (!Folded::wants.has_dtype() || is_built_in(type)) {
    return py::detail::const_name("");
  } else {
    return py::detail::const_name(", \"dtype=") + dtype_text<type>() + py::detail::const_name("\"");
  }
}

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
  constexpr auto notes = dtype_note<folded<Constraints...>>() +
                         shape_note<folded<Constraints...>>() +
                         const_name<wants.writes>(", \"flags.writeable\"", "") +
                         const_name<wants.order == axis_order::c>(", \"flags.c_contiguous\"", "") +
                         const_name<wants.order == axis_order::f>(", \"flags.f_contiguous\"", "");
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
