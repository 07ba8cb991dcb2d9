// ndtorch/to_numpy_async.h
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy_async.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/devices.h"
#include "support/private_use1.h"
#include "support/private_use1_streams.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace inverted = test::inverted;
using ndtorch::async_array;
using ndtorch::to_numpy_async;
using test::eval;
using test::message_of;
using test::same_elements;

constexpr std::chrono::microseconds late(3000);

class async_from_device : public test::device_test {};

INSTANTIATE_TEST_SUITE_P(private_use1, async_from_device,
                         testing::Values("inverted:0", "inverted:1"), test::name_of_device);
INSTANTIATE_TEST_SUITE_P(gpu, async_from_device, testing::Values("cuda:0"), test::name_of_device);

TEST_P(async_from_device, gives_the_elements_in_the_end) {
  const inverted::asynchronous mode(late);
  const at::Tensor here = at::arange(24, at::kFloat).view({2, 3, 4});
  const at::Tensor there = here.to(device());
  const at::Tensor complex = at::complex(here, here.add(1));
  const at::Tensor complex_there = complex.to(device());
  for (const auto& [source, expected] :
       {std::pair(there, here), std::pair(there.permute({2, 0, 1}), here.permute({2, 0, 1})),
        std::pair(there.slice(2, 0, 4, 2), here.slice(2, 0, 4, 2)),
        std::pair(there.clone().requires_grad_(), here),
        std::pair(complex_there.conj(), complex.conj()),
        std::pair(there.slice(0, 2), here.slice(0, 2))}) {
    async_array result = to_numpy_async(source);
    EXPECT_TRUE(same_elements(result.wait(), ndtorch::to_numpy(expected)));
    EXPECT_TRUE(result.ready());
  }
}

TEST_P(async_from_device, has_the_strides_that_to_numpy_gives) {
  const at::Tensor there = at::arange(24).view({2, 3, 4}).to(device());
  for (const at::Tensor& source : {there.permute({2, 0, 1}), there.slice(2, 0, 4, 2)}) {
    const py::object strides = to_numpy_async(source).wait().attr("strides");
    EXPECT_TRUE(strides.equal(ndtorch::to_numpy(source).attr("strides")));
  }
}

// The copy is of the tensor as it is on its stream now, whatever becomes of it.
TEST_P(async_from_device, outlives_the_tensor) {
  const inverted::asynchronous mode(late);
  std::optional<async_array> result;
  {
    const at::Tensor there = at::ones({1000}).to(device());
    result.emplace(to_numpy_async(there));
    there.copy_(at::arange(1000));
  }
  const at::Tensor again = at::arange(1000, at::kFloat).to(device());
  EXPECT_TRUE(same_elements(result->wait(), eval("np.ones(1000, 'float32')")));
}

TEST_P(async_from_device, is_an_array_on_the_same_memory_each_time) {
  async_array result = to_numpy_async(at::ones({3}).to(device()));
  const py::array first = result.wait();
  const py::array second = result.wait();
  EXPECT_EQ(first.data(), second.data());
  EXPECT_TRUE(first.writeable());
}

// Holds up a stream until it is opened.
class gate {
 public:
  explicit gate(c10::Stream stream) {
    inverted::submit(stream, [until = opened_.get_future().share()] { until.wait(); });
  }
  void open() { opened_.set_value(); }

 private:
  std::promise<void> opened_;
};

c10::Stream default_stream(at::Device device) { return c10::Stream(c10::Stream::DEFAULT, device); }

TEST(to_numpy_async, is_not_ready_before_the_data_is_there) {
  const inverted::asynchronous mode(late);
  const at::Device device("inverted:1");
  const at::Tensor there = at::ones({3}).to(device);
  gate closed(default_stream(device));
  async_array result = to_numpy_async(there);
  EXPECT_FALSE(result.ready());
  closed.open();
  EXPECT_TRUE(same_elements(result.wait(), eval("np.ones(3, 'float32')")));
}

TEST(to_numpy_async, waits_without_the_gil_and_only_once) {
  const at::Tensor there = at::ones({3}).to(at::Device("inverted:1"));
  async_array result = to_numpy_async(there);
  inverted::take_waits();
  result.wait();
  EXPECT_EQ(inverted::take_waits(), std::vector<std::string>{"host waits for 0 of inverted:1"});
  result.wait();
  EXPECT_TRUE(inverted::take_waits().empty());
}

