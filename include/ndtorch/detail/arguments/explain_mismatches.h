// Why a call of a function with several overloads failed: pybind11 prints the signatures only.
#pragma once

#include <c10/util/StringUtil.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/bools.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
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
  void refused(py::handle argument, const std::string& signature, std::string reason) {
    const auto known = find(argument, signature);
    if (known != refusals_.end()) {
      known->reason = std::move(reason);
    } else {
      refusals_.push_back({argument.ptr(), signature, std::move(reason)});
    }
  }
  void accepted(py::handle argument, const std::string& signature) {
    const auto known = find(argument, signature);
    if (known != refusals_.end()) refusals_.erase(known);
  }

  // `self` is no argument to who reads it.
  std::string text(const py::args& args, const py::kwargs& kwargs, bool has_self) const {
    std::string text = refusals_.empty() ? "" : "\n\nWhy:";
    for (const refused_argument& one : refusals_) {
      text += "\n    ";
      const auto is_it = [&](py::handle given) { return given.ptr() == one.argument; };
      if (const auto at = std::find_if(args.begin(), args.end(), is_it); at != args.end()) {
        text += c10::str("argument ", at - args.begin() + (has_self ? 0 : 1), ", ");
      }
      for (const auto& [name, value] : kwargs) {
        if (is_it(value)) text += "argument " + utf8(py::str(name)) + ", ";
      }
      text += one.signature + ": " + one.reason;
    }
    return text;
  }

 private:
  struct refused_argument {
    PyObject* argument;  // tells arguments apart; not a reference
    std::string signature, reason;
  };

  std::vector<refused_argument>::iterator find(py::handle argument, const std::string& signature) {
    return std::find_if(refusals_.begin(), refusals_.end(), [&](const refused_argument& one) {
      return one.argument == argument.ptr() && one.signature == signature;
    });
  }

  explanation* outer_;
  std::vector<refused_argument> refusals_;
};

// The first two parameters of the overload that explains. They take anything, but only after every
// other overload has refused with conversion, and not while an explanation is under way.
struct last_resort {
  py::object argument;
};

inline constexpr char last_resort_name[] = "ndtorch.last_resort";

// What has been read can't be read again: a generator that one caster has emptied would be an empty
// sequence to it now, and the function would run with that.
inline bool is_used_up(py::handle object) {
  return PyIter_Check(object.ptr()) != 0 && PySequence_Check(object.ptr()) == 0 &&
         !py::hasattr(py::type::handle_of(object), "__array__");
}

// The same object, or where it is used up, or has items that are, one that looks the same in a message,
// and that no caster takes which would have read it. (pybind11 knows some types by their names.)
inline py::object readable_again(py::handle object, bool has_items = true) {
  if (is_used_up(object)) {
    const auto type = py::handle(reinterpret_cast<PyObject*>(&PyType_Type));
    const py::object repr = object.attr("__repr__");
    return type(type_name(object) + " (read already)", build_value("()"),
                build_value("{s:O}", "__repr__", repr.ptr()))();
  }
  const bool is_list = PyList_CheckExact(object.ptr()) != 0;
  if (!has_items || !(is_list || PyTuple_CheckExact(object.ptr()))) {
    return py::reinterpret_borrow<py::object>(object);
  }
  py::list items;
  bool changed = false;
  for (const py::handle item : object) {
    const py::object readable = readable_again(item, /*has_items=*/false);
    changed |= !readable.is(item);
    items.append(readable);
  }
  if (!changed) return py::reinterpret_borrow<py::object>(object);
  return is_list ? py::object(items) : py::object(py::tuple(items));
}

