// Streams, threads, several devices and short memory, for both directions: on devices that do their
// work late and out of order (support/private_use1.h), and on CUDA where there is a GPU
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/to_numpy_async.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/devices.h"
#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace inverted = test::inverted;
using ndtorch::async_array;
using ndtorch::to_numpy_async;
using test::eval;
using test::message_of;
using test::same_elements;

// The last goes in pieces, where it doesn't go by to_numpy_async.
constexpr std::int64_t small = 1'000, middle = 1'000'003, large = 17'000'003;

py::object filled(std::int64_t count, int value) {
  return eval("np.full(n, v, 'float32')", py::arg("n") = count, py::arg("v") = value);
}

class streams : public test::device_test {
 protected:
  // Keeps the current stream busy for a while, so that what isn't waited for isn't there in time.
  // The inverted device is late as it is.
  void delay() const {
    if (device().is_cuda()) test::exec("torch.cuda._sleep(100_000_000)");
  }

  at::Tensor zeros_there(std::int64_t count) const {
    return ndtorch::tensor(filled(count, 0), device());
  }
  at::Tensor there(std::int64_t count, int value) const {
    return ndtorch::tensor(filled(count, value), device());
  }

  const inverted::asynchronous mode_{std::chrono::microseconds(3000)};
};

INSTANTIATE_TEST_SUITE_P(private_use1, streams, testing::Values("inverted:1"),
                         test::name_of_device);
INSTANTIATE_TEST_SUITE_P(gpu, streams, testing::Values("cuda:0", "cuda:1"), test::name_of_device);

// ----- which stream

TEST_P(streams, buffers_are_pinned_memory) {
  const ndtorch::detail::pinned_buffers buffers(device(), 4096);
  EXPECT_TRUE(buffers.elements(0, at::kFloat, 1024).is_pinned());
  EXPECT_TRUE(buffers.elements(1, at::kByte, 4096).is_pinned());
  const py::array result = to_numpy_async(there(small, 1)).wait();
  EXPECT_TRUE(ndtorch::from_numpy(result).is_pinned());
}

// Written on one stream and read on another, which was told to wait.
TEST_P(streams, to_numpy_comes_after_what_its_stream_waits_for) {
  for (const std::int64_t count : {small, large}) {
    const at::Tensor target = zeros_there(count);
    const at::Tensor source = there(count, 5);
    const c10::Stream writer = new_stream(), reader = new_stream();
    c10::Event written(device().type());
    {
      const c10::StreamGuard on(writer);
      delay();
      target.copy_(source);
      written.record(writer);
    }
    const c10::StreamGuard on(reader);
    written.block(reader);
    EXPECT_TRUE(same_elements(ndtorch::to_numpy(target), filled(count, 5)));
  }
}

// The stream that is current when the copy starts, whichever is current when it is waited for.
TEST_P(streams, to_numpy_async_stays_on_the_stream_it_started_on) {
  const at::Tensor target = zeros_there(middle);
  const at::Tensor source = there(middle, 6);
  std::optional<async_array> result;
  {
    const c10::StreamGuard on(new_stream());
    delay();
    target.copy_(source);
    result.emplace(to_numpy_async(target));
  }
  const c10::StreamGuard on(new_stream());
  EXPECT_TRUE(same_elements(result->wait(), filled(middle, 6)));
}

TEST_P(streams, an_import_is_complete_for_every_stream) {
  for (const std::int64_t count : {small, large}) {
    std::optional<at::Tensor> tensor;
    {
      const c10::StreamGuard on(new_stream());
      delay();
      tensor = there(count, 7);
    }
    const c10::StreamGuard on(new_stream());
    EXPECT_TRUE(same_elements(ndtorch::to_numpy(*tensor), filled(count, 7)));
  }
}

TEST_P(streams, several_are_read_at_once) {
  std::vector<at::Tensor> sources, targets;
  for (int value = 0; value < 3; ++value) {
    sources.push_back(there(middle, value + 1));
    targets.push_back(zeros_there(middle));
  }
  std::vector<async_array> results;
  for (std::size_t i = 0; i < 3; ++i) {
    const c10::StreamGuard on(new_stream());
    delay();
    targets[i].copy_(sources[i]);
    results.push_back(to_numpy_async(targets[i]));
  }
  for (std::size_t i = 3; i-- > 0;) {
    EXPECT_TRUE(same_elements(results[i].wait(), filled(middle, static_cast<int>(i) + 1)));
  }
}

