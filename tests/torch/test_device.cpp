// Devices, in both directions: on the tests' own "inverted" (support/private_use1.h) everywhere,
// and on CUDA where there is a GPU
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/devices.h"
#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace inverted = test::inverted;
using test::array;
using test::devices;
using test::eval;
using test::message_of;
using test::python_error;
using test::raised_by;
using test::raised_by_python;
using test::references;
using test::same_elements;

class on_device : public test::device_test {
 protected:
  // A tensor there, and the same as an expression for PyTorch.
  at::Tensor numbers() const { return at::arange(6, at::kFloat).reshape({2, 3}).to(device()); }
  std::string py_numbers() const { return "torch.arange(6.).reshape(2, 3)" + py_to_device(); }
  at::Tensor complex_numbers() const {
    return at::complex(at::arange(6, at::kFloat), -at::arange(6, at::kFloat)).to(device());
  }
  std::string py_complex() const {
    return "torch.complex(torch.arange(6.), -torch.arange(6.))" + py_to_device();
  }

  // A tensor without a device index is on the current device, the first.
  void expect_on_device(const at::Tensor& tensor) const {
    EXPECT_EQ(tensor.device().type(), device().type());
    EXPECT_EQ(tensor.device().index(), device().has_index() ? device().index() : 0);
  }

 private:
  std::string py_to_device() const { return ".to('" + std::string(GetParam()) + "')"; }
};

INSTANTIATE_TEST_SUITE_P(private_use1, on_device,
                         testing::Values("inverted", "inverted:0", "inverted:1"),
                         test::name_of_device);
INSTANTIATE_TEST_SUITE_P(gpu, on_device, testing::Values("cuda", "cuda:0"), test::name_of_device);

// By LibTorch's own copy, so that a test of one direction doesn't stand on the other.
py::array read_back(const at::Tensor& tensor) { return ndtorch::numpy(tensor.detach().cpu()); }

TEST_P(on_device, tensor_copies_an_array_of_any_layout_there) {
  for (const char* expression : {
           "np.arange(24.).reshape(2, 3, 4)",
           "np.asfortranarray(np.arange(24.).reshape(2, 3, 4))",
           "np.arange(24.).reshape(4, 6)[::2, 1:]",
           "np.arange(24.).reshape(4, 6).T",
           "np.array(3.5)",
           "np.empty((2, 0, 3))",
           "np.broadcast_to(np.arange(3.), (2, 3))",
           "np.arange(24.).reshape(4, 6)[::-1, ::-2]",
           "np.arange(6.).astype('>f8')",
           "np.zeros((2, 0), '>f8')",
           "np.frombuffer(bytes(range(25)), np.uint8)[1:].view(np.float64)",
           "np.zeros(4, [('a', 'i1'), ('b', 'f8')])['b']",
       }) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    const at::Tensor here = ndtorch::tensor(source);
    for (const at::Tensor& there :
         {ndtorch::tensor(source, device()), ndtorch::as_tensor(source, device())}) {
      expect_on_device(there);
      EXPECT_EQ(there.strides(), here.strides());
      EXPECT_TRUE(same_elements(
          read_back(there), eval("a.astype(a.dtype.newbyteorder('='))", py::arg("a") = source)));
    }
  }
}

TEST_P(on_device, every_dtype_goes_there_and_comes_back) {
  for (const char* dtype : {"bool",
                            "int8",
                            "int16",
                            "int32",
                            "int64",
                            "uint8",
                            "uint16",
                            "uint32",
                            "uint64",
                            "float16",
                            "float32",
                            "float64",
                            "complex64",
                            "complex128",
                            "ml_dtypes.bfloat16",
                            "ml_dtypes.float8_e4m3fn",
                            "ml_dtypes.float8_e4m3fnuz",
                            "ml_dtypes.float8_e5m2",
                            "ml_dtypes.float8_e5m2fnuz",
                            "ml_dtypes.float8_e8m0fnu",
                            "ml_dtypes.complex32"}) {
    SCOPED_TRACE(dtype);
    const std::string name = dtype;
    const bool built_in = name.find('.') == std::string::npos;
    const py::array source =
        array("np.arange(6).reshape(2, 3).astype(" + (built_in ? "'" + name + "'" : name) + ")");
    const at::Tensor there = ndtorch::tensor(source, device());
    expect_on_device(there);
    EXPECT_EQ(there.scalar_type(), ndtorch::scalar_type(source.dtype()));
    EXPECT_TRUE(same_elements(ndtorch::to_numpy(there), source));
  }
}

