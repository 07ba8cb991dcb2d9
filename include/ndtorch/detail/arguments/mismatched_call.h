// A call that no overload of a pybind11 function took, and why not, in words.
#pragma once

#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What a typed argument's caster has said of an object. The signature is that of the C++ type; pybind11
// writes its other form, a result's, where an argument is not converted.
struct refused_argument {
  PyObject* argument;  // tells arguments apart; not a reference
  std::string signature, other_form, reason;
};

struct parameter {
  std::string name, type;
  bool has_default = false;
  bool by_keyword_only = false;
};

// A signature as pybind11 writes it: "(x: numpy.typing.ArrayLike, n: int = 3, *args, **kwargs) -> None".
class overload_signature {
 public:
  explicit overload_signature(const char* text) : text_(text) {
    const std::size_t begin = text_.find('(');
    std::size_t first = begin + 1;
    int depth = 0;
    bool quoted = false;
    for (std::size_t i = begin; begin != std::string::npos && i < text_.size(); ++i) {
      const char c = text_[i];
      if (c == '"' || c == '\'') quoted = !quoted;
      if (quoted) continue;
      depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
      if (depth != 0 && !(depth == 1 && c == ',')) continue;
      add(text_.substr(first, i - first));
      first = i + 2;
      if (depth == 0) return;
    }
  }

  const std::string& text() const { return text_; }
  const std::vector<parameter>& parameters() const { return parameters_; }
  bool takes_more() const { return takes_more_; }
  bool takes_keywords() const { return takes_keywords_; }

 private:
  void add(const std::string& part) {
    if (part.empty() || part == "/") return;
    if (part.compare(0, 2, "**") == 0) {
      takes_keywords_ = true;
    } else if (part[0] == '*') {
      takes_more_ |= part.size() > 1;
      by_keyword_only_ = true;
    } else {
      const std::size_t colon = part.find(": ");
      const std::size_t value = part.rfind(" = ");
      parameter one;
      one.name = part.substr(0, std::min(colon, value));
      if (colon != std::string::npos) one.type = part.substr(colon + 2, value - colon - 2);
      one.has_default = value != std::string::npos;
      one.by_keyword_only = by_keyword_only_;
      parameters_.push_back(std::move(one));
    }
  }

  std::string text_;
  std::vector<parameter> parameters_;
  bool takes_more_ = false, takes_keywords_ = false, by_keyword_only_ = false;
};

// What an object is, in a few words: a repr may be long, take long, or fail.
inline std::string short_text(py::handle object) {
  constexpr std::size_t most = 60;
  if (api().is_array(object)) {
    const auto* const array = reinterpret_cast<const array_object*>(object.ptr());
    return "an array of shape " +
           tuple_text(array->dimensions, static_cast<std::size_t>(array->nd)) + ", dtype " +
           dtype_text(array->descr);
  }
  if (object.is_none() || PyBool_Check(object.ptr()) || PyFloat_CheckExact(object.ptr()) ||
      PyUnicode_CheckExact(object.ptr())) {
    const std::string text = utf8(py::repr(object));
    return text.size() <= most ? text : text.substr(0, most) + "...";
  }
  if (PyLong_CheckExact(object.ptr())) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    return overflow == 0 ? std::to_string(value) : "an int beyond 64 bits";
  }
  std::string text = "a " + type_name(object);
  if (PyList_CheckExact(object.ptr()) || PyTuple_CheckExact(object.ptr())) {
    text += " of length " + std::to_string(PySequence_Fast_GET_SIZE(object.ptr()));
  }
  return text;
}

class mismatched_call {
 public:
  mismatched_call(std::string name, std::vector<const py::detail::function_record*> overloads,
                  py::tuple args, py::dict kwargs, const std::vector<refused_argument>& refusals,
                  bool has_self)
      : name_(std::move(name)),
        overloads_(std::move(overloads)),
        args_(std::move(args)),
        kwargs_(std::move(kwargs)),
        refusals_(refusals),
        has_self_(has_self) {}

  // The reasons first, then what would do, then what came.
  std::string text() const {
    const py::detail::function_record& first = *overloads_.front();
    std::string text = name_ + "(): incompatible " +
                       (first.is_constructor ? "constructor" : "function") + " arguments";
    const std::vector<said_reason> reasons = all_reasons();
    if (reasons.size() == 1 && reasons.front().overloads.size() == overloads_.size()) {
      text += ": " + reasons.front().text + "\n";
    } else {
      text += reasons.empty() ? ".\n" : ":\n";
      for (const said_reason& reason : reasons) {
        text += "    " + reason.text + overloads_text(reason) + "\n";
      }
    }
    text += "\nThe following argument types are supported:\n";
    for (std::size_t i = 0; i < overloads_.size(); ++i) {
      text += "    " + std::to_string(i + 1) + ". " + signature_text(*overloads_[i]) + "\n";
    }
    return text + "\nInvoked with: " + given_text();
  }