TEST_P(streams, threads_copy_on_streams_of_their_own) {
  std::atomic<int> right{0};
  {
    const py::gil_scoped_release without_gil;
    std::vector<std::thread> threads;
    for (int value = 1; value <= 3; ++value) {
      threads.emplace_back([&, value] {
        const py::gil_scoped_acquire gil;
        const c10::StreamGuard on(new_stream());
        const at::Tensor target = zeros_there(large);
        delay();
        target.copy_(there(large, value));
        async_array later = to_numpy_async(target);
        right += same_elements(ndtorch::to_numpy(target), filled(large, value)) ? 1 : 0;
        right += same_elements(later.wait(), filled(large, value)) ? 1 : 0;
      });
    }
    for (std::thread& each : threads) each.join();
  }
  EXPECT_EQ(right, 6);
}

// ----- memory that goes while a copy is in flight

TEST_P(streams, tensors_are_freed_while_they_are_read) {
  const at::Tensor wrong = there(middle, -1);
  std::vector<async_array> results;
  for (int value = 1; value <= 3; ++value) {
    at::Tensor dying = there(middle, value);
    delay();
    results.push_back(to_numpy_async(dying));
    results.push_back(to_numpy_async(dying.slice(0, 0, middle, 2)));  // by way of a dense copy
    dying.reset();
    wrong.clone();  // takes the memory that is free, and writes there
  }
  for (int value = 1; value <= 3; ++value) {
    const auto i = static_cast<std::size_t>(value - 1) * 2;
    EXPECT_TRUE(same_elements(results[i].wait(), filled(middle, value)));
    EXPECT_TRUE(same_elements(results[i + 1].wait(), filled(middle / 2 + 1, value)));
  }
}

TEST_P(streams, pinned_memory_is_not_used_again_before_its_copy_is_done) {
  const at::Tensor ones = there(large, 1), twos = there(large, 2);
  delay();
  to_numpy_async(ones);  // dropped at once
  async_array kept = to_numpy_async(twos);
  const py::array first = ndtorch::to_numpy(ones);
  EXPECT_TRUE(same_elements(first, filled(large, 1)));
  EXPECT_TRUE(same_elements(kept.wait(), filled(large, 2)));
}

// The array's memory is anybody's once the call has returned.
TEST_P(streams, arrays_are_overwritten_after_they_were_sent) {
  for (const std::int64_t count : {small, large}) {
    for (const char* const layout : {"a", "a[::-1]", "a.astype('>f4')", "a.astype('int64')"}) {
      SCOPED_TRACE(layout);
      const py::object source = eval(layout, py::arg("a") = filled(count, 3));
      delay();
      const at::Tensor tensor = ndtorch::tensor<float>(source, device());
      test::exec("a[:] = -1", py::dict(py::arg("a") = source));
      EXPECT_TRUE(same_elements(ndtorch::to_numpy(tensor), filled(count, 3)));
    }
  }
}

TEST_P(streams, pinned_arrays_are_overwritten_after_they_were_sent) {
  const at::Tensor pinned =
      ndtorch::tensor(filled(large, 3), at::TensorOptions().pinned_memory(true));
  delay();
  const at::Tensor tensor = ndtorch::tensor(ndtorch::numpy(pinned), device());
  pinned.fill_(-1);
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(tensor), filled(large, 3)));
}

// ----- two devices

class two_devices : public streams {
 protected:
  void SetUp() override {
    streams::SetUp();
    if (!IsSkipped() && test::devices(device().type()) < 2) GTEST_SKIP() << "only one GPU";
  }
  at::Device other() const {
    return {device().type(), static_cast<at::DeviceIndex>(1 - device().index())};
  }
};

INSTANTIATE_TEST_SUITE_P(private_use1, two_devices, testing::Values("inverted:1"),
                         test::name_of_device);
INSTANTIATE_TEST_SUITE_P(gpu, two_devices, testing::Values("cuda:0", "cuda:1"),
                         test::name_of_device);