TEST(to_numpy_async, follows_the_current_stream) {
  const at::Device device("inverted:1");
  const c10::StreamGuard guard(c10::Stream(c10::Stream::UNSAFE, device, 7));
  async_array result = to_numpy_async(at::ones({3}).to(device));
  inverted::take_waits();
  result.wait();
  EXPECT_EQ(inverted::take_waits(), std::vector<std::string>{"host waits for 7 of inverted:1"});
}

TEST(to_numpy_async, keeps_the_devices_memory_until_it_was_read) {
  const int blocks = inverted::live_blocks();
  async_array result = to_numpy_async(at::ones({3}).to(at::Device("inverted")));
  EXPECT_EQ(inverted::live_blocks(), blocks + 1);
  const py::array array = result.wait();
  EXPECT_EQ(inverted::live_blocks(), blocks);
}

TEST(to_numpy_async, waits_for_the_device_when_it_is_dropped) {
  const at::Device device("inverted:1");
  const int blocks = inverted::live_blocks();
  {
    const async_array result = to_numpy_async(at::ones({3}).to(device));
  }
  EXPECT_EQ(inverted::take_waits().back(), "host waits for 0 of inverted:1");
  EXPECT_EQ(inverted::live_blocks(), blocks);
}

TEST(to_numpy_async, throws_where_the_device_failed) {
  const at::Device device("inverted:1");
  const int blocks = inverted::live_blocks();
  {
    async_array result = to_numpy_async(at::ones({3}).to(device));
    inverted::fail_next_wait();
    EXPECT_EQ(message_of<std::runtime_error>([&] { result.wait(); }),
              "inverted error: unspecified launch failure");
  }
  {
    const async_array dropped = to_numpy_async(at::ones({3}).to(device));
    inverted::fail_next_wait();
  }
  EXPECT_EQ(inverted::live_blocks(), blocks);
}

// The one that is back first must not take the event from the other: ThreadSanitizer would see it.
TEST(to_numpy_async, threads_wait_for_the_same) {
  const inverted::asynchronous mode(late);
  const at::Device device("inverted:1");
  const at::Tensor there = at::ones({3}).to(device);
  gate closed(default_stream(device));
  async_array result = to_numpy_async(there);
  inverted::take_waits();
  std::vector<py::array> arrays;
  {
    const py::gil_scoped_release without_gil;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        const py::gil_scoped_acquire gil;
        arrays.push_back(result.wait());
      });
    }
    for (std::size_t waiting = 0; waiting < 2; waiting += inverted::take_waits().size()) {
      std::this_thread::sleep_for(late);
    }
    closed.open();
    for (std::thread& each : threads) each.join();
  }
  for (const py::array& each : arrays) {
    EXPECT_TRUE(same_elements(each, eval("np.ones(3, 'float32')")));
  }
  EXPECT_EQ(arrays.size(), 2U);
}

TEST(to_numpy_async, can_be_moved) {
  async_array first = to_numpy_async(at::ones({3}).to(at::Device("inverted")));
  async_array second = std::move(first);
  inverted::take_waits();
  EXPECT_TRUE(same_elements(second.wait(), eval("np.ones(3, 'float32')")));
  EXPECT_EQ(inverted::take_waits().size(), 1U);
}

TEST(to_numpy_async, shares_a_cpu_tensor_at_once) {
  const at::Tensor tensor = at::arange(3);
  async_array result = to_numpy_async(tensor);
  EXPECT_TRUE(result.ready());
  EXPECT_EQ(result.wait().data(), tensor.const_data_ptr());
  async_array resolved = to_numpy_async(at::complex(at::ones({2}), at::ones({2})).conj());
  EXPECT_TRUE(same_elements(resolved.wait(), eval("np.array([1 - 1j] * 2, 'complex64')")));
}

TEST(to_numpy_async, is_of_the_shape_that_a_cpu_tensor_had_when_it_was_asked_for) {
  at::Tensor tensor = at::arange(6);
  async_array handle = to_numpy_async(tensor);
  tensor.unsqueeze_(0);
  EXPECT_TRUE(same_elements(handle.wait(), eval("np.arange(6)")));
}

TEST(to_numpy_async, copies_at_once_where_no_memory_can_be_pinned) {
  const inverted::no_pinned_memory none;
  const at::Tensor there = at::ones({3}).to(at::Device("inverted"));
  async_array result = to_numpy_async(there);
  EXPECT_TRUE(result.ready());
  EXPECT_TRUE(same_elements(result.wait(), eval("np.ones(3, 'float32')")));
}

TEST(to_numpy_async, refuses_what_to_numpy_refuses_before_it_copies) {
  inverted::take_copies();
  message_of<py::type_error>([] { to_numpy_async(at::ones({2}).to_sparse()); });
  message_of<py::type_error>([] { to_numpy_async(at::Tensor()); });
  message_of<ndtorch::detail::not_implemented_error>(
      [] { to_numpy_async(at::empty({2}, at::kMeta)); });
  EXPECT_TRUE(inverted::take_copies().empty());
}

