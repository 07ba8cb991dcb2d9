// Memory of a GPU to and from other libraries: runs where there is one, and is skipped elsewhere
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <c10/core/StreamGuard.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/typed.h>

#include <cstdint>
#include <string>

#include "support/devices.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::address_of;
using test::eval;
using test::same_elements;

class gpu_exchange : public test::device_test {
 protected:
  // Six numbers in torch's hands, and where they are.
  py::object theirs() const {
    return eval("torch.arange(6., device=d).view(2, 3).t()", py::arg("d") = GetParam());
  }
  void expect_same_memory(const at::Tensor& ours, py::handle theirs) const {
    EXPECT_EQ(ours.device(), device());
    EXPECT_EQ(address_of(ours), address_of(theirs));
    EXPECT_EQ(ours.sizes(), at::IntArrayRef({3, 2}));
    EXPECT_EQ(ours.strides(), at::IntArrayRef({1, 3}));
    EXPECT_TRUE(same_elements(ndtorch::to_numpy(ours), theirs.attr("cpu")().attr("numpy")()));
  }
  static bool has(const char* module) {
    return !eval("__import__('importlib.util').util.find_spec(m)", py::arg("m") = module).is_none();
  }
};

INSTANTIATE_TEST_SUITE_P(gpu, gpu_exchange, testing::Values("cuda:0", "cuda:1"),
                         test::name_of_device);

TEST_P(gpu_exchange, as_tensor_shares_a_torch_tensor) {
  const py::object tensor = theirs();
  expect_same_memory(ndtorch::as_tensor(tensor), tensor);
}

TEST_P(gpu_exchange, to_torch_and_back_is_the_same_memory) {
  const at::Tensor tensor = at::arange(6, at::kFloat).to(device()).view({2, 3}).t();
  const py::object given = ndtorch::to_torch(tensor);
  EXPECT_EQ(py::str(given.attr("device")).cast<std::string>(), GetParam());
  expect_same_memory(tensor, given);
  expect_same_memory(ndtorch::as_tensor(given), given);
}

TEST_P(gpu_exchange, as_tensor_shares_a_cuda_array) {
  for (const char* const stream : {"None", "1", "2"}) {
    SCOPED_TRACE(stream);
    const py::object tensor = theirs();
    const py::object array = test::exec(
        "class on_gpu:\n"
        "  __cuda_array_interface__ = dict(x.__cuda_array_interface__, version=3, stream=" +
            std::string(stream) + ")\narray = on_gpu()",
        py::dict(py::arg("x") = tensor))["array"];
    expect_same_memory(ndtorch::as_tensor(array), tensor);
  }
}

TEST_P(gpu_exchange, a_first_write_leaves_a_read_only_cuda_array_as_it_is) {
  const py::object tensor = theirs();
  const py::object array = test::exec(
      "i = x.__cuda_array_interface__\n"
      "class on_gpu:\n"
      "  __cuda_array_interface__ = dict(i, data=(i['data'][0], True))\n"
      "array = on_gpu()",
      py::dict(py::arg("x") = tensor))["array"];
  const at::Tensor ours = ndtorch::as_tensor(array);
  expect_same_memory(ours, tensor);
#if __has_include(<c10/core/StorageMaterializer.h>)
  ours.fill_(9);
  EXPECT_NE(address_of(ours), address_of(tensor));
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(ours), eval("np.full((3, 2), 9, 'float32')")));
#else
  EXPECT_THROW(ours.fill_(9), c10::Error);
#endif
  EXPECT_EQ(tensor.attr("sum")().attr("item")().cast<double>(), 15);
}

TEST_P(gpu_exchange, cupy_goes_both_ways) {
  if (!has("cupy")) GTEST_SKIP() << "no CuPy";
  test::exec("__import__('cupy').cuda.Device(i).use()",
             py::dict(py::arg("i") = static_cast<int>(device().index())));
  const py::object array = eval("__import__('cupy').asarray(np.arange(6, dtype='float32'))");
  const at::Tensor ours = ndtorch::as_tensor(array);
  EXPECT_EQ(ours.device(), device());
  EXPECT_EQ(address_of(ours), array.attr("data").attr("ptr").cast<std::uintptr_t>());
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(ours), eval("np.arange(6, dtype='float32')")));

  const at::Tensor doubled = ours.mul(2);
  const py::object back =
      eval("__import__('cupy').from_dlpack(x)", py::arg("x") = ndtorch::to_dlpack(doubled));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(doubled.const_data_ptr()),
            back.attr("data").attr("ptr").cast<std::uintptr_t>());
  EXPECT_TRUE(same_elements(back.attr("get")(), eval("np.arange(0, 12, 2, dtype='float32')")));
}

// What is under way on our stream is in what the other library reads on its own.
TEST_P(gpu_exchange, a_consumer_comes_after_our_work) {
  const c10::StreamGuard on(new_stream());
  const at::Tensor tensor = at::arange(6, at::kFloat).to(device());
  test::exec("torch.cuda._sleep(100_000_000)");
  tensor.mul_(2);
  const py::object values = test::exec(
      "other = torch.cuda.Stream(x.__dlpack_device__()[1])\n"
      "capsule = x.__dlpack__(stream=other.cuda_stream)\n"
      "with torch.cuda.stream(other):\n"
      "  values = torch.from_dlpack(capsule).cpu().numpy()",
      py::dict(py::arg("x") = ndtorch::to_dlpack(tensor)))["values"];
  EXPECT_TRUE(same_elements(values, eval("np.arange(0, 12, 2, dtype='float32')")));
}

TEST_P(gpu_exchange, tensor_t_takes_what_is_there_and_nothing_else) {
  using on_gpu = ndtorch::tensor_t<float, ndtorch::ndim<2>, ndtorch::device::cuda>;
  const auto pass =
      py::cpp_function([](const on_gpu& tensor) { return ndtorch::to_torch(tensor); });
  const py::object tensor = theirs();
  EXPECT_EQ(address_of(pass(tensor)), address_of(tensor));
  EXPECT_THROW(pass(eval("np.ones((2, 3), 'float32')")), py::error_already_set);
}

}  // namespace