// A stream counts on its own device: here ours is late, and the current one isn't.
TEST_P(two_devices, keep_their_streams_apart) {
  for (const std::int64_t count : {small, large}) {
    const at::Tensor target = zeros_there(count);
    const at::Tensor source = there(count, 8);
    {
      const c10::OptionalDeviceGuard on(device());
      delay();
    }
    target.copy_(source);
    const c10::StreamGuard elsewhere(guard().getStreamFromGlobalPool(other()));
    EXPECT_TRUE(same_elements(ndtorch::to_numpy(target), filled(count, 8)));
    EXPECT_TRUE(same_elements(to_numpy_async(target).wait(), filled(count, 8)));
    EXPECT_TRUE(same_elements(ndtorch::to_numpy(there(count, 9)), filled(count, 9)));
    EXPECT_EQ(guard().getDevice(), other()) << "the current device stays";
  }
}

TEST_P(two_devices, are_read_at_once) {
  const at::Tensor one = there(large, 1);
  const at::Tensor two = ndtorch::tensor(filled(large, 2), other());
  delay();
  async_array first = to_numpy_async(one), second = to_numpy_async(two);
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(two), filled(large, 2)));
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(one), filled(large, 1)));
  EXPECT_TRUE(same_elements(second.wait(), filled(large, 2)));
  EXPECT_TRUE(same_elements(first.wait(), filled(large, 1)));
}

// ----- short memory

// The device has no more memory to give: for the next who asks, or on CUDA until its end.
class no_device_memory {
 public:
  explicit no_device_memory(at::Device device) : device_(device) {
    if (device_.is_cuda()) {
      set_fraction(0);
    } else {
      inverted::fail_next_allocation();
    }
  }
  ~no_device_memory() {
    if (device_.is_cuda()) set_fraction(1);
  }
  no_device_memory(const no_device_memory&) = delete;
  no_device_memory& operator=(const no_device_memory&) = delete;

 private:
  void set_fraction(double fraction) const {
    test::exec(
        "torch.cuda.init()\n"  // else the next line does nothing
        "torch.cuda.empty_cache()\n"
        "torch.cuda.set_per_process_memory_fraction(fraction, device)",
        py::dict(py::arg("fraction") = fraction,
                 py::arg("device") = static_cast<int>(device_.index())));
  }
  at::Device device_;
};

TEST_P(streams, short_device_memory_is_an_error_that_passes) {
  const at::Tensor source = there(2 * large, 4);
  const at::Tensor strided = source.slice(0, 0, 2 * large, 2);
  const auto holders = source.storage().use_count();
  const py::object array = filled(large, 4);
  const Py_ssize_t references = test::references(array);
  {
    const no_device_memory none(device());
    EXPECT_CONTAINS(message_of<std::runtime_error>([&] { ndtorch::to_numpy(strided); }),
                    "out of memory");
  }
  {
    const no_device_memory none(device());
    EXPECT_CONTAINS(message_of<std::runtime_error>([&] { ndtorch::tensor(array, device()); }),
                    "out of memory");
  }
  {
    const no_device_memory none(device());
    EXPECT_CONTAINS(
        message_of<std::runtime_error>([&] { ndtorch::tensor<double>(array, device()); }),
        "out of memory");
  }
  EXPECT_EQ(source.storage().use_count(), holders);
  EXPECT_EQ(test::references(array), references);
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(strided), array));
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(ndtorch::tensor(array, device())), array));
}

// A result larger than any address space, from one element there.
TEST_P(streams, short_host_memory_is_an_error_that_passes) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer ends the process there";
#endif
  const at::Tensor one = there(1, 4);
  const std::int64_t side = std::int64_t{1} << 23U;
  const at::Tensor huge = one.expand({side, side});
  const auto holders = one.storage().use_count();
  message_of<std::bad_alloc>([&] { ndtorch::to_numpy(huge); });
  message_of<std::bad_alloc>([&] { ndtorch::to_numpy<std::int32_t>(huge); });
  message_of<std::bad_alloc>([&] { to_numpy_async(huge); });
  EXPECT_EQ(one.storage().use_count(), holders);
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(one), filled(1, 4)));
  EXPECT_TRUE(same_elements(to_numpy_async(there(large, 4)).wait(), filled(large, 4)));
}

}  // namespace
