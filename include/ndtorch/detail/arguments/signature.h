// tensor_t in a function's docstring, as a type checker reads it. The notation is the one that
// pybind11 3 has for Eigen's matrices (pybind11/eigen/matrix.h).
#pragma once

#include <ndtorch/detail/arguments/element.h>
#include <ndtorch/detail/arguments/requirements.h>
#include <ndtorch/detail/arguments/result.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// A signature's text where the type is an argument's, and where it is a result's. pybind11 2 has one text
// for both.
template <class Argument, class Result>
constexpr auto io_text(const Argument& argument, [[maybe_unused]] const Result& result) {
#if PYBIND11_VERSION_MAJOR >= 3
  using py::detail::const_name;
  return const_name("@") + argument + const_name("@") + result + const_name("@");
#else
  return argument;
#endif
}

// "typing.Annotated[type, notes]", where there are notes.
template <class Type, class Notes>
constexpr auto annotated(const Type& type, [[maybe_unused]] const Notes& notes) {
  if constexpr (sizeof(notes.text) > 1) {
    return py::detail::const_name("typing.Annotated[") + type + notes + py::detail::const_name("]");
  } else {
    return type;
  }
}

template <class Folded>
constexpr auto array_text() {
  return py::detail::const_name("numpy.typing.NDArray[") + scalar_text<Folded::wants.dtype>() +
         py::detail::const_name("]");
}

template <class Folded>
constexpr auto argument_text() {
  using py::detail::const_name;
  constexpr requirements wants = Folded::wants;
  constexpr auto notes = notes_of<Folded>(wants);
  constexpr auto scalar = const_name(", ") + scalar_text<wants.dtype>();
  if constexpr (wants.has_device && wants.device != at::kCPU) {
    // No array is there: a tensor of any library is taken.
    return annotated(const_name("typing.Any"), scalar + notes);
  } else if constexpr (wants.writes) {
    return annotated(array_text<Folded>(), notes);
  } else if constexpr (!wants.has_dtype() && sizeof(notes.text) == 1) {
    return const_name("numpy.typing.ArrayLike");
  } else {
    return annotated(const_name("numpy.typing.ArrayLike"), scalar + notes);
  }
}

template <class Folded>
constexpr auto result_text() {
  using py::detail::const_name;
  constexpr requirements wants = Folded::wants;
  if constexpr (wants.result == result_form::torch) {
    return const_name("torch.Tensor");
  } else if constexpr (wants.result == result_form::dlpack) {
    return const_name("typing.Any");
  } else if constexpr (wants.has_device && wants.device != at::kCPU) {
    return argument_text<Folded>();
  } else {
    return annotated(array_text<Folded>(),
                     notes_of<Folded>(wants) + const_name<wants.reads_only>(", \"read-only\"", ""));
  }
}

template <class A, class B>
constexpr bool is_same_text(const A& a, const B& b) {
  bool same = sizeof(a.text) == sizeof(b.text);
  for (std::size_t i = 0; same && i < sizeof(a.text); ++i) same = a.text[i] == b.text[i];
  return same;
}

template <class... Constraints>
constexpr auto signature_of() {
  constexpr auto argument = argument_text<folded<Constraints...>>();
  constexpr auto result = result_text<folded<Constraints...>>();
  if constexpr (is_same_text(argument, result)) {
    return argument;
  } else {
    return io_text(argument, result);
  }
}

enum class text_form { argument, result };

// One form of a signature, without the marks that pybind11 replaces ("@argument@result@").
template <class Descr>
std::string plain_text(const Descr& name, text_form form = text_form::argument) {
  const int left_out = form == text_form::argument ? 2 : 1;
  std::string text;
  int part = 0;  // 1: in an argument's form, 2: in a result's
  for (const char* c = name.text; *c != '\0'; ++c) {
    if (*c == '@') {
      part = (part + 1) % 3;
    } else if (part != left_out) {
      text += *c;
    }
  }
  return text;
}

}  // namespace detail
}  // namespace ndtorch
