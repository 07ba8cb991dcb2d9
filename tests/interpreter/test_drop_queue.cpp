// detail/python/drop_queue.h: references that are dropped without the GIL. What is left when the interpreter
// ends is in ends/.
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>

#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::on_thread_without_gil;
using test::references;
using test::watched;

TEST(array_dropped_without_the_gil, is_freed_on_another_thread) {
  // The finaliser is Python code, which only a thread with the GIL may run.
  const py::dict python = test::exec(R"(
import threading, weakref
here = threading.get_ident()
freed = []
a = np.arange(6.)
weakref.finalize(a, lambda: freed.append('here' if threading.get_ident() == here else 'there'))
)");
  at::Tensor tensor = ndtorch::from_numpy(python["a"]);
  python["a"] = py::none();
  on_thread_without_gil([&] { tensor.reset(); });
  EXPECT_EQ(test::text_of(python["freed"]), "['there']");
}

TEST(array_dropped_without_the_gil, is_given_up_at_once_and_freed_when_the_gil_is_free) {
  py::object source = array("np.arange(6.)");
  const watched original(source);
  at::Tensor tensor = ndtorch::from_numpy(source);
  source.release().dec_ref();
  std::thread([own = std::move(tensor)]() mutable { own.reset(); }).join();
  EXPECT_TRUE(original.is_alive());  // this thread has the GIL all the while
  test::wait_for_drops();
  EXPECT_FALSE(original.is_alive());
}

TEST(array_dropped_without_the_gil, is_counted_right_where_many_threads_drop_their_tensors) {
  const py::array source = array("np.arange(6.)");
  std::vector<std::vector<at::Tensor>> tensors(4);
  for (auto& some : tensors) {
    for (int i = 0; i < 500; ++i) some.push_back(ndtorch::from_numpy(source));
  }
  EXPECT_EQ(references(source), 2001);
  std::vector<std::thread> threads;
  for (auto& some : tensors) threads.emplace_back([&some] { some.clear(); });
  for (int i = 0; i < 500; ++i) ndtorch::from_numpy(source);
  for (std::thread& thread : threads) thread.join();
  test::wait_for_drops();
  EXPECT_EQ(references(source), 1);
}

TEST(array_dropped_without_the_gil, is_freed_in_the_order_of_the_drops) {
  const py::dict python = test::exec(R"(
import weakref
freed = []
arrays = [np.arange(6.) for _ in range(100)]
for i, a in enumerate(arrays): weakref.finalize(a, freed.append, i)
del a
)");
  std::vector<at::Tensor> tensors;
  for (const py::handle one : python["arrays"]) tensors.push_back(ndtorch::from_numpy(one));
  python["arrays"].attr("clear")();
  std::thread([&] {
    for (at::Tensor& tensor : tensors) tensor.reset();
  }).join();
  test::wait_for_drops();
  EXPECT_TRUE(test::is_true("x == list(range(100))", python["freed"]));
}

// No Python code runs in this loop, so that nothing else gives the GIL up.
TEST(array_dropped_without_the_gil, is_freed_during_a_loop_that_converts_and_keeps_the_gil) {
  py::object source = array("np.arange(6.)");
  const py::array other = array("np.arange(6.)");
  const watched original(source);
  at::Tensor tensor = ndtorch::from_numpy(source);
  source.release().dec_ref();
  std::thread([own = std::move(tensor)]() mutable { own.reset(); }).join();
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (original.is_alive() && std::chrono::steady_clock::now() < give_up)
    ndtorch::from_numpy(other);
  EXPECT_FALSE(original.is_alive());
}

// Its finaliser runs on a thread of ndtorch's, and does what Python code does anywhere else.
TEST(array_dropped_without_the_gil, may_have_a_finaliser_that_converts_and_drops) {
  const py::array other = array("np.arange(3.)");
  at::Tensor made;
  py::object source = array("np.arange(6.)");
  const py::object finalize = py::module_::import("weakref").attr("finalize")(
      source, py::cpp_function([&] {
        ndtorch::from_numpy(other);
        made = ndtorch::from_numpy(other);
        std::thread([more = ndtorch::from_numpy(other)]() mutable { more.reset(); }).join();
      }));
  at::Tensor tensor = ndtorch::from_numpy(source);
  source.release().dec_ref();
  on_thread_without_gil([&] { tensor.reset(); });
  EXPECT_EQ(made.sum().item<double>(), 3);
  EXPECT_EQ(references(other), 2);
}

TEST(array_dropped_without_the_gil, may_die_with_a_thread) {
  const py::array source = array("np.arange(6.)");
  at::Tensor tensor = ndtorch::from_numpy(source);
  on_thread_without_gil([&] {
    static thread_local at::Tensor own;
    own = std::move(tensor);
  });
  EXPECT_EQ(references(source), 1);
}

}  // namespace
