// detail/memory/strided_view.h: shapes of memory, with NumPy's own as the oracle
#include <ATen/ops/empty.h>
#include <ndtorch/detail/memory/strided_view.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::refusal;
using ndtorch::detail::strided_view;
using test::array;
using numbers = std::vector<std::int64_t>;

// What set_shape() makes of an array's sizes and strides, given in bytes or in elements.
refusal shape_of(const py::array& source, strided_view& view, bool in_elements = false) {
  const std::int64_t item = source.itemsize();
  const numbers sizes(source.shape(), source.shape() + source.ndim());
  numbers strides(source.strides(), source.strides() + source.ndim());
  if (in_elements) {
    for (std::int64_t& stride : strides) stride /= item;
  }
  view.ndim = sizes.size();
  return set_shape(view, sizes.data(), strides.data(), in_elements ? item : 1, item);
}

TEST(set_shape, is_the_arrays_for_every_layout) {
  for (const char* const expression : test::layouts) {
    for (const bool in_elements : {false, true}) {
      SCOPED_TRACE(expression);
      const py::array source = array(expression);
      strided_view view;
      ASSERT_EQ(shape_of(source, view, in_elements), refusal::none);
      for (std::size_t i = 0; i < view.ndim; ++i) {
        const auto axis = static_cast<py::ssize_t>(i);
        EXPECT_EQ(view.sizes()[i], source.shape(axis));
        if (source.size() > 0 && source.shape(axis) > 1) {
          EXPECT_EQ(view.strides()[i] * source.itemsize(), source.strides(axis)) << "axis " << i;
        }
      }
      EXPECT_EQ(view.nbytes, test::eval("sum((n - 1) * s for n, s in zip(a.shape, a.strides)) + "
                                        "a.itemsize if a.size else 0",
                                        py::arg("a") = source)
                                 .cast<std::size_t>());
    }
  }
}

TEST(set_shape, replaces_bad_strides_that_no_index_multiplies) {
  for (const char* const expression : test::unused_strides) {
    SCOPED_TRACE(expression);
    strided_view view;
    ASSERT_EQ(shape_of(array(expression), view), refusal::none);
    for (const std::int64_t stride : view.strides()) EXPECT_GE(stride, 0);
  }
}

TEST(set_shape, says_what_no_tensor_can_have) {
  strided_view view;
  EXPECT_EQ(shape_of(array("np.arange(6.)[::-1]"), view), refusal::negative_stride);
  EXPECT_EQ(shape_of(array("np.zeros((2, 3))[:, ::-1]"), view), refusal::negative_stride);
  EXPECT_EQ(shape_of(array("np.zeros(2, 'i1,f4')['f1']"), view), refusal::odd_stride);
  EXPECT_EQ(shape_of(array("np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (2**62,))"), view),
            refusal::too_large);
}

TEST(set_shape, finds_each_overflow) {
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  for (const auto& [sizes, strides] :
       std::vector<std::pair<numbers, numbers>>{{{huge, huge}, {huge, 1}},
                                                {{huge}, {1}},
                                                {{huge / 8}, {8}},
                                                {{2, 3}, {huge, 1}},
                                                {{2, 2}, {huge / 8, huge / 8}}}) {
    SCOPED_TRACE(testing::PrintToString(sizes) + " by " + testing::PrintToString(strides));
    strided_view view;
    view.ndim = sizes.size();
    EXPECT_EQ(set_shape(view, sizes.data(), strides.data(), 8, 8), refusal::too_large);
  }
  // Three of them wrap round to a number that would pass.
  const numbers sizes(3, 2), strides(3, huge);
  strided_view view;
  view.ndim = 3;
  EXPECT_EQ(set_shape(view, sizes.data(), strides.data(), 1, 1), refusal::too_large);
}

TEST(set_dense_strides, are_those_of_libtorchs_own_tensors) {
  for (const numbers& sizes : {numbers{2, 3, 4}, numbers{}, numbers{7}, numbers{2, 0, 3}}) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    strided_view view;
    view.ndim = sizes.size();
    for (std::size_t i = 0; i < sizes.size(); ++i) view.size_of[i] = sizes[i];
    set_dense_strides(view, 8);
    const at::Tensor theirs = at::empty(sizes, at::kDouble);
    EXPECT_EQ(numbers(view.strides().begin(), view.strides().end()), theirs.strides().vec());
    EXPECT_EQ(view.nbytes, theirs.nbytes());
  }
}

TEST(is_aligned, asks_for_the_whole_element) {
  alignas(16) const char memory[32] = {};
  for (const std::int64_t item : {1, 2, 4, 8, 16}) {
    for (std::int64_t offset = 0; offset < 16; ++offset) {
      EXPECT_EQ(ndtorch::detail::is_aligned(memory + offset, item), offset % item == 0);
    }
  }
}

}  // namespace
