// Large copies to and from a device (detail/torch/transfer.h), on devices that do their work late and out
// of order (support/private_use1.h), and on CUDA where there is a GPU
#include <ATen/ops/all.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/equal.h>
#include <c10/core/StreamGuard.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/devices.h"
#include "support/private_use1.h"
#include "support/private_use1_streams.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace inverted = test::inverted;
using ndtorch::detail::pinned_buffers;
using test::eval;
using test::message_of;
using test::references;
using test::same_elements;
using test::take_transfers;

constexpr std::chrono::microseconds late(3000);

class transfer : public test::device_test {};

INSTANTIATE_TEST_SUITE_P(private_use1, transfer, testing::Values("inverted:1"),
                         test::name_of_device);
INSTANTIATE_TEST_SUITE_P(gpu, transfer, testing::Values("cuda:0", "cuda:1"), test::name_of_device);

// Views of a tensor on any device, and of the same on the CPU.
struct layout {
  const char* name;
  at::Tensor (*view)(const at::Tensor& tensor);
};

const layout layouts[] = {
    {"dense", [](const at::Tensor& t) { return t; }},
    {"transposed", [](const at::Tensor& t) { return t.transpose(0, 1); }},
    {"permuted", [](const at::Tensor& t) { return t.permute({2, 0, 1}); }},
    {"every second row", [](const at::Tensor& t) { return t.slice(0, 0, t.size(0), 2); }},
    {"every second column", [](const at::Tensor& t) { return t.slice(2, 0, t.size(2), 2); }},
    {"a part at an offset", [](const at::Tensor& t) { return t.slice(0, 1).slice(1, 2); }},
    {"expanded", [](const at::Tensor& t) { return t.select(1, 0).unsqueeze(1).expand_as(t); }},
    {"permuted and sliced",
     [](const at::Tensor& t) { return t.permute({1, 2, 0}).slice(0, 1, t.size(1), 2); }},
};

// Whatever the size of the parts: in one dimension or more, with remainders and without.
TEST_P(transfer, receives_every_layout_in_parts_of_any_size) {
  const inverted::asynchronous mode(std::chrono::microseconds(200));
  const at::Tensor here = at::arange(5 * 6 * 7, at::kFloat).view({5, 6, 7});
  const at::Tensor there = here.to(device());
  for (const layout& one : layouts) {
    const at::Tensor expected = one.view(here);
    const at::Tensor source = one.view(there);
    for (const std::int64_t most : {1, 4, 7, 50, 1000}) {
      SCOPED_TRACE(std::string(one.name) + " in parts of " + std::to_string(most));
      if (most == 1 && device().is_cuda()) continue;  // that slow even where nothing is late
      pinned_buffers buffers(device(), most * 4);
      const at::Tensor result = ndtorch::detail::new_cpu_tensor(
          source.sizes(), ndtorch::detail::strides_of_copy(source), at::kFloat, false);
      ndtorch::detail::receive(source, result, at::kFloat, buffers, most);
      EXPECT_TRUE(at::equal(result, expected));
    }
  }
}

TEST_P(transfer, brings_large_tensors) {
  const inverted::asynchronous mode(late);
  const at::Tensor here = at::arange(181 * 361 * 521, at::kFloat).view({181, 361, 521});
  const at::Tensor there = here.to(device());
  for (const layout& one : {layouts[0], layouts[1], layouts[3]}) {
    SCOPED_TRACE(one.name);
    const at::Tensor expected = one.view(here);
    const py::array result = ndtorch::to_numpy(one.view(there));
    EXPECT_TRUE(same_elements(result, ndtorch::numpy(expected)));
    const at::Tensor copy = expected.to(at::kDouble);  // its strides are PyTorch's
    for (int axis = 0; axis < 3; ++axis) EXPECT_EQ(result.strides(axis), copy.stride(axis) * 4);
    EXPECT_TRUE(result.writeable());
  }
}

