// detail/numpy/array.h: an array described as a strided_view, and an array made from one
#include <ndtorch/detail/numpy/array.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/arrays.h"
#include "support/dtypes.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::array_source;
using ndtorch::detail::int_list;
using ndtorch::detail::read_array;
using ndtorch::detail::refusal;
using ndtorch::detail::strided_view;
using test::array;
using test::references;

TEST(read_array, describes_every_layout) {
  for (const char* const expression : test::layouts) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    const Py_ssize_t before = references(source);
    const array_source read = read_array(source);
    ASSERT_EQ(read.why, refusal::none);
    EXPECT_TRUE(read.can_be_copied());
    const strided_view& view = read.view;
    EXPECT_EQ(view.data, source.data());
    EXPECT_EQ(view.writable, source.writeable());
    EXPECT_EQ(view.device, c10::kCPU);
    ASSERT_EQ(view.ndim, static_cast<std::size_t>(source.ndim()));
    for (std::size_t i = 0; i < view.ndim; ++i) {
      EXPECT_EQ(view.sizes()[i], source.shape(static_cast<py::ssize_t>(i)));
    }
    EXPECT_EQ(references(source), before) << "nothing is taken";
  }
}

TEST(read_array, knows_every_dtype) {
  for (const auto& [name, dtype] : test::all_dtypes()) {
    SCOPED_TRACE(name);
    const array_source read = read_array(test::six_of(dtype));
    ASSERT_NE(read.dtype, nullptr);
    EXPECT_EQ(read.view.dtype, dtype);
    EXPECT_EQ(read.dtype->name, name);
  }
}

TEST(read_array, says_what_is_in_the_way_of_a_view) {
  struct refused {
    const char* expression;
    refusal why;
    bool can_be_copied;
  };
  for (const auto& [expression, why, can_be_copied] : {
           refused{"np.arange(6.)[::-1]", refusal::negative_stride, true},
           refused{"np.zeros(2, 'i1,f4')['f1']", refusal::odd_stride, true},
           refused{"np.arange(6.).astype('>f8')", refusal::byte_order, true},
           refused{"np.zeros(0, '>f8')", refusal::byte_order, true},
           refused{"np.zeros(17, 'u1')[1:].view('f8')", refusal::misaligned, true},
           refused{"np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (2**62,))",
                   refusal::too_large, false},
           refused{"np.ma.masked_equal([1., 2.], 1)", refusal::masked, false},
           refused{"np.array(['a'])", refusal::unsupported_dtype, false},
       }) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    const array_source read = read_array(source);
    EXPECT_EQ(read.why, why);
    EXPECT_EQ(read.can_be_copied(), can_be_copied);
    EXPECT_EQ(references(source), 1);
  }
}

// A byte has no order, and no memory is misaligned where there are no elements.
TEST(read_array, lets_pass_what_is_in_nobodys_way) {
  for (const char* const expression :
       {"np.zeros(2, np.dtype(ml_dtypes.float8_e5m2).newbyteorder('>'))",
        "np.zeros(1, 'u1')[1:].view('f8')", "np.ma.masked_array([1., 2.], mask=False)"}) {
    EXPECT_EQ(read_array(array(expression)).why, refusal::none) << expression;
  }
}

TEST(make_array, is_on_the_memory_and_holds_its_base) {
  std::array<std::int32_t, 12> memory{};
  const std::array<std::int64_t, 2> sizes{2, 3}, strides{6, 2};
  for (const bool writable : {true, false}) {
    const py::object base = test::eval("{'the': 'owner'}");
    {
      const py::array made = ndtorch::detail::make_array(
          memory.data(), writable, int_list(sizes.data(), 2), int_list(strides.data(), 2),
          ndtorch::detail::new_descr(at::kInt), base);
      EXPECT_EQ(made.data(), memory.data());
      EXPECT_EQ(made.writeable(), writable);
      EXPECT_TRUE(test::base_of(made).is(base));
      EXPECT_EQ(references(base), 2);
      EXPECT_TRUE(test::is_true("x.shape == (2, 3) and x.strides == (24, 8)", made));
      EXPECT_TRUE(test::is_true("x.dtype == np.int32 and type(x) is np.ndarray", made));
      memory[8] = 7;
      EXPECT_TRUE(test::is_true("x[1, 1] == 7", made));
      memory[8] = 0;
    }
    EXPECT_EQ(references(base), 1);
  }
}

TEST(make_array, needs_no_memory_where_there_are_no_elements) {
  const std::array<std::int64_t, 2> sizes{0, 3}, strides{3, 1};
  const py::array made = ndtorch::detail::make_array(
      nullptr, true, int_list(sizes.data(), 2), int_list(strides.data(), 2),
      ndtorch::detail::new_descr(at::kDouble), py::none());
  EXPECT_TRUE(test::is_true("x.shape == (0, 3) and not x.flags.owndata", made));
}

}  // namespace