TEST_P(on_device, tensor_casts_to_the_wanted_dtype) {
  const py::array source = array("np.array([0, 1.75, -2.5])");
  for (const char* form : {"a", "a[::-1]", "a.astype('>f8')"}) {
    SCOPED_TRACE(form);
    const py::array part = array(form, py::arg("a") = source);
    const py::object expected = eval("a.astype(np.int32)", py::arg("a") = part);
    const at::Tensor by_option = ndtorch::tensor(part, at::TensorOptions(device()).dtype(at::kInt));
    const at::Tensor by_type = ndtorch::tensor<std::int32_t>(part, device());
    for (const at::Tensor& there : {by_option, by_type}) {
      expect_on_device(there);
      EXPECT_TRUE(same_elements(read_back(there), expected));
    }
  }
}

TEST_P(on_device, tensor_of_no_elements_casts_too) {
  for (const char* expression : {"np.zeros((0, 3), '>f4')", "np.zeros((0, 3), 'f4')[::-1]"}) {
    const at::Tensor there =
        ndtorch::tensor(array(expression), at::TensorOptions().device(device()).dtype(at::kDouble));
    expect_on_device(there);
    EXPECT_EQ(there.sizes(), at::IntArrayRef({0, 3}));
  }
}

TEST_P(on_device, tensor_makes_a_leaf_that_requires_grad) {
  const auto options = at::TensorOptions(device()).requires_grad(true);
  for (const py::object& data : {eval("np.ones(3)"), eval("[1.0, 2.0]")}) {
    for (const at::Tensor& there :
         {ndtorch::tensor(data, options), ndtorch::as_tensor(data, options)}) {
      expect_on_device(there);
      EXPECT_TRUE(there.requires_grad());
      EXPECT_TRUE(there.is_leaf());
    }
  }
}

TEST_P(on_device, sequences_and_numbers_become_what_they_are_on_the_cpu) {
  for (const char* expression :
       {"3", "True", "2.5", "1j", "np.float16(2)", "[]", "[1, 2.5]", "[[1, 2], [3, 4]]",
        "(np.arange(3), np.arange(3)[::-1])", "[np.float32(1), np.int8(2)]", "range(4)"}) {
    SCOPED_TRACE(expression);
    const py::object data = eval(expression);
    const at::Tensor here = ndtorch::tensor(data);
    for (const at::Tensor& there :
         {ndtorch::tensor(data, device()), ndtorch::as_tensor(data, device())}) {
      expect_on_device(there);
      EXPECT_TRUE(same_elements(read_back(there), ndtorch::numpy(here)));
    }
    const at::Tensor as_bool = ndtorch::tensor<bool>(data, device());
    EXPECT_TRUE(same_elements(read_back(as_bool), ndtorch::numpy(here.to(at::kBool))));
  }
}

TEST_P(on_device, numpy_refuses_with_pytorchs_words) {
  const std::vector<std::pair<std::string, at::Tensor>> cases = {
      {py_numbers(), numbers()},
      {py_numbers() + ".requires_grad_()", numbers().requires_grad_()},
      {py_complex() + ".conj()", complex_numbers().conj()},
      {py_numbers() + "[:0]", numbers().slice(0, 0, 0)},
  };
  for (const auto& [python, tensor] : cases) {
    SCOPED_TRACE(python);
    const auto holders = tensor.storage().use_count();
    const python_error expected = raised_by_python(python + ".numpy()");
    const std::string text = message_of<py::type_error>([&, &t = tensor] { ndtorch::numpy(t); });
    EXPECT_EQ(expected.type, "TypeError");
    EXPECT_EQ(text.substr(0, expected.text.size()), expected.text);
    EXPECT_CONTAINS(text, tensor.device().str() + " device type tensor");
    EXPECT_CONTAINS(text, "Use Tensor.cpu() to copy the tensor to host memory first");
    EXPECT_CONTAINS(text, c10::str("shape ", tensor.sizes(), ", strides ", tensor.strides()));
    EXPECT_EQ(tensor.storage().use_count(), holders);
    EXPECT_TRUE(tensor.storage().resizable());
  }
}