TEST_P(transfer, brings_what_conj_and_neg_mean) {
  const inverted::asynchronous mode(late);
  // Without a zero: LibTorch's CPU and CUDA give it different signs where they negate it.
  const at::Tensor values = at::arange(1, 9'000'001, at::kFloat);
  const at::Tensor here = at::complex(values, values.add(1));
  const at::Tensor there = here.to(device());
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(there.conj()), ndtorch::to_numpy(here.conj())));
  EXPECT_TRUE(
      same_elements(ndtorch::to_numpy(there._neg_view()), ndtorch::to_numpy(here._neg_view())));
}

TEST_P(transfer, casts_on_the_way) {
  const inverted::asynchronous mode(late);
  const at::Tensor here = at::arange(17'000'003, at::kInt);
  const at::Tensor there = here.to(device());
  EXPECT_TRUE(same_elements(ndtorch::to_numpy<double>(there), ndtorch::to_numpy<double>(here)));
  EXPECT_TRUE(same_elements(ndtorch::to_numpy<c10::Half>(there.slice(0, 0, 17'000'003, 2)),
                            ndtorch::to_numpy<c10::Half>(here.slice(0, 0, 17'000'003, 2))));
  const py::object wide = eval("np.arange(17_000_003)");
  EXPECT_TRUE(at::equal(ndtorch::tensor<float>(wide, device()).cpu(), here.to(at::kFloat)));
  const py::object narrow = eval("np.arange(17_000_003, dtype='float32')");
  EXPECT_TRUE(
      at::equal(ndtorch::tensor<double>(narrow, device()).cpu(), ndtorch::tensor<double>(narrow)));
}

TEST_P(transfer, sends_large_arrays_of_every_layout) {
  const inverted::asynchronous mode(late);
  for (const char* const expression :
       {"np.arange(17_000_003, dtype='float32')",
        "np.arange(4_001 * 4_300, dtype='float32').reshape(4_001, 4_300).T",
        "np.arange(8_002 * 4_300, dtype='float32').reshape(8_002, 4_300)[::2]",
        "np.broadcast_to(np.arange(4_300, dtype='float32'), (4_001, 4_300))",
        "np.arange(17_000_003, dtype='float32')[::-1]", "np.arange(17_000_003).astype('>f4')",
        "np.frombuffer(b'\\0' + np.arange(17_000_003, dtype='f4').tobytes(), 'u1')[1:].view('f4')",
        "[np.arange(4_300, dtype='float32')] * 4_001"}) {
    SCOPED_TRACE(expression);
    const py::object data = eval(expression);
    const at::Tensor expected = ndtorch::tensor(data);
    const at::Tensor copy = ndtorch::tensor(data, device());
    EXPECT_EQ(copy.device(), device());
    EXPECT_EQ(copy.strides(), expected.strides());
    EXPECT_TRUE(at::equal(copy.cpu(), expected));
    EXPECT_TRUE(at::equal(ndtorch::as_tensor(data, device()).cpu(), expected));
  }
}

TEST_P(transfer, sends_memory_of_other_holders) {
  const inverted::asynchronous mode(late);
  const at::Tensor copy =
      ndtorch::tensor(eval("torch.arange(17_000_003, dtype=torch.float32)"), device());
  EXPECT_TRUE(at::equal(copy.cpu(), at::arange(17'000'003, at::kFloat)));
}

TEST_P(transfer, brings_memory_of_other_holders) {
  const inverted::asynchronous mode(late);
  const at::Tensor here = at::arange(17'000'003, at::kFloat);
  const py::object holder = ndtorch::to_dlpack(here.to(device()));
  const at::Tensor back = ndtorch::tensor(holder, at::kCPU);
  EXPECT_TRUE(at::equal(back, here));
}

