// detail/arguments/order.h: any_contig, which takes dense memory in either order
#include <ndtorch/typed.h>

#include "support/arguments.h"
#include "support/support.h"

namespace {

using ndtorch::any_contig;
using ndtorch::tensor_t;
using test::eval;
using test::load;
using test::outcome;
using test::outcome_of;

TEST(any_contig, takes_both_orders_as_they_are) {
  for (const char* object : {"np.ones((2, 3))", "np.ones((2, 3)).T", "np.ones((4, 3, 2)).T",
                             "np.ones(3)", "np.ones((0, 2))", "np.array(1.)"}) {
    SCOPED_TRACE(object);
    EXPECT_EQ(outcome_of<tensor_t<any_contig>>(eval(object), false), outcome::shared);
  }
}

TEST(any_contig, copies_others_into_one_of_the_two) {
  for (const char* object : {"np.ones((2, 6))[:, ::2]", "np.ones((4, 3, 2)).transpose(1, 0, 2)",
                             "np.ones((2, 3))[::-1]", "np.broadcast_to(np.ones(3), (2, 3))",
                             "torch.ones(4, 3, 2).permute(1, 0, 2)", "[[1, 2], [3, 4]]"}) {
    SCOPED_TRACE(object);
    EXPECT_FALSE(load<tensor_t<any_contig>>(eval(object), false).has_value());
    const auto copied = load<tensor_t<any_contig>>(eval(object), true);
    ASSERT_TRUE(copied.has_value());
    EXPECT_TRUE(copied->is_contiguous());
  }
}

TEST(any_contig, keeps_fortrans_order_in_a_copy) {
  for (const char* object : {"np.ones((2, 3), 'f8').T", "np.ones((2, 3), '>f4').T",
                             "torch.ones(2, 3, dtype=torch.float64).T"}) {
    SCOPED_TRACE(object);
    const auto copied = load<tensor_t<const float, any_contig>>(eval(object), true);
    ASSERT_TRUE(copied.has_value());
    EXPECT_TRUE(copied->t().is_contiguous());
  }
}

TEST(any_contig, is_refused_with_the_remedy) {
  EXPECT_EQ(test::message_of<pybind11::type_error>(
                [] { tensor_t<float, any_contig>::from(eval("np.ones((2, 6), 'f4')[:, ::2]")); }),
            "expected memory in C or Fortran order. Got an array of shape (2, 3), strides (24, 8) "
            "bytes, dtype float32. Copy it first, with np.ascontiguousarray(array). The function "
            "writes into that copy: use it afterwards.");
}

}  // namespace
