// GoogleTest on one interpreter for the whole program: NumPy and torch can't be loaded twice.
#include <gtest/gtest.h>
#include <pybind11/embed.h>

#include "support/support.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const pybind11::scoped_interpreter python;
  const int status = RUN_ALL_TESTS();
  return test::memory_is_lost() ? 1 : status;
}
