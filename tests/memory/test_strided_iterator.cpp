// detail/memory/strided_iterator.h, as tensor_t has it
#include <ndtorch/typed.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <type_traits>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;
using test::array;
using test::eval;

TEST(iteration, goes_over_the_elements_of_one_axis) {
  for (const char* source : {"np.arange(7.)", "np.arange(20.)[3::4]", "np.zeros(0)",
                             "np.broadcast_to(2., 5)", "np.arange(12.).reshape(3, 4)[:, 1]"}) {
    SCOPED_TRACE(source);
    const py::array numbers = array(source);
    const auto tensor = tensor_t<const double, ndim<1>>::from(numbers);
    std::vector<double> seen;
    for (const double& number : tensor) seen.push_back(number);
    EXPECT_EQ(seen, py::cast<std::vector<double>>(numbers));
    EXPECT_EQ(std::accumulate(tensor.begin(), tensor.end(), 0.0),
              py::cast<double>(numbers.attr("sum")()));
    EXPECT_EQ(tensor.storage().data(), numbers.data()) << "reading has copied the memory";
  }
}

TEST(iteration, writes_into_the_array) {
  const py::array source = array("np.arange(8)");
  const auto tensor = tensor_t<std::int64_t, ndim<1>>::from(eval("s[::2]", py::arg("s") = source));
  for (std::int64_t& number : tensor) number = -number;
  std::sort(tensor.begin(), tensor.end());
  EXPECT_EQ(test::repr_of(source), "array([-6,  1, -4,  3, -2,  5,  0,  7])");
}

TEST(iteration, has_random_access) {
  const auto tensor = tensor_t<float, shape<-1>>::from(eval("np.arange(10, dtype='f4')[1::2]"));
  using iterator = decltype(tensor.begin());
  static_assert(std::is_same_v<std::iterator_traits<iterator>::iterator_category,
                               std::random_access_iterator_tag>);
  static_assert(std::is_same_v<std::iterator_traits<iterator>::reference, float&>);
  const iterator begin = tensor.begin();
  const iterator end = tensor.end();
  EXPECT_EQ(end - begin, 5);
  EXPECT_EQ(begin[2], 5);
  EXPECT_EQ(*(begin + 3), 7);
  EXPECT_EQ(*(3 + begin), 7);
  EXPECT_EQ(*(end - 1), 9);
  iterator moving = begin;
  EXPECT_EQ(*moving++, 1);
  EXPECT_EQ(*++moving, 5);
  EXPECT_EQ(*moving--, 5);
  EXPECT_EQ(*--moving, 1);
  EXPECT_EQ(*(moving += 4), 9);
  EXPECT_EQ(*(moving -= 3), 3);
  EXPECT_EQ(moving.operator->(), &begin[1]);
  EXPECT_TRUE(begin < end && end > begin && begin <= begin && begin >= begin);
  EXPECT_TRUE(begin == tensor.begin() && begin != end);
  EXPECT_EQ(std::lower_bound(begin, end, 6) - begin, 3);
}

}  // namespace