TEST_P(on_device, to_numpy_equals_pytorchs_numpy_with_force) {
  const std::vector<std::pair<std::string, at::Tensor>> cases = {
      {py_numbers(), numbers()},
      {py_numbers() + ".t()", numbers().t()},
      {py_numbers() + "[1]", numbers()[1]},
      {py_numbers() + "[1, 2]", numbers()[1][2]},
      {py_numbers() + "[:, ::2]", numbers().slice(1, 0, 3, 2)},
      {py_numbers() + "[:0]", numbers().slice(0, 0, 0)},
      {py_numbers() + "[0].expand(4, 3)", numbers()[0].expand({4, 3})},
      {py_numbers() + ".requires_grad_()", numbers().requires_grad_()},
      {py_numbers() + ".requires_grad_().t()", numbers().requires_grad_().t()},
      {"torch._neg_view(" + py_numbers() + ")", numbers()._neg_view()},
      {"torch._neg_view(" + py_numbers() + "[1, 1:])", numbers()[1].slice(0, 1)._neg_view()},
      {py_complex() + ".conj()", complex_numbers().conj()},
      {py_complex() + ".requires_grad_()[1:].conj()",
       complex_numbers().requires_grad_().slice(0, 1).conj()},
      {"torch._neg_view(" + py_complex() + ".conj())", complex_numbers().conj()._neg_view()},
  };
  for (const auto& [python, tensor] : cases) {
    SCOPED_TRACE(python);
    const bool required_grad = tensor.requires_grad();
    const py::array result = ndtorch::to_numpy(tensor);
    const py::array expected = array(python + ".numpy(force=True)");
    EXPECT_TRUE(same_elements(result, expected));
    if (result.size() > 0) {
      EXPECT_TRUE(result.attr("strides").equal(expected.attr("strides")));
    }
    EXPECT_TRUE(result.writeable());
    expect_on_device(tensor);
    EXPECT_EQ(tensor.requires_grad(), required_grad) << "the tensor itself stays as it was";
    EXPECT_TRUE(tensor.storage().resizable()) << "no array holds the device's memory";
  }
}

TEST_P(on_device, to_numpy_copies) {
  const at::Tensor tensor = numbers();
  const py::array result = ndtorch::to_numpy(tensor);
  test::exec("a[0, 0] = 100", py::dict(py::arg("a") = result));
  EXPECT_EQ(read_back(tensor).attr("sum")().cast<float>(), 15);
}

TEST_P(on_device, to_numpy_casts_as_pytorch_does) {
  const at::Tensor tensor = numbers().t();
  const std::string python = py_numbers() + ".t()";
  const auto expect = [&](const py::array& result, const std::string& dtype) {
    SCOPED_TRACE(dtype);
    const py::array expected = array(python + ".cpu().to(torch." + dtype + ").numpy()");
    EXPECT_TRUE(same_elements(result, expected));
    EXPECT_TRUE(result.attr("strides").equal(expected.attr("strides")));
  };
  expect(ndtorch::to_numpy<float>(tensor), "float32");
  expect(ndtorch::to_numpy<double>(tensor), "float64");
  expect(ndtorch::to_numpy<std::uint8_t>(tensor), "uint8");
  expect(ndtorch::to_numpy<c10::Half>(tensor), "float16");
  expect(ndtorch::to_numpy<c10::complex<double>>(tensor), "complex128");
  const at::Tensor conj = complex_numbers().requires_grad_().conj();
  EXPECT_TRUE(same_elements(
      ndtorch::to_numpy<c10::complex<double>>(conj),
      eval(py_complex() + ".conj().cpu().resolve_conj().to(torch.complex128).numpy()")));
}

TEST_P(on_device, a_dtype_that_numpy_lacks_is_found_before_the_copy) {
  const at::Tensor tensor = at::ones({3}, at::kBFloat16).to(device());
  const at::Tensor bits = at::empty({3}, at::TensorOptions(device()).dtype(at::ScalarType::Bits8));
  inverted::take_copies();
  {
    const test::import_replaced missing("ml_dtypes", py::none());
    const std::string text = message_of<py::type_error>([&] { ndtorch::to_numpy(tensor); });
    EXPECT_CONTAINS(text, "Got unsupported ScalarType BFloat16");
    EXPECT_CONTAINS(text, "pip install --upgrade ml_dtypes");
    EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::to_numpy(bits); }), "Bits8");
    EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::to_numpy<float>(bits); }), "Bits8");
    EXPECT_TRUE(inverted::take_copies().empty());
    EXPECT_TRUE(same_elements(ndtorch::to_numpy<float>(tensor), eval("np.ones(3, np.float32)")));
  }
  EXPECT_TRUE(same_elements(ndtorch::to_numpy(tensor), eval("np.ones(3, ml_dtypes.bfloat16)")));
}