TEST_P(transfer, brings_memory_of_other_holders_into_pinned_memory) {
  const inverted::asynchronous mode(late);
  for (const std::int64_t count : {100, 17'000'003}) {
    const at::Tensor here = at::arange(count, at::kFloat);
    const py::object holder = ndtorch::to_dlpack(here.to(device()));
    for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kDouble}) {
      SCOPED_TRACE(type);
      const auto pinned = at::TensorOptions(at::kCPU).pinned_memory(true).dtype(type);
      const at::Tensor back = ndtorch::tensor(holder, pinned);
      EXPECT_TRUE(back.is_pinned());
      EXPECT_TRUE(at::equal(back, here.to(type)));
    }
  }
}

// Work that is under way there comes first, and what is asked for next comes after.
TEST_P(transfer, keeps_to_the_current_stream) {
  const inverted::asynchronous mode(late);
  const at::Tensor ones = at::arange(17'000'003, at::kFloat);
  const at::Tensor source = ones.to(device());
  at::Tensor target = source.new_empty({17'000'003});
  {
    const c10::StreamGuard on(new_stream());
    target.copy_(source);
    EXPECT_TRUE(same_elements(ndtorch::to_numpy(target), ndtorch::numpy(ones)));
  }
  {
    const c10::StreamGuard on(new_stream());
    target.copy_(ndtorch::tensor(eval("np.full(17_000_003, 7, 'float32')"), device()));
    EXPECT_TRUE(target.cpu().eq(7).all().item<bool>());
  }
}

TEST_P(transfer, works_where_no_memory_can_be_pinned) {
  if (device().is_cuda()) GTEST_SKIP() << "can't be arranged there";
  const inverted::no_pinned_memory none;
  const py::object array = eval("np.arange(17_000_003, dtype='float32')[::-1]");
  const at::Tensor there = ndtorch::tensor(array, device());
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(there), array));
}

// What only a device that counts can tell.

TEST(large_transfer, goes_in_pieces_that_are_not_waited_for_one_by_one) {
  const at::Device device("inverted:1");
  const py::object array = eval("np.ones(20_000_000, 'float32')");
  const auto expect_pieces = [] {
    std::size_t bytes = 0;
    for (const inverted::copy_record& copy : take_transfers()) {
      EXPECT_FALSE(copy.waited_for);
      EXPECT_LE(copy.bytes, std::size_t{1} << 24);
      bytes += copy.bytes;
    }
    EXPECT_EQ(bytes, 80'000'000U);
  };
  inverted::take_copies();
  const at::Tensor there = ndtorch::tensor(array, device);
  expect_pieces();
  ndtorch::to_numpy(there);
  expect_pieces();
}

TEST(large_transfer, moves_the_smaller_dtype) {
  const at::Device device("inverted:1");
  const auto bytes_of = [](const std::function<void()>& convert) {
    inverted::take_copies();
    convert();
    std::size_t bytes = 0;
    for (const inverted::copy_record& copy : take_transfers()) bytes += copy.bytes;
    return bytes;
  };
  for (const std::size_t count : {100UL, 20'000'000UL}) {
    SCOPED_TRACE(count);
    const py::object wide = eval("np.ones(n)", py::arg("n") = count);
    const py::object reversed = eval("np.ones(n)[::-1]", py::arg("n") = count);
    const py::object narrow = eval("np.ones(n, 'float32')", py::arg("n") = count);
    EXPECT_EQ(bytes_of([&] { ndtorch::tensor<float>(wide, device); }), count * 4);
    EXPECT_EQ(bytes_of([&] { ndtorch::tensor<float>(reversed, device); }), count * 4);
    EXPECT_EQ(bytes_of([&] { ndtorch::tensor<double>(narrow, device); }), count * 4);
    const at::Tensor there = ndtorch::tensor(wide, device);
    EXPECT_EQ(bytes_of([&] { ndtorch::to_numpy<float>(there); }), count * 4);
    const at::Tensor small = ndtorch::tensor(narrow, device);
    EXPECT_EQ(bytes_of([&] { ndtorch::to_numpy<double>(small); }), count * 4);
  }
}

