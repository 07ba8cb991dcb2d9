// detail/memory/short_list.h
#include <ndtorch/detail/memory/short_list.h>

#include <cstddef>
#include <vector>

#include "support/support.h"

namespace {

using list = ndtorch::detail::short_list<int, 4>;  // so that most of these are on the heap

std::vector<int> items_of(const list& some) { return {some.begin(), some.end()}; }

TEST(short_list, has_what_was_pushed_below_and_beyond_its_few) {
  list some;
  std::vector<int> expected;
  EXPECT_TRUE(some.empty());
  for (int i = 0; i < 10; ++i) {
    some.push_back(10 - i);
    expected.push_back(10 - i);
    SCOPED_TRACE(i);
    ASSERT_EQ(some.size(), expected.size());
    EXPECT_EQ(items_of(some), expected);
    EXPECT_EQ(some.front(), 10);
    EXPECT_EQ(some.back(), 10 - i);
    EXPECT_FALSE(some.empty());
  }
}

TEST(short_list, has_the_items_of_a_range) {
  const std::vector<int> items = {5, 4, 3, 2, 1, 0};
  for (std::size_t count = 0; count <= items.size(); ++count) {
    EXPECT_EQ(items_of(list(items.data(), count)),
              std::vector<int>(items.data(), items.data() + count));
  }
}

TEST(short_list, of_a_count_can_be_filled_and_extended) {
  for (const std::size_t count : {std::size_t{0}, std::size_t{3}, std::size_t{4}, std::size_t{5}}) {
    list some(count);
    ASSERT_EQ(some.size(), count);
    for (std::size_t i = 0; i < count; ++i) some[i] = static_cast<int>(i);
    some.push_back(-1);
    ASSERT_EQ(some.size(), count + 1);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(some[i], static_cast<int>(i));
    EXPECT_EQ(some.back(), -1);
  }
}

TEST(short_list, is_a_copy_of_its_own) {
  for (const int count : {3, 4, 6}) {
    list some;
    for (int i = 0; i < count; ++i) some.push_back(i);
    list other = some;
    other[0] = 7;
    other.push_back(8);
    EXPECT_EQ(some.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(some[0], 0);
    EXPECT_EQ(other[0], 7);
  }
}

}  // namespace