 private:
  struct said_reason {
    std::string text;
    std::vector<std::size_t> overloads;  // their numbers, from 1 on
  };

  // What is wrong for one overload; whether that is the call's form, and not an argument.
  struct refusal_of_call {
    std::string text;
    bool of_form = false;
  };

  // The reasons of overloads that the call fits; where it fits none, why that is. What several overloads say
  // is said once.
  std::vector<said_reason> all_reasons() const {
    std::vector<refusal_of_call> found;
    for (const py::detail::function_record* const overload : overloads_) {
      found.push_back(reason_of(overload_signature(overload->signature)));
    }
    const bool fits_one = std::any_of(found.begin(), found.end(),
                                      [](const refusal_of_call& one) { return !one.of_form; });
    std::vector<said_reason> said;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i].text.empty() || (fits_one && found[i].of_form)) continue;
      const auto same = std::find_if(said.begin(), said.end(), [&](const said_reason& one) {
        return one.text == found[i].text;
      });
      if (same == said.end()) {
        said.push_back({found[i].text, {i + 1}});
      } else {
        same->overloads.push_back(i + 1);
      }
    }
    return said;
  }

  std::string overloads_text(const said_reason& reason) const {
    if (reason.overloads.size() == overloads_.size()) return "";
    std::string text = reason.overloads.size() == 1 ? " (overload " : " (overloads ";
    for (std::size_t i = 0; i < reason.overloads.size(); ++i) {
      text += (i > 0 ? ", " : "") + std::to_string(reason.overloads[i]);
    }
    return text + ")";
  }

  refusal_of_call reason_of(const overload_signature& overload) const {
    const std::vector<parameter>& parameters = overload.parameters();
    std::vector<py::object> given(parameters.size());
    std::size_t by_position = 0;
    while (by_position < parameters.size() && !parameters[by_position].by_keyword_only) {
      ++by_position;
    }
    const std::size_t self = has_self_ ? 1 : 0;
    if (args_.size() > by_position && !overload.takes_more()) {
      return {"it takes " + std::to_string(by_position - self) + " positional " +
                  (by_position - self == 1 ? "argument" : "arguments") + " (got " +
                  std::to_string(args_.size() - self) + ").",
              true};
    }
    for (std::size_t i = 0; i < std::min(by_position, args_.size()); ++i) given[i] = args_[i];
    for (const auto& [key, value] : kwargs_) {
      const std::string name = utf8(py::str(key));
      const auto named = std::find_if(parameters.begin(), parameters.end(),
                                      [&](const parameter& one) { return one.name == name; });
      if (named == parameters.end()) {
        if (overload.takes_keywords()) continue;
        return {"it has no argument '" + name + "'.", true};
      }
      py::object& place = given[static_cast<std::size_t>(named - parameters.begin())];
      if (place) return {"argument '" + name + "' was given twice.", true};
      place = py::reinterpret_borrow<py::object>(value);
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!given[i] && !parameters[i].has_default) {
        return {label(parameters[i], i) + " is missing.", true};
      }
    }
    return {reason_of_arguments(parameters, given), false};
  }

  // pybind11 stops at the first argument that is refused.
  std::string reason_of_arguments(const std::vector<parameter>& parameters,
                                  const std::vector<py::object>& given) const {
    std::string suspect;  // of a type that nothing here knows
    int suspects = 0;
    for (std::size_t i = has_self_ ? 1 : 0; i < parameters.size(); ++i) {
      if (!given[i]) continue;
      const parameter& one = parameters[i];
      if (const refused_argument* const refused = refusal_of(given[i], one.type)) {
        const bool is_item = refused->argument != given[i].ptr();
        return (is_item ? "an item of " : "") + label(one, i) + ": " + refused->reason;
      }
      const std::string expected =
          label(one, i) + ": expected " + one.type + " (got " + short_text(given[i]) + ").";
      switch (is_of_simple_type(given[i], one.type)) {
        case answer::no:
          return expected;
        case answer::unknown:
          suspect = expected;
          ++suspects;
          break;
        case answer::yes:
          break;
      }
    }
    return suspects == 1 ? suspect : "";
  }

  // That of the argument itself, or of an item of it, which has no place of its own.
  const refused_argument* refusal_of(py::handle argument, const std::string& type) const {
    const refused_argument* of_item = nullptr;
    for (const refused_argument& one : refusals_) {
      const bool is_whole = type == one.signature || type == one.other_form;
      if (!is_whole && type.find(one.signature) == std::string::npos &&
          type.find(one.other_form) == std::string::npos) {
        continue;
      }
      if (one.argument == argument.ptr()) return &one;
      if (!is_whole && !is_given(one.argument)) of_item = &one;
    }
    return of_item;
  }

  bool is_given(PyObject* object) const {
    for (const py::handle one : args_) {
      if (one.ptr() == object) return true;
    }
    for (const auto& [name, value] : kwargs_) {
      if (value.ptr() == object) return true;
    }
    return false;
  }

  enum class answer { yes, no, unknown };

  // Of the types that Python's own objects are known by; pybind11 3 names what it converts, such as
  // "typing.SupportsInt | typing.SupportsIndex".
  static answer is_of_simple_type(py::handle object, const std::string& type) {
    const auto starts = [&](const char* text) { return type.rfind(text, 0) == 0; };
    const auto as = [](bool is) { return is ? answer::yes : answer::no; };
    PyObject* const o = object.ptr();
    const PyNumberMethods* const number = Py_TYPE(o)->tp_as_number;
    const bool is_index = PyIndex_Check(o) != 0;
    if (type == "int" || starts("typing.SupportsInt")) {
      return as(is_index ||
                (PyFloat_Check(o) == 0 && number != nullptr && number->nb_int != nullptr));
    }
    if (type == "float" || starts("typing.SupportsFloat")) {
      return as(is_index || PyFloat_Check(o) != 0 ||
                (number != nullptr && number->nb_float != nullptr));
    }
    if (type == "bool") return as(number != nullptr && number->nb_bool != nullptr);
    if (type == "str") return as(PyUnicode_Check(o) != 0 || PyBytes_Check(o) != 0);
    if (type == "dict" || starts("dict[")) return as(PyDict_Check(o) != 0);
    if (type == "list") return as(PyList_Check(o) != 0);
    if (type == "tuple") return as(PyTuple_Check(o) != 0);
    if (starts("collections.abc.Callable")) return as(PyCallable_Check(o) != 0 || object.is_none());
    const bool is_tensor =
        type.find("numpy.typing.") != std::string::npos || starts("typing.Annotated[typing.Any");
    return is_tensor || type.empty() || type == "object" || type == "handle" || type == "typing.Any"
               ? answer::yes
               : answer::unknown;
  }

  // By its name, or by its place where pybind11 made the name up. `self` is no argument to who reads it.
  std::string label(const parameter& one, std::size_t place) const {
    const bool has_name = one.name.compare(0, 3, "arg") != 0 || one.name.size() == 3 ||
                          !std::all_of(one.name.begin() + 3, one.name.end(),
                                       [](unsigned char c) { return std::isdigit(c) != 0; });
    return has_name ? "argument '" + one.name + "'"
                    : "argument " + std::to_string(place + (has_self_ ? 0 : 1));
  }

  // As pybind11 writes it: a constructor is called by the name of its class.
  static std::string signature_text(const py::detail::function_record& overload) {
    const std::string text = overload.signature;
    if (!overload.is_constructor) return text;
    const std::size_t start = text.find("self: ");
    const std::size_t end = std::min(text.find(", "), text.find(')'));
    const std::size_t result = text.rfind(" -> ");
    if (start == std::string::npos || end == std::string::npos || end < start) return text;
    const std::size_t next = text[end] == ',' ? end + 2 : end;
    return text.substr(start + 6, end - start - 6) + "(" + text.substr(next, result - next);
  }

  std::string given_text() const {
    std::string text;
    const auto add = [&](const std::string& one) { text += (text.empty() ? "" : "; ") + one; };
    for (std::size_t i = has_self_ ? 1 : 0; i < args_.size(); ++i) add(short_text(args_[i]));
    for (const auto& [name, value] : kwargs_) {
      add(utf8(py::str(name)) + "=" + short_text(value));
    }
    return text.empty() ? "nothing" : text;
  }

  std::string name_;
  std::vector<const py::detail::function_record*> overloads_;
  py::tuple args_;
  py::dict kwargs_;
  const std::vector<refused_argument>& refusals_;
  bool has_self_;
};

}  // namespace detail
}  // namespace ndtorch