TEST(large_transfer, of_pinned_memory_needs_no_buffers) {
  const at::Tensor pinned = ndtorch::tensor(eval("np.ones(20_000_000, 'float32')"),
                                            at::TensorOptions().pinned_memory(true));
  ASSERT_TRUE(pinned.is_pinned());
  const py::array array = ndtorch::numpy(pinned);
  inverted::take_copies();
  ndtorch::tensor(array, at::Device("inverted"));
  EXPECT_EQ(take_transfers().size(), 1U);
}

// An error in the middle: the pieces on the way are waited for, and nothing is kept.
TEST(large_transfer, that_fails_leaves_nothing_behind) {
  const at::Device device("inverted:1");
  const inverted::asynchronous mode(late);
  const at::Tensor there = ndtorch::tensor(eval("np.ones((40_000, 1_000), 'float32')"), device);
  const at::Tensor strided = there.slice(1, 0, 1'000, 2);
  const int blocks = inverted::live_blocks();
  const auto holders = there.use_count();
  inverted::fail_next_allocation();
  EXPECT_EQ(message_of<std::runtime_error>([&] { ndtorch::to_numpy(strided); }),
            "inverted out of memory.");
  EXPECT_EQ(inverted::live_blocks(), blocks);
  EXPECT_EQ(there.use_count(), holders);

  const py::object narrow = eval("np.ones(20_000_000, 'float32')");
  const Py_ssize_t before = references(narrow);
  inverted::fail_next_allocation();
  message_of<std::runtime_error>([&] { ndtorch::tensor<double>(narrow, device); });
  EXPECT_EQ(inverted::live_blocks(), blocks);
  EXPECT_EQ(references(narrow), before);
}

// With two pieces on the way when the third fails: its buffer was waited for, the other one is then.
TEST(large_transfer, that_fails_in_the_middle_waits_for_the_pieces_on_the_way) {
  const at::Device device("inverted:1");
  const std::vector<std::string> both(2, "host waits for 0 of inverted:1");
  const inverted::asynchronous mode(late);
  const at::Tensor there = ndtorch::tensor(eval("np.ones((40_000, 1_000), 'float32')"), device);
  const at::Tensor strided = there.slice(1, 0, 1'000, 2);
  const py::object narrow = eval("np.ones(20_000_000, 'float32')");
  const int blocks = inverted::live_blocks();
  inverted::take_waits();
  inverted::fail_next_allocation(2);
  message_of<std::runtime_error>([&] { ndtorch::to_numpy(strided); });
  EXPECT_EQ(inverted::take_waits(), both);
  inverted::fail_next_allocation(3);  // the first is the result's
  message_of<std::runtime_error>([&] { ndtorch::tensor<double>(narrow, device); });
  EXPECT_EQ(inverted::take_waits(), both);
  EXPECT_EQ(inverted::live_blocks(), blocks);
}

// Whichever of its five pieces it was: no result that isn't all there.
TEST(large_transfer, throws_where_the_device_failed) {
  const at::Device device("inverted:1");
  const inverted::asynchronous mode(late);
  const py::object array = eval("np.ones(20_000_000, 'float32')");
  const at::Tensor there = ndtorch::tensor(array, device);
  const int blocks = inverted::live_blocks();
  for (int piece = 0; piece < 5; ++piece) {
    SCOPED_TRACE(piece);
    inverted::fail_next_wait(piece);
    EXPECT_EQ(message_of<std::runtime_error>([&] { ndtorch::to_numpy(there); }),
              "inverted error: unspecified launch failure");
    inverted::fail_next_wait(piece);
    EXPECT_EQ(message_of<std::runtime_error>([&] { ndtorch::tensor(array, device); }),
              "inverted error: unspecified launch failure");
    EXPECT_EQ(inverted::live_blocks(), blocks);
  }
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(there), array));
}

}  // namespace
