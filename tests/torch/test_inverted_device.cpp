// Devices, in both directions: what only a device can tell that counts (support/private_use1.h)
#include <ATen/ops/ones.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include <cstddef>
#include <vector>

#include "support/devices.h"
#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace inverted = test::inverted;
using test::array;
using test::eval;
using test::message_of;
using test::references;

TEST(inverted_device, has_memory_that_the_cpu_misreads) {
  const at::Tensor there = ndtorch::tensor(eval("np.ones(3)"), at::Device("inverted"));
  EXPECT_NE(*static_cast<const double*>(there.const_data_ptr()), 1.0);
}

// How large each transfer was since the last call.
std::vector<std::size_t> transfers() {
  std::vector<std::size_t> bytes;
  for (const inverted::copy_record& copy : test::take_transfers()) bytes.push_back(copy.bytes);
  return bytes;
}

using sizes = std::vector<std::size_t>;

TEST(inverted_device, gets_an_array_in_one_transfer_without_the_gil) {
  const at::Device device("inverted:1");
  inverted::take_copies();
  for (const char* expression : {"np.ones((2, 3))", "np.ones((3, 2)).T", "np.ones((4, 3))[::-2]",
                                 "[[1, 2, 3]] * 2", "[np.ones(3), np.ones(3)]"}) {
    SCOPED_TRACE(expression);
    const py::object data = eval(expression);
    ndtorch::tensor(data, device);
    EXPECT_EQ(transfers(), sizes{48});
    ndtorch::as_tensor(data, device);
    EXPECT_EQ(transfers(), sizes{48});
  }
}

TEST(inverted_device, gives_an_array_in_one_transfer_without_the_gil) {
  const at::Tensor tensor = at::ones({6}).to(at::Device("inverted:1"));
  inverted::take_copies();
  ndtorch::to_numpy(tensor);
  EXPECT_EQ(transfers(), sizes{24});
  ndtorch::to_numpy(tensor.slice(0, 4));
  EXPECT_EQ(transfers(), sizes{8});
  ndtorch::to_numpy<float>(tensor);
  EXPECT_EQ(transfers(), sizes{24});
}

TEST(inverted_device, casts_on_the_side_that_transfers_fewer_bytes) {
  const at::Tensor tensor = at::ones({6}).to(at::Device("inverted:1"));
  inverted::take_copies();
  ndtorch::to_numpy<double>(tensor);
  EXPECT_EQ(transfers(), sizes{24}) << "cast on the CPU";
  ndtorch::to_numpy<c10::Half>(tensor);
  EXPECT_EQ(transfers(), sizes{12}) << "cast on the device";
}

TEST(inverted_device, is_no_other_current_one_after_a_conversion) {
  ASSERT_EQ(inverted::current_device(), 0);
  const at::Tensor there = ndtorch::tensor(eval("np.ones(3)"), at::Device("inverted:1"));
  EXPECT_EQ(inverted::current_device(), 0);
  ndtorch::to_numpy(there);
  EXPECT_EQ(inverted::current_device(), 0);
}

TEST(inverted_device, gets_its_memory_back) {
  const int before = inverted::live_blocks();
  py::object result;
  {
    const at::Tensor there = ndtorch::tensor(eval("np.ones(3)"), at::Device("inverted"));
    EXPECT_EQ(inverted::live_blocks(), before + 1);
    result = ndtorch::to_numpy(there);
  }
  EXPECT_EQ(inverted::live_blocks(), before) << "the array holds memory of the CPU's";
  EXPECT_EQ(result.attr("sum")().cast<double>(), 3);
}

TEST(inverted_device, is_not_touched_by_a_call_that_fails) {
  const at::Device device("inverted");
  const auto require_grad = at::TensorOptions(device).requires_grad(true);
  const int blocks = inverted::live_blocks();
  inverted::take_copies();
  message_of<std::runtime_error>([&] { ndtorch::tensor(eval("np.arange(3)"), require_grad); });
  message_of<std::runtime_error>([&] { ndtorch::tensor(eval("[1, 2]"), require_grad); });
  message_of<std::runtime_error>([&] { ndtorch::tensor<int>(eval("np.ones(3)"), require_grad); });
  message_of<py::type_error>([&] { ndtorch::tensor(eval("np.array(['text'])"), device); });
  message_of<py::type_error>(
      [&] { ndtorch::as_tensor(eval("np.ma.masked_equal([1., 2.], 1)"), device); });
  message_of<py::value_error>([&] { ndtorch::tensor(eval("[[1], [2, 3]]"), device); });
  message_of<py::value_error>([&] {
    ndtorch::tensor<float>(eval("np.ones(3)"), at::TensorOptions(device).dtype(at::kInt));
  });
  EXPECT_EQ(inverted::live_blocks(), blocks);
  EXPECT_TRUE(inverted::take_copies().empty());
}

TEST(inverted_device, out_of_memory_is_a_runtime_error) {
  const at::Device device("inverted");
  const py::array source = array("np.ones(3)");
  const int blocks = inverted::live_blocks();
  const Py_ssize_t before = references(source);
  for (const py::object& data : {py::object(source), eval("[1, 2]")}) {
    inverted::fail_next_allocation();
    EXPECT_EQ(message_of<std::runtime_error>([&] { ndtorch::tensor(data, device); }),
              "inverted out of memory.");
  }
  EXPECT_EQ(references(source), before);
  EXPECT_EQ(inverted::live_blocks(), blocks);
}

}  // namespace
