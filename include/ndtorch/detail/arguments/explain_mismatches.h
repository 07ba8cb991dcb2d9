// The overload that says why all others refused a call.
#pragma once

#include <ndtorch/detail/arguments/mismatched_call.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
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
  // Of a call that is made once more for its sake.
  explanation(py::handle function, const py::list& args, const py::dict& kwargs)
      : outer_(current()), function_(function), args_(args), kwargs_(kwargs) {
    current() = this;
  }
  explanation() : explanation({}, py::list(), py::dict()) {}
  ~explanation() { current() = outer_; }
  explanation(const explanation&) = delete;
  explanation& operator=(const explanation&) = delete;

  // The innermost one on this thread, or nullptr.
  static explanation*& current() {
    static thread_local explanation* innermost = nullptr;
    return innermost;
  }

  // pybind11 asks each overload twice: the second answer, with conversion, is the one that counts.
  void refused(py::handle argument, const std::string& signature, const std::string& other_form,
               std::string reason) {
    const auto known = find(argument, signature);
    if (known != refusals_.end()) {
      known->reason = std::move(reason);
    } else {
      refusals_.push_back({argument.ptr(), signature, other_form, std::move(reason)});
    }
  }
  void accepted(py::handle argument, const std::string& signature) {
    const auto known = find(argument, signature);
    if (known != refusals_.end()) refusals_.erase(known);
  }
  const std::vector<refused_argument>& refusals() const { return refusals_; }

  // Told by the overload that explains, which comes last. Casters may run Python code, which may make
  // calls of its own: those have other arguments.
  bool ends_with(py::handle function, const py::list& args, const py::kwargs& kwargs) {
    if (!function.is(function_) || args.size() != args_.size() || kwargs.size() != kwargs_.size()) {
      return false;
    }
    for (std::size_t i = 0; i < args.size(); ++i) {
      if (!args[i].is(args_[i])) return false;
    }
    all_refused_ = true;
    return true;
  }
  bool all_refused() const { return all_refused_; }

 private:
  std::vector<refused_argument>::iterator find(py::handle argument, const std::string& signature) {
    return std::find_if(refusals_.begin(), refusals_.end(), [&](const refused_argument& one) {
      return one.argument == argument.ptr() && one.signature == signature;
    });
  }

  explanation* outer_;
  py::handle function_;
  py::list args_;
  py::dict kwargs_;
  std::vector<refused_argument> refusals_;
  bool all_refused_ = false;
};

// The first two parameters of the overload that explains. They take anything, but only after every
// other overload has refused with conversion.
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

// Returns the object itself. Where it, or one of its items, is used up, returns a stand-in that looks
// the same in a message and that no caster accepts which would have read the original. (pybind11 knows
// some types by their names.)
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

// pybind11's own records of a function's overloads, without the one that explains; none where pybind11
// didn't make the function.
inline std::vector<const py::detail::function_record*> overloads_of(py::handle function) {
  std::vector<const py::detail::function_record*> overloads;
  PyObject* const self =
      PyCFunction_Check(function.ptr()) != 0 ? PyCFunction_GET_SELF(function.ptr()) : nullptr;
  if (self == nullptr) return overloads;
#if PYBIND11_VERSION_MAJOR >= 3
  const py::detail::function_record* record = py::detail::function_record_ptr_from_PyObject(self);
#else
  if (PyCapsule_CheckExact(self) == 0) return overloads;
  const auto capsule = py::reinterpret_borrow<py::capsule>(self);
  if (!py::detail::is_function_record_capsule(capsule)) return overloads;
  const py::detail::function_record* record = capsule.get_pointer<py::detail::function_record>();
#endif
  for (; record != nullptr; record = record->next) {
    if (std::strstr(record->signature, last_resort_name) == nullptr) overloads.push_back(record);
  }
  return overloads;
}

// Calls the function once more to hear from the casters, and says what they did. `name` is what the
// function is called in an error.
inline py::object call_and_explain(py::handle function, const std::string& name,
                                   const py::args& args, const py::kwargs& kwargs, bool has_self) {
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
  for (const auto& [key, value] : kwargs) readable_by_name[key] = read_again(value);
  explanation why(function, readable, readable_by_name);
  try {
    return function(*readable, **readable_by_name);  // another answer than before
  } catch (const py::error_already_set&) {
    if (!why.all_refused()) throw;
  }
  const auto overloads = overloads_of(function);
  if (overloads.empty() || overloads.front()->is_operator) {
    return py::reinterpret_borrow<py::object>(Py_NotImplemented);  // Python asks the other operand
  }
  std::string text = mismatched_call(name, overloads, py::tuple(readable), readable_by_name,
                                     why.refusals(), has_self)
                         .text();
  if (used_up) {
    text +=
        "\n\nAn iterator among the arguments can be read only once, and was not read again to say "
        "why. Pass a list, list(iterator), to hear what is wrong with its items.";
  }
  throw py::type_error(text);
}

}  // namespace detail
}  // namespace ndtorch

