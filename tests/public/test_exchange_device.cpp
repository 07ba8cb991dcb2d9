// Memory of a device to and from others: as DLPack's kDLExtDev, on the tests' own "inverted"
// (support/private_use1.h)
#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/devices.h"
#include "support/dlpack.h"
#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace inverted = test::inverted;
using test::eval;
using test::foreign_memory;
using test::message_of;
using test::raised_by;
using waits = std::vector<std::string>;

class exchange_device : public test::device_test {
 protected:
  int index() const { return device().index(); }
  at::Tensor numbers() const { return at::arange(6, at::kDouble).view({2, 3}).to(device()); }

  // The stream that is current where one of these lives.
  c10::StreamGuard on_stream(c10::StreamId id) const {
    return c10::StreamGuard(c10::Stream(c10::Stream::UNSAFE, device(), id));
  }

  // An object of another library, on the memory of a tensor.
  void lend(foreign_memory& memory, const at::Tensor& tensor) const {
    memory.tensor.data = const_cast<void*>(tensor.const_data_ptr());
    memory.tensor.device = {kDLExtDev, index()};
  }
};

INSTANTIATE_TEST_SUITE_P(private_use1, exchange_device, testing::Values("inverted:0", "inverted:1"),
                         test::name_of_device);

void expect_same_memory(const at::Tensor& one, const at::Tensor& other) {
  EXPECT_EQ(one.device(), other.device());
  EXPECT_EQ(one.const_data_ptr(), other.const_data_ptr());
  EXPECT_EQ(one.sizes(), other.sizes());
  EXPECT_EQ(one.strides(), other.strides());
  EXPECT_EQ(one.scalar_type(), other.scalar_type());
  EXPECT_TRUE(inverted::take_copies().empty());
}

double sum_of(const at::Tensor& tensor) { return tensor.cpu().sum().item<double>(); }

TEST_P(exchange_device, dlpack_goes_both_ways) {
  const at::Tensor tensor = numbers();
  inverted::take_copies();
  const py::object offer = ndtorch::to_dlpack(tensor);
  EXPECT_TRUE(offer.attr("__dlpack_device__")().equal(py::make_tuple(12, index())));
  const at::Tensor again = ndtorch::as_tensor(offer);
  expect_same_memory(again, tensor);
  again.copy_(at::arange(6).view({2, 3}).neg());
  EXPECT_EQ(sum_of(tensor), -15);
}

TEST_P(exchange_device, torch_goes_both_ways) {
  test::import_torch();
  const at::Tensor tensor = numbers();
  inverted::take_copies();
  const py::object theirs = ndtorch::to_torch(tensor);
  EXPECT_EQ(py::str(theirs.attr("device")).cast<std::string>(), GetParam());
  expect_same_memory(ndtorch::as_tensor(theirs), tensor);
  EXPECT_EQ(inverted::take_waits(), waits()) << "one LibTorch has the same streams";
}

TEST_P(exchange_device, memory_lives_until_the_last_user_goes) {
  test::import_torch();
  const int before = inverted::live_blocks();
  for (const bool with_gil : {true, false}) {
    at::Tensor tensor = numbers();
    py::object offer = ndtorch::to_dlpack(tensor);
    py::object theirs = ndtorch::to_torch(tensor);
    tensor = ndtorch::as_tensor(offer);
    offer = py::none();
    EXPECT_EQ(inverted::live_blocks(), before + 1);
    theirs = py::none();
    EXPECT_EQ(sum_of(tensor), 15);
    test::drop(tensor, with_gil);
    EXPECT_EQ(inverted::live_blocks(), before);
  }
}

