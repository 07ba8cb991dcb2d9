// detail/numpy/api.h and abi.h: NumPy's functions and fields, read without its headers
#include <ndtorch/detail/numpy/api.h>

#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::api;
using ndtorch::detail::array_descr;
using ndtorch::detail::array_object;
using test::eval;

TEST(numpy_api, tells_arrays_and_scalars_from_others) {
  for (const char* const expression :
       {"np.zeros(3)", "np.ma.masked_array([1.])", "np.matrix([[1.]])", "np.rec.array([1.])"}) {
    EXPECT_TRUE(api().is_array(eval(expression))) << expression;
    EXPECT_FALSE(api().is_scalar(eval(expression))) << expression;
  }
  for (const char* const expression : {"np.float32(1)", "np.bool_(True)", "np.str_('a')",
                                       "np.datetime64(1, 's')", "ml_dtypes.bfloat16(1)"}) {
    EXPECT_FALSE(api().is_array(eval(expression))) << expression;
    EXPECT_TRUE(api().is_scalar(eval(expression))) << expression;
  }
  for (const char* const expression : {"1.", "[1.]", "None", "np", "np.ndarray", "b'1'"}) {
    EXPECT_FALSE(api().is_array(eval(expression))) << expression;
    EXPECT_FALSE(api().is_scalar(eval(expression))) << expression;
  }
}

TEST(numpy_api, is_loaded_once) { EXPECT_EQ(&api(), &api()); }

TEST(array_object, has_an_arrays_fields) {
  const py::array array = test::array("np.arange(24.).reshape(2, 3, 4)[:, ::2, 1:]");
  const auto* const fields = reinterpret_cast<const array_object*>(array.ptr());
  EXPECT_EQ(fields->data, array.data());
  ASSERT_EQ(fields->nd, array.ndim());
  for (int i = 0; i < fields->nd; ++i) {
    EXPECT_EQ(fields->dimensions[i], array.shape(i));
    EXPECT_EQ(fields->strides[i], array.strides(i));
  }
  EXPECT_EQ(fields->base, array.base().ptr());
  EXPECT_EQ(static_cast<const void*>(fields->descr), array.dtype().ptr());
}

TEST(item_size, is_numpys_in_each_of_its_abis) {
  for (const char* const dtype : {"'?'", "'u2'", "'f4'", "'>f8'", "'c16'", "'S5'", "'U3'", "'V7'",
                                  "'f4,i8'", "ml_dtypes.bfloat16", "np.longdouble"}) {
    SCOPED_TRACE(dtype);
    const py::object made = eval("np.dtype(d)", py::arg("d") = eval(dtype));
    EXPECT_EQ(ndtorch::detail::item_size(reinterpret_cast<const array_descr*>(made.ptr())),
              made.attr("itemsize").cast<Py_ssize_t>());
  }
}

}  // namespace
