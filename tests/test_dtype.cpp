// ndtorch/dtype.h
#include <ndtorch/dtype.h>

#include "support/support.h"

namespace {

using test::eval;

TEST(scalar_type, takes_what_numpy_dtype_takes) {
  EXPECT_EQ(ndtorch::scalar_type(eval("np.dtype('float32')")), at::kFloat);
  EXPECT_EQ(ndtorch::scalar_type(eval("np.float32")), at::kFloat);
  EXPECT_EQ(ndtorch::scalar_type(eval("'float32'")), at::kFloat);
  EXPECT_EQ(ndtorch::scalar_type(eval("float")), at::kDouble);
}

}  // namespace