TEST_P(exchange_device, stays_where_it_is_unless_told_otherwise) {
  const at::Tensor tensor = numbers();
  const py::object offer = ndtorch::to_dlpack(tensor);
  inverted::take_copies();
  expect_same_memory(ndtorch::as_tensor(offer, device()), tensor);
  {
    const c10::DeviceGuard current(device());
    expect_same_memory(ndtorch::as_tensor(offer, at::Device("inverted")), tensor);
  }
  for (const char* elsewhere : {"cpu", index() == 0 ? "inverted:1" : "inverted:0"}) {
    const at::Tensor copy = ndtorch::as_tensor(offer, at::Device(elsewhere));
    EXPECT_EQ(copy.device(), at::Device(elsewhere));
    EXPECT_EQ(sum_of(copy), 15);
    EXPECT_FALSE(inverted::take_copies().empty());
  }
  // As in PyTorch, a device without a number is the current one.
  const c10::DeviceGuard other(
      at::Device(at::kPrivateUse1, static_cast<c10::DeviceIndex>(1 - index())));
  EXPECT_EQ(ndtorch::as_tensor(offer, at::Device("inverted")).device().index(), 1 - index());
}

TEST_P(exchange_device, dlpack_copies_to_the_cpu_on_request) {
  const at::Tensor tensor = numbers();
  const py::object offer = ndtorch::to_dlpack(tensor);
  inverted::take_copies();
  const at::Tensor copy = ndtorch::as_tensor(eval(
      "type('asked', (), dict(__dlpack__=lambda self, **a: x.__dlpack__(dl_device=(1, 0), **a), "
      "__dlpack_device__=lambda self: (1, 0)))()",
      py::arg("x") = offer));
  EXPECT_TRUE(copy.is_cpu());
  EXPECT_EQ(sum_of(copy), 15);
  const auto copies = inverted::take_copies();
  ASSERT_EQ(copies.size(), 1U);
  EXPECT_FALSE(copies[0].with_gil);

  const auto ask = [&](const std::string& arguments) {
    return eval("x.__dlpack__(" + arguments + ")", py::arg("x") = offer);
  };
  ask("dl_device=(12, " + std::to_string(index()) + "), copy=False");
  const auto refused = [&](const std::string& arguments) {
    const test::python_error raised = raised_by([&] { ask(arguments); });
    EXPECT_EQ(raised.type, "BufferError");
    return raised.text;
  };
  const std::string start =
      "can't export a tensor on " + std::string(GetParam()) + " to DLPack device ";
  EXPECT_EQ(refused("dl_device=(1, 0), copy=False"),
            start + "(1, 0) without a copy. Copy it there first, with tensor.to(device).");
  const std::string other = index() == 0 ? "(12, 1)" : "(12, 0)";
  EXPECT_EQ(refused("dl_device=" + other),
            start + other + ". Copy it there first, with tensor.to(device).");
  EXPECT_TRUE(inverted::take_copies().empty());
}

TEST_P(exchange_device, the_consumer_waits_for_our_work_unless_it_says_not_to) {
  const at::Tensor tensor = numbers();
  const auto guard = on_stream(7);
  const std::string host_waits = "host waits for 7 of " + std::string(GetParam());
  for (const auto& [arguments, expected] :
       {std::pair("", waits{host_waits}), std::pair("stream=None", waits{host_waits}),
        std::pair("stream=0", waits{host_waits}), std::pair("stream=-1", waits{})}) {
    SCOPED_TRACE(arguments);
    eval("x.__dlpack__(" + std::string(arguments) + ")", py::arg("x") = ndtorch::to_dlpack(tensor));
    EXPECT_EQ(inverted::take_waits(), expected);
  }
}

TEST_P(exchange_device, our_stream_waits_for_the_producers) {
  const at::Tensor tensor = numbers();
  foreign_memory memory;
  lend(memory, tensor);
  const py::object object = test::versioned_producer(memory);
  {
    const auto guard = on_stream(7);
    ndtorch::as_tensor(object);
    EXPECT_EQ(inverted::take_waits(), waits{"7 waits for 0 of " + std::string(GetParam())});
  }
  ndtorch::as_tensor(object);
  EXPECT_EQ(inverted::take_waits(), waits{}) << "it is on the default stream already";
  EXPECT_EQ(memory.deleted, 2);
}

