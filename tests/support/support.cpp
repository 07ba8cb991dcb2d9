#include "support/support.h"

#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/dtype.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

// LeakSanitizer's, where a test is built with it.
extern "C" {
[[gnu::weak]] void __lsan_disable();
[[gnu::weak]] void __lsan_enable();
[[gnu::weak]] int __lsan_do_recoverable_leak_check();
}

namespace test {

namespace {

// While it lives, what this thread allocates is no leak.
struct leaks_allowed {
  leaks_allowed() {
    if (__lsan_disable != nullptr) __lsan_disable();
  }
  ~leaks_allowed() {
    if (__lsan_enable != nullptr) __lsan_enable();
  }
  leaks_allowed(const leaks_allowed&) = delete;
  leaks_allowed& operator=(const leaks_allowed&) = delete;
};

py::dict names(const std::string& code, const py::dict& locals) {
  py::dict names;
  names["__builtins__"] = py::module_::import("builtins");
  names["np"] = import_package("numpy");
  names["ctypes"] = py::module_::import("ctypes");
  if (code.find("torch") != std::string::npos) names["torch"] = import_torch();
  if (code.find("ml_dtypes") != std::string::npos) {
    names["ml_dtypes"] = import_package("ml_dtypes");
  }
  for (const auto& [name, value] : locals) names[name] = value;
  return names;
}

}  // namespace

py::module_ import_package(const char* name) {
  const leaks_allowed kept;
  return py::module_::import(name);
}

py::module_ import_torch() {
  try {
    return import_package("torch");
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ModuleNotFoundError)) throw;
  }
  [] { GTEST_SKIP() << "Python has no torch"; }();
  // GoogleTest takes it for the end of the test, and for nothing else.
  throw testing::AssertionException(
      testing::TestPartResult(testing::TestPartResult::kSkip, __FILE__, __LINE__, "no torch"));
}

bool memory_is_lost() {
  if (__lsan_do_recoverable_leak_check == nullptr) return false;
  py::module_::import("gc").attr("collect")();
  return __lsan_do_recoverable_leak_check() != 0;
}

py::object eval_in(const std::string& expression, const py::dict& locals) {
  return py::eval(expression, names(expression, locals));
}

py::dict exec(const std::string& statements, const py::dict& locals) {
  py::dict variables = names(statements, locals);
  py::exec(statements, variables);
  return variables;
}

bool same_elements(py::handle a, py::handle b) {
  // As bytes, so that NaN equals itself and no dtype needs an == of its own.
  return is_true(
      "a.shape == b.shape and a.dtype == b.dtype and "
      "np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()",
      py::arg("a") = a, py::arg("b") = b);
}

void call_through_pybind11(const std::function<void()>& function) {
  std::exception_ptr end_of_test;
  const py::cpp_function callable([&] {
    try {
      function();
    } catch (const testing::AssertionException&) {
      end_of_test = std::current_exception();
    }
  });
  callable();
  if (end_of_test) std::rethrow_exception(end_of_test);
}

python_error raised_by(const std::function<void()>& function) {
  python_error raised;
  try {
    call_through_pybind11(function);
    ADD_FAILURE() << "nothing was thrown";
  } catch (py::error_already_set& error) {
    raised.type = py::str(error.type().attr("__name__"));
    raised.text = py::str(error.value());
  }
  EXPECT_EQ(PyErr_Occurred(), nullptr) << "a Python error is pending";
  PyErr_Clear();
  return raised;
}

python_error raised_by_python(const std::string& expression) {
  return raised_by([&] { eval(expression); });
}

void wait_for_drops() {
  ndtorch::detail::object_deleter();  // is known from then on whose queue it is
  const auto& waiting = *ndtorch::detail::known_waiting_references().load();
  const py::gil_scoped_release without_gil;
  while (waiting.count != 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
}

py::array elements(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().contiguous();
  const py::array result(ndtorch::numpy_dtype(dense.scalar_type()), dense.sizes().vec());
  if (dense.numel() == 0) return result;  // its pointer may be null
  std::memcpy(const_cast<void*>(result.data()), dense.const_data_ptr(), dense.nbytes());
  return result;
}

}  // namespace test