// Calls the function once more to hear from the casters, and adds what they say to pybind11's error.
inline py::object call_and_explain(py::handle function, const py::args& args,
                                   const py::kwargs& kwargs, bool has_self) {
  bool used_up = false;
  const auto read_again = [&](py::handle argument) {
    py::object again = readable_again(argument);
    used_up |= !again.is(argument);
    return again;
  };
  py::list readable;
  py::dict readable_by_name;
  for (const py::handle argument : args) {
    const bool is_self = has_self && readable.empty();  // which no caster reads, be it an iterator
    readable.append(is_self ? py::reinterpret_borrow<py::object>(argument) : read_again(argument));
  }
  for (const auto& [name, value] : kwargs) readable_by_name[name] = read_again(value);
  explanation why;
  try {
    return function(*readable, **readable_by_name);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    std::string text = error_text(error);
    if (text.find(last_resort_name) == std::string::npos) throw;  // from inside the function
    // The overload that explains is no way to call the function.
    for (auto name = text.find(last_resort_name); name != std::string::npos;
         name = text.find(last_resort_name)) {
      const std::size_t begin = text.rfind('\n', name);
      text.erase(begin, text.find('\n', name) - begin);
    }
    text += why.text(py::args(py::tuple(readable)), py::kwargs(readable_by_name), has_self);
    if (used_up) {
      text +=
          "\n\nAn iterator among the arguments can be read only once, and was not read again to "
          "say why. Pass a list, list(iterator), to hear what is wrong with its items.";
    }
    throw py::type_error(text);
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

// As py::is_method, which counts as a parameter and would leave `self` without a default.
struct method_of {
  py::handle scope;
  bool is_method;
};

}  // namespace detail
}  // namespace ndtorch

namespace pybind11::detail {

template <>
struct process_attribute<ndtorch::detail::method_of>
    : process_attribute_default<ndtorch::detail::method_of> {
  static void init(const ndtorch::detail::method_of& method, function_record* record) {
    record->scope = method.scope;
    record->is_method = method.is_method;
  }
};

}  // namespace pybind11::detail

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Adds to a function of `scope`, a module or a class, the overload that explains.
inline void add_last_resort(py::handle scope, const char* name) {
  // A method is a wrapped function. In a module that is being made Python says of a missing name that its
  // import is circular.
  const auto function = py::reinterpret_borrow<py::object>(
      py::detail::get_function(py::getattr(scope, name, py::none())));
  const auto throw_not_ours = [&] {
    throw py::type_error(std::string("ndtorch::explain_mismatches: ") + name +
                         " is no function that pybind11 made in this scope. Define it first.");
  };
  if (PyCFunction_Check(function.ptr()) == 0) throw_not_ours();
  PyMethodDef* const definition = reinterpret_cast<PyCFunctionObject*>(function.ptr())->m_ml;
  const std::string doc = definition->ml_doc != nullptr ? definition->ml_doc : "";
  const py::object entry = scope.attr("__dict__").attr("get")(name);
  const bool is_method =
      PyType_Check(scope.ptr()) != 0 && Py_TYPE(entry.ptr()) != &PyStaticMethod_Type;

  // Stands for an argument that wasn't given. The function isn't held: it holds its overloads.
  const py::object nothing = py::module_::import("builtins").attr("object")();
  const py::cpp_function overload(
      [function = py::handle(function), nothing, is_method](
          const last_resort& first, const last_resort& second, const py::args& rest,
          const py::kwargs& kwargs) {
        py::list given;
        for (const last_resort* one : {&first, &second}) {
          if (!one->argument.is(nothing)) given.append(one->argument);
        }
        for (const py::handle& argument : rest) given.append(argument);
        return call_and_explain(function, py::args(py::tuple(given)), kwargs, is_method);
      },
      // Names that no keyword has, the first as long as the `self` that pybind11 cuts off for a
      // constructor's message.
      py::sibling(function), py::arg("any.") = last_resort{nothing},
      py::arg("any..") = last_resort{nothing}, method_of{scope, is_method});
  // Else pybind11 made a new function of it: this one is a base class's, or not pybind11's at all.
  if (!py::detail::get_function(overload).is(function)) throw_not_ours();
  // pybind11 has rewritten the docstring, which isn't about this overload. It frees the text itself.
  std::free(const_cast<char*>(definition->ml_doc));  // NOLINT(cppcoreguidelines-no-malloc)
  definition->ml_doc = doc.empty() ? nullptr : PYBIND11_COMPAT_STRDUP(doc.c_str());
}

}  // namespace detail
}  // namespace ndtorch
