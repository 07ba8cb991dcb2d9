// What all tests share: Python at hand, and questions about references and exceptions.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>
#include <pybind11/embed.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace test {

namespace py = pybind11;

// An import whose leaks are not looked for: packages have things that they make then and never free.
py::module_ import_package(const char* name);

// Whether LeakSanitizer finds memory that nothing points to; it reports what. False without it. Asked
// while the interpreter is there: what others lose at its end is no noise then that could hide ours.
bool memory_is_lost();

// The value of a Python expression, which may use np, torch (imported when named), ctypes and the
// variables in `locals`: eval("np.arange(n)", py::arg("n") = 3).
py::object eval_in(const std::string& expression, const py::dict& locals);

template <class... Args>
py::object eval(const std::string& expression, Args&&... args) {
  return eval_in(expression, py::dict(std::forward<Args>(args)...));
}

// The same for an expression whose value is an array.
template <class... Args>
py::array array(const std::string& expression, Args&&... args) {
  return py::reinterpret_borrow<py::array>(eval(expression, std::forward<Args>(args)...));
}

// Whether an expression is true: of `x`, or of what is named, as in eval().
template <class... Names, std::enable_if_t<(std::is_base_of_v<py::arg, Names> && ...), int> = 0>
bool is_true(const std::string& expression, Names... names) {
  return eval(expression, std::move(names)...).template cast<bool>();
}
inline bool is_true(const std::string& expression, py::handle x) {
  return is_true(expression, py::arg("x") = x);
}

inline std::string text_of(py::handle object) { return py::str(object); }
inline std::string repr_of(py::handle object) { return py::repr(object); }

// Python's torch. Where it has none, as beside a LibTorch that is no package of this Python's, the
// test ends here, skipped.
py::module_ import_torch();

// Runs statements with the same names; the variables they set come back.
py::dict exec(const std::string& statements, const py::dict& locals = py::dict());

inline Py_ssize_t references(py::handle object) { return Py_REFCNT(object.ptr()); }

// Whether a Python object is still there, without keeping it.
class watched {
 public:
  explicit watched(py::handle object) : reference_(object) {}
  py::object object() const { return reference_(); }
  bool is_alive() const { return !object().is_none(); }

 private:
  py::weakref reference_;
};

inline py::object base_of(const py::object& array) { return array.attr("base"); }

// Where the elements begin.
inline std::uintptr_t address_of(const at::Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr());
}
inline std::uintptr_t address_of(py::handle torch_tensor) {
  return torch_tensor.attr("data_ptr")().cast<std::uintptr_t>();
}

// Whether two arrays hold the same elements, NaN included, in the same shape and dtype.
bool same_elements(py::handle a, py::handle b);

// A tensor's elements as a new array, copied by hand: nothing of ndtorch's own way back is in it.
py::array elements(const at::Tensor& tensor);

// The text of the exception that `function` throws, which must be an `Error` and nothing derived of
// another kind; fails the test otherwise, or where a Python error stays pending.
template <class Error, class Function>
std::string message_of(Function&& function) {
  std::string message;
  try {
    std::forward<Function>(function)();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const testing::AssertionException&) {
    throw;  // the test was skipped
  } catch (const Error& error) {
    message = error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception was thrown: " << error.what();
  }
  EXPECT_EQ(PyErr_Occurred(), nullptr) << "a Python error is pending";
  PyErr_Clear();
  return message;
}

// While it lives, `import name` gives `stand_in`; with None it fails, as for a missing package.
class import_replaced {
 public:
  import_replaced(const char* name, const py::object& stand_in)
      : name_(name),
        modules_(py::module_::import("sys").attr("modules")),
        before_(modules_.attr("get")(name)) {
    modules_[name] = stand_in;
  }
  ~import_replaced() {
    if (before_.is_none()) {
      modules_.attr("pop")(name_);
    } else {
      modules_[name_] = before_;
    }
  }
  import_replaced(const import_replaced&) = delete;
  import_replaced& operator=(const import_replaced&) = delete;

 private:
  const char* name_;
  py::object modules_;
  py::object before_;
};

// A module that nobody can import.
inline py::module_ new_module() {
  return py::reinterpret_steal<py::module_>(PyModule_New("calls"));
}

// A function of Python's on a C++ one.
template <class Function>
py::cpp_function python_function(
    Function&& function, py::return_value_policy policy = py::return_value_policy::automatic) {
  return py::cpp_function(std::forward<Function>(function), policy);
}

// Calls `function` as Python would: C++ exceptions become Python's.
void call_through_pybind11(const std::function<void()>& function);

// An exception as a Python caller sees it: the name of its class, and its text.
struct python_error {
  std::string type, text;
};

// What Python gets where it calls `function` through pybind11. Fails the test where nothing is
// thrown.
python_error raised_by(const std::function<void()>& function);

// The same for an expression, such as one of PyTorch's, which thereby says what is to be raised.
python_error raised_by_python(const std::string& expression);

// Waits until all is given back that died without the GIL, which this thread gives up meanwhile.
void wait_for_drops();

// Runs `function` to its end on another thread, which does not have the GIL; this one gives it up. What
// died there is given back when this returns.
template <class Function>
void on_thread_without_gil(Function&& function) {
  {
    const py::gil_scoped_release without_gil;
    std::thread(std::forward<Function>(function)).join();
  }
  wait_for_drops();
}

// Drops a tensor here, or on a thread without the GIL.
inline void drop(at::Tensor& tensor, bool with_gil) {
  if (with_gil) {
    tensor.reset();
  } else {
    on_thread_without_gil([&] { tensor.reset(); });
  }
}

}  // namespace test

// Both parts must be in the text: a message says what was wrong and what to do.
#define EXPECT_CONTAINS(text, part)                          \
  EXPECT_NE(std::string(text).find(part), std::string::npos) \
      << "expected: " << (part) << "\n  in: " << (text)