TEST_P(exchange_device, read_only_memory_is_copied_there_by_the_first_write) {
  const at::Tensor source = numbers();
  foreign_memory memory;
  lend(memory, source);
  memory.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  at::Tensor tensor = ndtorch::as_tensor(test::versioned_producer(memory));
  EXPECT_EQ(tensor.const_data_ptr(), source.const_data_ptr());
  tensor[0].copy_(at::arange(3, 6));
  EXPECT_EQ(tensor.device(), device());
  EXPECT_EQ(sum_of(tensor), 24);
  EXPECT_EQ(sum_of(source), 15);
  EXPECT_EQ(memory.deleted, 0);
  tensor.reset();
  EXPECT_EQ(memory.deleted, 1);
}

// The copy is of what the stream has written by then.
TEST_P(exchange_device, read_only_memory_is_copied_in_the_streams_order) {
  const inverted::asynchronous mode(std::chrono::microseconds(3000));
  const at::Tensor source = numbers();
  const auto guard = on_stream(7);
  foreign_memory memory;
  lend(memory, source);
  memory.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  const at::Tensor tensor = ndtorch::as_tensor(test::versioned_producer(memory));
  const at::Tensor more = at::full({2, 3}, 10, at::kDouble).to(device());
  source.copy_(more, /*non_blocking=*/true);
  inverted::take_waits();
  tensor[0].copy_(more[0], /*non_blocking=*/true);
  EXPECT_EQ(inverted::take_waits(), waits{"host waits for 7 of " + std::string(GetParam())});
  source.copy_(numbers(), /*non_blocking=*/true);
  EXPECT_EQ(sum_of(tensor), 60);
}

// Nobody gets the memory before it is made.
TEST_P(exchange_device, read_only_memory_is_copied_once_for_two_streams_at_once) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "LibTorch's hook is looked at without a lock";
#endif
  const inverted::asynchronous mode(std::chrono::microseconds(3000));
  for (int round = 0; round < 20; ++round) {
    const at::Tensor source = numbers();
    foreign_memory memory;
    lend(memory, source);
    memory.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
    const at::Tensor tensor = ndtorch::as_tensor(test::versioned_producer(memory));
    // From the CPU: between its own tensors the device writes all of their memory anew.
    const at::Tensor more = at::full({2, 3}, 10, at::kDouble);
    {
      const py::gil_scoped_release without_gil;
      std::vector<std::thread> threads;
      for (int row = 0; row < 2; ++row) {
        threads.emplace_back([&, row] {
          const auto guard = on_stream(7 + row);
          tensor[row].copy_(more[row]);
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
    ASSERT_EQ(sum_of(tensor), 60);
  }
}

TEST(exchange_devices, have_one_name_on_each_side) {
  const std::pair<at::Device, DLDevice> names[] = {
      {at::Device("cpu"), {kDLCPU, 0}},      {at::Device("cuda:1"), {kDLCUDA, 1}},
      {at::Device("xpu:2"), {kDLOneAPI, 2}}, {at::Device("mps:0"), {kDLMetal, 0}},
      {at::Device("maia:0"), {kDLMAIA, 0}},  {at::Device("inverted:1"), {kDLExtDev, 1}},
  };
  for (const auto& [device, named] : names) {
    SCOPED_TRACE(device.str());
    EXPECT_EQ(ndtorch::detail::device_of(named), device);
    const DLDevice again = ndtorch::detail::dlpack_device(device);
    EXPECT_EQ(again.device_type, named.device_type);
    EXPECT_EQ(again.device_id, named.device_id);
  }
  EXPECT_EQ(ndtorch::detail::dlpack_device(at::Device("cuda")).device_id, 0);
  // Two names for one, the other way.
  EXPECT_EQ(ndtorch::detail::device_of({kDLCUDAManaged, 1}), at::Device("cuda:1"));
  EXPECT_EQ(ndtorch::detail::device_of({kDLROCM, 1}), at::Device("cuda:1"));
}

TEST(exchange_device_index, must_be_one_that_is_there) {
  foreign_memory memory;
  memory.tensor.device = {kDLExtDev, inverted::device_count};
  const py::object object = test::versioned_producer(memory);
  EXPECT_EQ(message_of<std::runtime_error>([&] { ndtorch::as_tensor(object); }),
            "invalid device inverted:2: this machine has 2 INVERTED devices. Use one of these, or "
            "at::kCPU.");
  EXPECT_EQ(memory.deleted, 1);
}

}  // namespace