TEST_P(on_device, too_many_dimensions_are_found_before_the_copy) {
  const at::Tensor deep = at::ones({1}).reshape(std::vector<std::int64_t>(65, 1)).to(device());
  inverted::take_copies();
  for (const auto convert : std::vector<py::array (*)(const at::Tensor&)>{
           &ndtorch::numpy, &ndtorch::to_numpy, &ndtorch::to_numpy<double>}) {
    EXPECT_CONTAINS(message_of<py::value_error>([&] { convert(deep); }),
                    "number of dimensions must be within [0, 64]");
  }
  EXPECT_TRUE(inverted::take_copies().empty());
}

TEST_P(on_device, pinned_memory_is_refused) {
  const auto options = at::TensorOptions(device()).pinned_memory(true);
  for (const py::object& data : {eval("np.ones(3)"), eval("[1.0, 2.0]")}) {
    const std::string text =
        message_of<std::runtime_error>([&] { ndtorch::tensor(data, options); });
    EXPECT_CONTAINS(text, "Only dense CPU tensors can be pinned");
    EXPECT_CONTAINS(text, "Got device " + device().str());
    EXPECT_CONTAINS(text, "take the device or pinned_memory out of the options");
  }
}

TEST_P(on_device, an_index_that_does_not_exist_is_refused) {
  const int count = devices(device().type());
  const at::Device beyond(device().type(), static_cast<at::DeviceIndex>(count));
  const py::array source = array("np.ones(3)");
  const Py_ssize_t before = references(source);
  const std::vector<std::function<void()>> calls = {
      [&] { ndtorch::tensor(source, beyond); },
      [&] { ndtorch::tensor<float>(source, beyond); },
      [&] { ndtorch::as_tensor(source, beyond); },
      [&] { ndtorch::tensor(eval("[1, 2]"), beyond); },
  };
  for (const auto& call : calls) {
    const std::string text = message_of<std::runtime_error>(call);
    EXPECT_CONTAINS(text, "invalid device " + beyond.str());
    EXPECT_CONTAINS(text, c10::str("this machine has ", count, " "));
    EXPECT_CONTAINS(text, "Use one of these, or at::kCPU");
  }
  EXPECT_EQ(references(source), before);
}

TEST_P(on_device, has_pinned_memory_on_the_host) {
  const auto pinned = at::TensorOptions().pinned_memory(true);
  const py::array source = array("np.arange(6.).reshape(2, 3)");
  const std::vector<at::Tensor> results = {
      ndtorch::tensor(source, pinned),
      ndtorch::tensor(source.attr("T"), pinned),
      ndtorch::tensor(eval("a[::-1]", py::arg("a") = source), pinned.dtype(at::kInt)),
      ndtorch::tensor<float>(source, pinned),
      ndtorch::tensor(eval("[1, 2]"), pinned),
      ndtorch::as_tensor(source, pinned),
  };
  for (const at::Tensor& result : results) EXPECT_TRUE(result.is_pinned());
  EXPECT_FALSE(ndtorch::tensor(source).is_pinned());
  EXPECT_TRUE(same_elements(ndtorch::numpy(results[1]), source.attr("T")));
  EXPECT_TRUE(same_elements(ndtorch::numpy(results[2]),
                            eval("a[::-1].astype(np.int32)", py::arg("a") = source)));
}

// LibTorch's own memory on the CPU, counted while this lives.
class counting_allocator final : public c10::Allocator {
 public:
  counting_allocator() { c10::SetCPUAllocator(this); }
  ~counting_allocator() override { c10::SetCPUAllocator(usual_); }
  counting_allocator(const counting_allocator&) = delete;
  counting_allocator& operator=(const counting_allocator&) = delete;

  at::DataPtr allocate(std::size_t count) override {
    nbytes_ += count;
    return usual_->allocate(count);
  }
  at::DeleterFnPtr raw_deleter() const override { return usual_->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    usual_->copy_data(to, from, count);
  }
  std::size_t take() { return std::exchange(nbytes_, 0); }

 private:
  c10::Allocator* const usual_ = c10::GetCPUAllocator();
  std::size_t nbytes_ = 0;
};

