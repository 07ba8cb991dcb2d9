// Why a call of a function with several overloads failed: pybind11 prints the signatures only.
#pragma once

#include <ndtorch/detail/numpy_api.h>
#include <pybind11/pybind11.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// While one of these lives, the casters on this thread note why they refuse an argument.
class explanation {
 public:
  explanation() : outer_(current()) { current() = this; }
  ~explanation() { current() = outer_; }
  explanation(const explanation&) = delete;
  explanation& operator=(const explanation&) = delete;

  // The innermost one on this thread, or nullptr.
  static explanation*& current() {
    static thread_local explanation* innermost = nullptr;
    return innermost;
  }

  // pybind11 asks each overload twice: the second answer, with conversion, is the one that counts.
  void add(py::handle argument, std::string signature, std::string reason) {
    for (refused& known : refused_) {
      if (known.argument == argument.ptr() && known.signature == signature) {
        known.reason = std::move(reason);
        return;
      }
    }
    refused_.push_back({argument.ptr(), std::move(signature), std::move(reason)});
  }

  std::string text() const {
    std::string text = refused_.empty() ? "" : "\n\nWhy:";
    for (const refused& one : refused_) text += "\n    " + one.signature + ": " + one.reason;
    return text;
  }

 private:
  struct refused {
    PyObject* argument;  // tells arguments apart; not a reference
    std::string signature, reason;
  };

  explanation* outer_;
  std::vector<refused> refused_;
};

// The first parameter of the overload that explains. It takes anything, but only after every other
// overload has refused with conversion, and not while an explanation is under way.
struct last_resort {
  py::object argument;
};

inline constexpr char last_resort_name[] = "ndtorch.last_resort";

// Calls the function once more to hear from the casters, and adds what they say to pybind11's error.
inline py::object call_and_explain(py::handle function, const py::args& args,
                                   const py::kwargs& kwargs) {
  explanation why;
  try {
    return function(*args, **kwargs);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    std::string text = py::str(error.value());
    const std::size_t name = text.find(last_resort_name);
    if (name == std::string::npos) throw;  // not pybind11's, but from inside the function
    // The overload that explains is no way to call the function.
    const std::size_t begin = text.rfind('\n', name);
    const std::size_t end = text.find('\n', name);
    if (begin != std::string::npos && end != std::string::npos) text.erase(begin, end - begin);
    throw py::type_error(text + why.text());
  }
}

}  // namespace detail
}  // namespace ndtorch

namespace pybind11::detail {

template <>
struct type_caster<ndtorch::detail::last_resort> {
  PYBIND11_TYPE_CASTER(ndtorch::detail::last_resort, const_name(ndtorch::detail::last_resort_name));

  bool load(handle source, bool convert) {
    if (!convert || ndtorch::detail::explanation::current() != nullptr) return false;
    value.argument = reinterpret_borrow<object>(source);
    return true;
  }

  static handle cast(const ndtorch::detail::last_resort& value, return_value_policy, handle) {
    return object(value.argument).release();
  }
};

}  // namespace pybind11::detail

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Adds to a function of `scope`, a module or a class, the overload that explains.
inline void add_last_resort(py::handle scope, const char* name) {
  // A method is a wrapped function.
  const auto function =
      py::reinterpret_borrow<py::object>(py::detail::get_function(py::object(scope.attr(name))));
  if (PyCFunction_Check(function.ptr()) == 0) {
    throw py::type_error(std::string("ndtorch::explain_mismatches: ") + name +
                         " is no function that pybind11 made. Define it first.");
  }
  PyMethodDef* const definition = reinterpret_cast<PyCFunctionObject*>(function.ptr())->m_ml;
  const std::string doc = definition->ml_doc != nullptr ? definition->ml_doc : "";

  // Stands for an argument that wasn't given. The function isn't held: it holds its overloads.
  const py::object nothing = py::module_::import("builtins").attr("object")();
  const auto call = [function = py::handle(function), nothing](
                        py::list given, const last_resort& first, const py::args& rest,
                        const py::kwargs& kwargs) {
    if (!first.argument.is(nothing)) given.append(first.argument);
    for (const py::handle& argument : rest) given.append(argument);
    return call_and_explain(function, py::args(py::tuple(given)), kwargs);
  };
  const py::arg_v first = py::arg("_") = last_resort{nothing};
  const bool in_class = PyType_Check(scope.ptr()) != 0;
  const bool is_static =
      in_class && Py_TYPE(py::object(scope.attr("__dict__")[name]).ptr()) == &PyStaticMethod_Type;
  if (in_class && !is_static) {
    py::cpp_function(
        [call](const last_resort& self, const last_resort& argument, const py::args& rest,
               const py::kwargs& kwargs) {
          py::list given;
          given.append(self.argument);
          return call(given, argument, rest, kwargs);
        },
        py::name(name), py::is_method(scope), py::sibling(function), first);
  } else {
    py::cpp_function(
        [call](const last_resort& argument, const py::args& rest, const py::kwargs& kwargs) {
          return call(py::list(), argument, rest, kwargs);
        },
        py::name(name), py::scope(scope), py::sibling(function), first);
  }
  // pybind11 has rewritten the docstring, which isn't about this overload. It frees the text itself.
  std::free(const_cast<char*>(definition->ml_doc));
  definition->ml_doc = doc.empty() ? nullptr : PYBIND11_COMPAT_STRDUP(doc.c_str());
}

}  // namespace detail
}  // namespace ndtorch
