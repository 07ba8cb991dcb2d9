// detail/python/errors.h: what is thrown where the GIL is missing, and errors in words
#include <ATen/ops/ones.h>
#include <ndtorch/explain.h>
#include <ndtorch/ndtorch.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;
using test::eval;
using test::raised_by;

struct call {
  const char* name;  // as the message has it
  std::function<void()> function;
};

TEST(check_gil, has_each_function_say_that_it_was_called_without_the_gil) {
#ifdef NDEBUG
  GTEST_SKIP() << "only debug builds check";
#else
  const py::object array = eval("np.zeros(3, 'f4')");
  const py::object dtype = array.attr("dtype");
  const at::Tensor tensor = at::ones({3});
  ndtorch::async_array pending = ndtorch::to_numpy_async(tensor);
  const std::vector<call> calls = {
      {"scalar_type", [&] { ndtorch::scalar_type(dtype); }},
      {"numpy_dtype", [] { ndtorch::numpy_dtype(at::kFloat); }},
      {"from_numpy", [&] { ndtorch::from_numpy(array); }},
      {"from_numpy", [&] { ndtorch::from_numpy<float>(array); }},
      {"tensor", [&] { ndtorch::tensor(array); }},
      {"tensor", [&] { ndtorch::tensor<float>(array); }},
      {"Tensor", [&] { ndtorch::Tensor(array); }},
      {"as_tensor", [&] { ndtorch::as_tensor(array); }},
      {"frombuffer", [&] { ndtorch::frombuffer(array, at::kByte); }},
      {"tensor_t::from", [&] { ndtorch::tensor_t<>::from(array); }},
      {"numpy", [&] { ndtorch::numpy(tensor); }},
      {"to_numpy", [&] { ndtorch::to_numpy(tensor); }},
      {"to_numpy", [&] { ndtorch::to_numpy<double>(tensor); }},
      {"to_numpy_async", [&] { ndtorch::to_numpy_async(tensor); }},
      {"async_array::wait", [&] { pending.wait(); }},
      {"to_torch", [&] { ndtorch::to_torch(tensor); }},
      {"to_dlpack", [&] { ndtorch::to_dlpack(tensor); }},
      {"explain", [&] { static_cast<void>(ndtorch::explain(array)); }},
      {"explain", [&] { static_cast<void>(ndtorch::explain(tensor)); }},
  };
  std::vector<std::string> said, expected;
  for (const call& one : calls) {
    expected.push_back("ndtorch::" + std::string(one.name) +
                       " was called without the GIL: take it first, with "
                       "pybind11::gil_scoped_acquire");
  }
  test::on_thread_without_gil([&] {
    for (const call& one : calls) {
      try {
        one.function();
        said.push_back(one.name + std::string(" threw nothing"));
      } catch (const std::runtime_error& error) {
        said.emplace_back(error.what());
      }
    }
  });
  EXPECT_EQ(said, expected);
#endif
}

TEST(exceptions, are_pythons_own) {
  EXPECT_EQ(raised_by([] { throw ndtorch::detail::not_implemented_error("not yet"); }).type,
            "NotImplementedError");
  EXPECT_EQ(raised_by([] { throw ndtorch::detail::assertion_error("never"); }).type,
            "AssertionError");
  EXPECT_EQ(raised_by([] { throw ndtorch::detail::out_of_memory("too much"); }).type,
            "MemoryError");
  EXPECT_EQ(raised_by([] { throw ndtorch::detail::device_out_of_memory("there"); }).type,
            "RuntimeError");
}

TEST(clear_error, forgets_what_an_object_raised) {
  PyErr_SetString(PyExc_ValueError, "the object's");
  ndtorch::detail::clear_error();
  EXPECT_EQ(PyErr_Occurred(), nullptr);
  ndtorch::detail::clear_error();  // where there is none
}

TEST(clear_error, throws_what_is_of_no_object) {
  for (PyObject* const type : {PyExc_KeyboardInterrupt, PyExc_SystemExit, PyExc_MemoryError}) {
    const std::string name = test::text_of(py::handle(type).attr("__name__"));
    EXPECT_EQ(raised_by([&] {
                PyErr_SetNone(type);
                ndtorch::detail::clear_error();
              }).type,
              name);
  }
}

TEST(error_text, is_what_the_exception_says) {
  const auto text_of = [](const char* expression) {
    try {
      eval("(_ for _ in ()).throw(e)", py::arg("e") = eval(expression));
    } catch (const py::error_already_set& error) {
      return ndtorch::detail::error_text(error);
    }
    return std::string("nothing was thrown");
  };
  EXPECT_EQ(text_of("ValueError('the reason')"), "the reason");
  EXPECT_EQ(text_of("ValueError('a file, \\udcff.npy')"), "a file, \\udcff.npy");
  EXPECT_EQ(text_of("type('mute', (ValueError,), {'__str__': lambda self: 1 / 0})()"),
            "a mute without a text");
}

TEST(tuple_text, is_how_python_prints_it) {
  const std::vector<long> sizes = {3, -4, 5};
  EXPECT_EQ(ndtorch::detail::tuple_text(sizes.data(), 0), "()");
  EXPECT_EQ(ndtorch::detail::tuple_text(sizes.data(), 1), "(3,)");
  EXPECT_EQ(ndtorch::detail::tuple_text(sizes.data(), 3), "(3, -4, 5)");
}

}  // namespace
