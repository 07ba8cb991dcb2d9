// A test program as all others are, with one test: it commits the fault that NDTORCH_FAULT names.
#include <gtest/gtest.h>

#include <cstdlib>

#include "sanitizers/faults.h"
#include "support/support.h"

TEST(canary, commits_its_fault) {
  test::eval("torch.ones(1)");  // what packages keep is not to hide what we leak
  const char* const fault = std::getenv("NDTORCH_FAULT");
  ASSERT_NE(fault, nullptr);
  faults::commit(fault);
}
