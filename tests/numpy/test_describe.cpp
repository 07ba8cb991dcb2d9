// detail/numpy/describe.h: arrays and dtypes in an error's words
#include <ndtorch/detail/numpy/describe.h>

#include <string>

#include "support/support.h"

namespace {

namespace py = pybind11;

TEST(dtype_text, is_how_numpy_prints_it) {
  for (const char* const dtype : {"float32", ">f8", "U3", "f4,i8", "datetime64[s]"}) {
    const py::object made = test::eval("np.dtype(d)", py::arg("d") = dtype);
    EXPECT_EQ(ndtorch::detail::dtype_text(
                  reinterpret_cast<const ndtorch::detail::array_descr*>(made.ptr())),
              test::text_of(made));
  }
}

TEST(describe, says_an_arrays_shape_strides_and_dtype) {
  const auto text_of = [](const char* expression) {
    const py::array array = test::array(expression);
    return ndtorch::detail::describe(
        reinterpret_cast<const ndtorch::detail::array_object*>(array.ptr()));
  };
  EXPECT_EQ(text_of("np.zeros((2, 3), '>f4')[:, ::-1]"),
            "an array of shape (2, 3), strides (12, -4) bytes, dtype >f4");
  EXPECT_EQ(text_of("np.zeros(5)"), "an array of shape (5,), strides (8,) bytes, dtype float64");
  EXPECT_EQ(text_of("np.array(1)"), "an array of shape (), strides () bytes, dtype int64");
}

}  // namespace