namespace pybind11::detail {

template <>
struct type_caster<ndtorch::detail::last_resort> {
  PYBIND11_TYPE_CASTER(ndtorch::detail::last_resort, const_name(ndtorch::detail::last_resort_name));

  bool load(handle source, bool convert) {
    if (!convert) return false;
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

// Adds to a function that pybind11 made in `scope`, a module or a class, the overload that explains. Says
// whether it is one. A property's setter has no name of its own.
inline bool add_last_resort(py::handle scope, const py::object& function,
                            const std::string& setter = "") {
  if (!function) return false;
  const auto known = overloads_of(function);
  if (known.empty()) return false;
  const py::detail::function_record& first = *known.front();
  // pybind11 chains functions of one scope. The setter of a static property has none.
  if (first.scope && !first.scope.is(scope)) return false;
  const std::string name = setter.empty() ? first.name : setter;
  const bool is_method = first.is_method;
  PyMethodDef* const definition = reinterpret_cast<PyCFunctionObject*>(function.ptr())->m_ml;
  const std::string doc = definition->ml_doc != nullptr ? definition->ml_doc : "";

  // Stands for an argument that wasn't given. The function isn't held: it holds its overloads.
  const py::object nothing = py::module_::import("builtins").attr("object")();
  const py::cpp_function overload(
      [function = py::handle(function), nothing, name, is_method](
          const last_resort& one_given, const last_resort& next_given, const py::args& rest,
          const py::kwargs& kwargs) {
        py::list given;
        for (const last_resort* one : {&one_given, &next_given}) {
          if (!one->argument.is(nothing)) given.append(one->argument);
        }
        for (const py::handle& argument : rest) given.append(argument);
        explanation* const under_way = explanation::current();
        if (under_way != nullptr && under_way->ends_with(function, given, kwargs)) {
          // After a result pybind11 would take a constructor's object for made.
          throw py::type_error("");
        }
        return call_and_explain(function, name, py::args(py::tuple(given)), kwargs, is_method);
      },
      // Names that no keyword has, the first as long as the `self` that pybind11 cuts off for a
      // constructor's message.
      py::sibling(function), py::arg("any.") = last_resort{nothing},
      py::arg("any..") = last_resort{nothing}, method_of{first.scope, is_method});
  // Else pybind11 made a new function of it: this one is a base class's, or not pybind11's at all.
  if (!py::detail::get_function(overload).is(function)) return false;
  // pybind11 has rewritten the docstring, which isn't about this overload. It frees the text itself.
  std::free(const_cast<char*>(definition->ml_doc));  // NOLINT(cppcoreguidelines-no-malloc)
  definition->ml_doc = doc.empty() ? nullptr : PYBIND11_COMPAT_STRDUP(doc.c_str());
  return true;
}

// A function, as it stands in the dictionary of a module or a class: bare there, or wrapped by a method. Null
// where it is none.
inline py::object function_in(py::handle entry) {
  if (!entry) return {};
  if (Py_TYPE(entry.ptr()) == &PyStaticMethod_Type) {
    return py::reinterpret_borrow<py::object>(entry.attr("__func__"));
  }
  return py::reinterpret_borrow<py::object>(py::detail::get_function(entry));
}

inline bool explain_entry(py::handle scope, py::handle entry) {
  return add_last_resort(scope, function_in(entry));
}

// The same of all that a module or a class has: functions, methods, constructors, the setters of properties,
// and the classes and modules in it.
inline void explain_all(py::handle scope) {
  const auto name = [](py::handle object) {
    return utf8(py::str(py::getattr(object, "__name__", py::str(""))));
  };
  const auto entries =
      py::reinterpret_steal<py::list>(PyMapping_Items(py::object(scope.attr("__dict__")).ptr()));
  if (!entries) throw_python_error();
  for (const py::handle pair : entries) {
    const auto [key, entry] = std::pair<py::object, py::object>(
        py::reinterpret_borrow<py::tuple>(pair)[0], py::reinterpret_borrow<py::tuple>(pair)[1]);
    if (PyType_Check(entry.ptr()) != 0) {
      // One that was made here: not a base class's, nor another module's.
      const bool is_bound =
          PyObject_TypeCheck(entry.ptr(), py::detail::get_internals().default_metaclass) != 0;
      const std::string module = utf8(py::str(py::getattr(entry, "__module__", py::str(""))));
      const bool is_here = PyType_Check(scope.ptr()) != 0
                               ? module == utf8(py::str(scope.attr("__module__")))
                               : module == name(scope);
      if (is_bound && is_here) explain_all(entry);
    } else if (PyModule_Check(entry.ptr()) != 0) {
      if (name(entry).rfind(name(scope) + ".", 0) == 0) explain_all(entry);
    } else if (PyObject_TypeCheck(entry.ptr(), &PyProperty_Type) != 0) {
      add_last_resort(scope, function_in(py::object(entry.attr("fset"))),
                      name(scope) + "." + utf8(py::str(key)));
    } else {
      explain_entry(scope, entry);
    }
  }
}

}  // namespace detail
}  // namespace ndtorch