TEST(device_option, pinned_memory_is_where_the_elements_go_at_once) {
  const auto pinned = at::TensorOptions().pinned_memory(true);
  const py::array source = array("np.arange(120_000.).reshape(300, 400)");
  const at::Tensor held = ndtorch::from_numpy(source);
  const py::object there = ndtorch::to_dlpack(held.to(at::Device("inverted:1")));
  counting_allocator counting;
  for (const py::object& data :
       {py::object(source), py::object(source.attr("T")), ndtorch::to_dlpack(held),
        ndtorch::to_dlpack(held.t()), eval("[a, a]", py::arg("a") = source),
        eval("memoryview(a)", py::arg("a") = source)}) {
    SCOPED_TRACE(py::repr(data).cast<std::string>());
    const at::Tensor result = ndtorch::tensor(data, pinned);
    EXPECT_LT(counting.take(), 10'000U);
    EXPECT_TRUE(result.is_pinned());
    EXPECT_TRUE(same_elements(ndtorch::numpy(result), ndtorch::numpy(ndtorch::tensor(data))));
    counting.take();
  }
  const at::Tensor result = ndtorch::tensor(there, pinned.device(at::kCPU));
  EXPECT_LT(counting.take(), 10'000U);
  EXPECT_TRUE(result.is_pinned());
  EXPECT_TRUE(same_elements(ndtorch::numpy(result), source));
}

TEST(device_option, a_device_that_this_libtorch_lacks_is_refused) {
  const py::array source = array("np.ones(3)");
  const Py_ssize_t before = references(source);
  for (const char* name : {"cuda", "cuda:0", "xpu", "hpu:1", "mps"}) {
    const at::Device device(name);
    if (devices(device.type()) >= 0) continue;
    SCOPED_TRACE(name);
    const std::vector<std::function<void()>> calls = {
        [&] { ndtorch::tensor(source, device); },
        [&] { ndtorch::tensor<float>(source, device); },
        [&] { ndtorch::as_tensor(source, device); },
        [&] { ndtorch::as_tensor(eval("[1, 2]"), device); },
    };
    for (const auto& call : calls) {
      const std::string text = message_of<std::runtime_error>(call);
      const std::string kind = c10::DeviceTypeName(device.type());
      EXPECT_EQ(text.find("Torch not compiled with " + kind + " enabled"), 0U) << text;
      EXPECT_CONTAINS(text, "this LibTorch has no device " + device.str());
      EXPECT_CONTAINS(text, "Use at::kCPU, or a LibTorch built for " + kind);
    }
  }
  EXPECT_EQ(references(source), before);
}

// PyTorch raises an AssertionError there, which no C++ caller expects of bad input.
TEST(device_option, a_missing_cuda_is_said_in_pytorchs_words) {
  if (devices(at::kCUDA) >= 0) GTEST_SKIP() << "this LibTorch is built with CUDA";
  const python_error expected = raised_by_python("torch.tensor([1.0], device='cuda')");
  const python_error raised =
      raised_by([] { ndtorch::tensor(eval("[1.0]"), at::Device(at::kCUDA)); });
  EXPECT_EQ(raised.text.substr(0, expected.text.size()), expected.text);
  EXPECT_EQ(raised.type, "RuntimeError");
}

TEST(device_option, the_cpu_by_any_index_is_the_cpu) {
  const py::array source = array("np.ones(3)");
  for (const char* name : {"cpu", "cpu:0"}) {
    SCOPED_TRACE(name);
    const at::Tensor shared = ndtorch::as_tensor(source, at::Device(name));
    EXPECT_TRUE(shared.is_cpu());
    EXPECT_EQ(shared.const_data_ptr(), source.data());
    EXPECT_NE(ndtorch::tensor(source, at::Device(name)).const_data_ptr(), source.data());
  }
}

TEST(device_option, meta_gives_a_tensor_without_data) {
  const py::array source = array("np.ones((3, 2), np.float32).T");
  for (const at::Tensor& result :
       {ndtorch::tensor(source, at::kMeta), ndtorch::as_tensor(source, at::kMeta)}) {
    EXPECT_TRUE(result.is_meta());
    EXPECT_EQ(result.scalar_type(), at::kFloat);
    EXPECT_EQ(result.sizes(), at::IntArrayRef({2, 3}));
    EXPECT_EQ(result.strides(), at::IntArrayRef({1, 2}));
  }
  EXPECT_TRUE(ndtorch::tensor(eval("[1, 2]"), at::kMeta).is_meta());
}

}  // namespace