// ----- docs/gpu.md shows these

// Each frame crosses the bus while `work` is at the one before it.
void for_each_frame(const std::vector<at::Tensor>& frames, const py::function& work) {
  std::deque<ndtorch::async_array> on_the_way;
  for (const at::Tensor& frame : frames) {
    on_the_way.push_back(ndtorch::to_numpy_async(frame));
    if (on_the_way.size() < 2) continue;
    work(on_the_way.front().wait());
    on_the_way.pop_front();
  }
  if (!on_the_way.empty()) work(on_the_way.front().wait());
}

namespace bad {

// The other stream doesn't know of the copy, and may write before it has read.
ndtorch::async_array read_and_refill(const at::Tensor& buffer, const at::Tensor& next,
                                     c10::Stream other) {
  ndtorch::async_array result = ndtorch::to_numpy_async(buffer);
  const c10::StreamGuard on(other);
  buffer.copy_(next);
  return result;
}

}  // namespace bad

namespace good {

ndtorch::async_array read_and_refill(const at::Tensor& buffer, const at::Tensor& next,
                                     c10::Stream other) {
  ndtorch::async_array result = ndtorch::to_numpy_async(buffer);
  c10::Event read(buffer.device().type());
  read.record(c10::impl::VirtualGuardImpl(other.device_type()).getStream(buffer.device()));
  const c10::StreamGuard on(other);
  read.block(other);
  buffer.copy_(next);
  return result;
}

}  // namespace good

TEST_P(async_from_device, brings_each_frame_while_work_is_at_another) {
  const inverted::asynchronous mode(late);
  for (const std::int64_t count : {0, 1, 2, 5}) {
    std::vector<at::Tensor> frames;
    for (std::int64_t i = 0; i < count; ++i) frames.push_back(at::arange(i, i + 3).to(device()));
    py::list seen;
    for_each_frame(frames, py::cpp_function([&](const py::array& frame) { seen.append(frame); }));
    ASSERT_EQ(static_cast<std::int64_t>(seen.size()), count);
    for (std::int64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(
          same_elements(seen[static_cast<std::size_t>(i)], ndtorch::numpy(at::arange(i, i + 3))));
    }
  }
}

// What both do where the copy's stream is held up, and the other is not.
py::array of_held_up(async_array (*read_and_refill)(const at::Tensor&, const at::Tensor&,
                                                    c10::Stream)) {
  const inverted::asynchronous mode(late);
  const at::Device device("inverted:1");
  const at::Tensor buffer = at::ones({3}).to(device), next = at::full({3}, 2.F).to(device);
  const c10::Stream other(c10::Stream::UNSAFE, device, 7);
  gate closed(default_stream(device));
  async_array result = read_and_refill(buffer, next, other);
  std::this_thread::sleep_for(20 * late);  // time for the other stream, where it doesn't wait
  closed.open();
  const py::array array = result.wait();
  c10::Event written(
      device.type());  // the tensors' memory is given back in the default stream's order
  written.record(other);
  written.synchronize();
  return array;
}

TEST(to_numpy_async, races_with_a_stream_that_does_not_wait) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer reports the race";
#endif
  EXPECT_TRUE(same_elements(of_held_up(&bad::read_and_refill), eval("np.full(3, 2, 'float32')")));
}

TEST(to_numpy_async, is_read_before_a_stream_that_waits_writes) {
  EXPECT_TRUE(same_elements(of_held_up(&good::read_and_refill), eval("np.ones(3, 'float32')")));
}

// -----

TEST(to_numpy_async, can_be_bound_to_python) {
  const auto module = py::reinterpret_borrow<py::module_>(
      py::module_::import("types").attr("ModuleType")("async_module"));
  py::class_<async_array>(module, "async_array", py::module_local())
      .def("ready", &async_array::ready)
      .def("wait", &async_array::wait);
  module.attr("start") =
      py::cpp_function([] { return to_numpy_async(at::arange(3).to(at::Device("inverted"))); });
  const py::dict names = test::exec(
      "handle = m.start()\n"
      "values = handle.wait().tolist()\n"
      "ready = handle.ready()\n"
      "dropped = m.start()\n"
      "del dropped",
      py::dict(py::arg("m") = module));
  EXPECT_TRUE(py::object(names["values"]).equal(eval("[0, 1, 2]")));
  EXPECT_TRUE(names["ready"].cast<bool>());
}

}  // namespace
