// detail/memory/dense.h: the order of axes, with LibTorch's empty_like as the oracle
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/from_numpy.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

using ndtorch::detail::axis_list;
using ndtorch::detail::int_list;
using numbers = std::vector<std::int64_t>;

numbers values_of(const axis_list& list) { return {list.begin(), list.end()}; }
int_list list_of(at::IntArrayRef values) { return {values.data(), values.size()}; }

// The strides of a copy that keeps the order of a tensor's axes.
void expect_as_libtorch(const at::Tensor& tensor) {
  const int_list sizes = list_of(tensor.sizes());
  const numbers ours = values_of(ndtorch::detail::dense_strides(
      sizes, ndtorch::detail::axes_by_stride(sizes, list_of(tensor.strides()))));
  const at::Tensor theirs = at::empty_like(tensor);
  ASSERT_EQ(ours.size(), theirs.strides().size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (sizes[i] > 1) {
      EXPECT_EQ(ours[i], theirs.strides()[i]) << "axis " << i;
    }
  }
}

TEST(axes_by_stride, are_in_libtorchs_order_for_every_layout) {
  for (const char* const expression : test::layouts) {
    SCOPED_TRACE(expression);
    const at::Tensor tensor = ndtorch::from_numpy(test::eval(expression));
    if (tensor.numel() > 0) expect_as_libtorch(tensor);
  }
}

TEST(axes_by_stride, are_in_libtorchs_order_for_every_permutation) {
  const at::Tensor dense = at::empty({2, 3, 1, 3, 4});
  const at::Tensor strided = dense.slice(1, 0, 3, 2).slice(4, 1);
  const at::Tensor expanded = dense.select(1, 0).unsqueeze(1).expand_as(dense);
  const at::Tensor overlapping = at::empty({9}).as_strided({2, 3, 1, 3, 4}, {1, 1, 1, 1, 1});
  numbers order(5);
  std::iota(order.begin(), order.end(), 0);
  do {
    SCOPED_TRACE(testing::PrintToString(order));
    for (const at::Tensor& tensor : {dense, strided, expanded, overlapping}) {
      expect_as_libtorch(tensor.permute(order));
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(axes_by_stride, takes_strides_as_distances) {
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(values_of(ndtorch::detail::axes_by_stride({2, 3}, {-3, 1})), (numbers{1, 0}));
  EXPECT_EQ(values_of(ndtorch::detail::axes_by_stride({2, 3}, {-1, 2})), (numbers{0, 1}));
  EXPECT_EQ(values_of(ndtorch::detail::axes_by_stride({1, 3}, {least, 1})), (numbers{1, 0}));
  EXPECT_EQ(ndtorch::detail::magnitude(least), std::uint64_t{1} << 63);
}

TEST(axes_of_dense, are_those_of_growing_strides) {
  EXPECT_EQ(values_of(ndtorch::detail::axes_of_dense({12, 4, 1})), (numbers{2, 1, 0}));
  EXPECT_EQ(values_of(ndtorch::detail::axes_of_dense({1, 2, 6})), (numbers{0, 1, 2}));
  EXPECT_EQ(values_of(ndtorch::detail::axes_of_dense({4, 24, 1})), (numbers{2, 0, 1}));
  EXPECT_EQ(values_of(ndtorch::detail::axes_of_dense({})), numbers());
}

TEST(dense_strides, are_those_of_c_order_where_the_last_axis_is_the_innermost) {
  for (const numbers& sizes : {numbers{2, 3, 4}, numbers{}, numbers{5}, numbers{2, 0, 3}}) {
    numbers order(sizes.size());
    std::iota(order.rbegin(), order.rend(), 0);
    EXPECT_EQ(values_of(ndtorch::detail::dense_strides(list_of(sizes), list_of(order))),
              at::empty(sizes).strides().vec());
  }
}

}  // namespace
