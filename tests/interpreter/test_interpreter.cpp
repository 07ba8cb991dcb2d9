// detail/python/interpreter.h: who has the GIL, and what modules share. How interpreters end is in ends/.
#include <ndtorch/detail/python/interpreter.h>

#include <thread>

#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::has_gil;

TEST(has_gil, is_true_where_this_thread_may_run_python_code) {
  EXPECT_TRUE(has_gil());
  {
    const py::gil_scoped_release without_gil;
    EXPECT_FALSE(has_gil());
    const py::gil_scoped_acquire again;
    EXPECT_TRUE(has_gil());
  }
  EXPECT_TRUE(has_gil());
  test::on_thread_without_gil([] {
    EXPECT_FALSE(has_gil());
    const py::gil_scoped_acquire gil;
    EXPECT_TRUE(has_gil());
  });
}

// PyGILState_Check() would say that it has it, wherever there has been a subinterpreter.
TEST(has_gil, is_false_on_a_thread_while_another_one_has_it) {
  bool had = true;
  std::thread([&] { had = has_gil(); }).join();  // this thread has it all the while
  EXPECT_FALSE(had);
}

TEST(gil_release, lets_another_thread_run_python_code) {
  {
    const ndtorch::detail::gil_release without_gil;
    EXPECT_FALSE(has_gil());
    std::thread([] {
      const py::gil_scoped_acquire gil;
      EXPECT_TRUE(test::is_true("1 + 1 == 2"));
    }).join();
  }
  EXPECT_TRUE(has_gil());
}

TEST(interpreter_claim, is_granted_while_the_interpreter_lives) {
  const ndtorch::detail::interpreter_claim claim;
  EXPECT_TRUE(static_cast<bool>(claim));
}

TEST(shared_by_modules, is_what_the_first_of_them_made) {
  static int first = 0, second = 0;
  int made = 0;
  const auto make = [&](int& one) {
    return ndtorch::detail::shared_by_modules("ndtorch.tests.shared", [&] {
      ++made;
      return &one;
    });
  };
  EXPECT_EQ(make(first), &first);
  EXPECT_EQ(make(second), &first);
  EXPECT_EQ(made, 1);
}

}  // namespace
