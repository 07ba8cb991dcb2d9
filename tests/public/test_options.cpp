// ndtorch/from_numpy.h: the options of tensor and as_tensor, for arrays and for other data. What
// they do on other devices is in test_device.cpp.
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::eval;
using test::expect_starts_with;
using test::expect_view;
using test::is_true;
using test::refusal_of;

TEST(requires_grad, is_honoured_by_all_that_take_options) {
  const auto options = at::TensorOptions().requires_grad(true);
  for (const char* expression : {"np.arange(3.)", "np.arange(3.)[::-1]", "np.arange(3) * 1j",
                                 "[1., 2.]", "2.5", "np.float32(1)", "np.frombuffer(bytes(8))"}) {
    SCOPED_TRACE(expression);
    const py::object data = eval(expression);
    for (const at::Tensor& tensor :
         {ndtorch::tensor(data, options), ndtorch::as_tensor(data, options)}) {
      EXPECT_TRUE(tensor.requires_grad());
      EXPECT_TRUE(tensor.is_leaf());
    }
    EXPECT_FALSE(ndtorch::tensor(data).requires_grad());
    EXPECT_FALSE(ndtorch::as_tensor(data).requires_grad());
  }
  const py::array shared = array("np.arange(3.)");
  expect_view(ndtorch::as_tensor(shared, options), shared);
  EXPECT_TRUE(ndtorch::tensor(eval("[1, 2]"), options.dtype(at::kFloat)).requires_grad());
}

TEST(requires_grad, is_refused_for_integers_in_the_words_of_torch) {
  const test::python_error of_torch =
      test::raised_by_python("torch.tensor([1], requires_grad=True)");
  ASSERT_EQ(of_torch.type, "RuntimeError");
  const auto options = at::TensorOptions().requires_grad(true);
  for (const char* expression :
       {"np.arange(3)", "np.arange(3)[::-1]", "np.zeros(2, bool)", "[1]", "True", "np.int8(1)"}) {
    SCOPED_TRACE(expression);
    for (const std::string& message :
         {refusal_of<std::runtime_error>(eval(expression),
                                         [&](py::handle a) { ndtorch::tensor(a, options); }),
          refusal_of<std::runtime_error>(eval(expression),
                                         [&](py::handle a) { ndtorch::as_tensor(a, options); })}) {
      expect_starts_with(message, of_torch.text);
      EXPECT_CONTAINS(message, "ask for a floating dtype in the options too");
    }
  }
  EXPECT_CONTAINS(
      refusal_of<std::runtime_error>(
          eval("np.zeros(3)"), [&](py::handle a) { ndtorch::tensor(a, options.dtype(at::kInt)); }),
      "Got Int");
}

TEST(pinned_memory, is_pinned_or_refused_where_there_is_none) {
  const bool cuda = is_true("torch.cuda.is_available()");
  const auto options = at::TensorOptions().pinned_memory(true);
  for (const char* expression : {"np.arange(6.)", "np.arange(6.)[::-1]", "[1., 2.]", "2.5"}) {
    SCOPED_TRACE(expression);
    const py::object data = eval(expression);
    if (cuda) {
      EXPECT_TRUE(ndtorch::tensor(data, options).is_pinned());
      EXPECT_TRUE(ndtorch::as_tensor(data, options).is_pinned());
      continue;
    }
    const std::string of_torch = test::raised_by_python("torch.tensor([1.], pin_memory=True)").text;
    EXPECT_EQ(
        refusal_of<std::runtime_error>(data, [&](py::handle a) { ndtorch::tensor(a, options); }),
        of_torch);
    EXPECT_EQ(
        refusal_of<std::runtime_error>(data, [&](py::handle a) { ndtorch::as_tensor(a, options); }),
        of_torch);
  }
}

TEST(options, of_the_cpu_and_of_no_pinned_memory_change_nothing) {
  const py::array source = array("np.arange(6.).reshape(2, 3)");
  const at::Tensor tensor = ndtorch::tensor(
      source, at::TensorOptions(at::Device(at::kCPU, 0)).pinned_memory(false).layout(at::kStrided));
  test::expect_elements(tensor, source);
  test::expect_writes_stay(tensor, source);
}

TEST(options, of_the_meta_device_give_a_tensor_without_data) {
  for (const char* expression : {"np.zeros((2, 3), 'f4').T", "np.zeros((3, 2), 'f4')[:, ::-1]",
                                 "[[1., 2.], [3., 4.], [5., 6.]]"}) {
    SCOPED_TRACE(expression);
    const py::object data = eval(expression);
    for (const at::Tensor& tensor :
         {ndtorch::tensor(data, at::kMeta), ndtorch::as_tensor(data, at::kMeta)}) {
      EXPECT_TRUE(tensor.is_meta());
      EXPECT_EQ(tensor.scalar_type(), at::kFloat);
      EXPECT_EQ(tensor.sizes(), at::IntArrayRef({3, 2}));
    }
  }
}

struct refused_options {
  const char* name;
  at::TensorOptions options;
  const char* type;  // of the exception, in Python
  std::vector<const char*> parts;
};

TEST(options, that_can_not_be_met_are_refused_before_anything_is_made) {
  std::vector<refused_options> table = {
      {"a sparse layout",
       at::TensorOptions(at::kSparse),
       "ValueError",
       {"can't make a tensor of layout Sparse", "tensor.to_sparse()"}},
      {"a memory format",
       at::TensorOptions().memory_format(at::MemoryFormat::ChannelsLast),
       "ValueError",
       {"take the memory format out", "tensor.contiguous(memory_format)"}},
      {"a quantized dtype",
       at::TensorOptions(at::kQInt8),
       "TypeError",
       {"Got unsupported ScalarType QInt8. The only supported types are: float64,"}},
      {"bits",
       at::TensorOptions(at::ScalarType::Bits8),
       "TypeError",
       {"Got unsupported ScalarType Bits8. The only supported types are: float64,"}},
      {"a pinned meta tensor",
       at::TensorOptions(at::kMeta).pinned_memory(true),
       "RuntimeError",
       {"Only dense CPU tensors can be pinned. Got device meta", "take the device or pinned"}},
      {"a gradient of bools",
       at::TensorOptions(at::kBool).requires_grad(true),
       "RuntimeError",
       {"can require gradients. Got Bool", "leave requires_grad out"}},
      {"a device of no build",
       at::TensorOptions(at::Device("mtia:1")),
       "RuntimeError",
       {"Torch not compiled with MTIA enabled", "no device mtia:1", "Use at::kCPU"}},
  };
  if (!is_true("torch.backends.cuda.is_built()")) {
    table.push_back({"a device of another build",
                     at::TensorOptions(at::kCUDA),
                     "RuntimeError",
                     {"Torch not compiled with CUDA enabled", "this LibTorch has no device cuda",
                      "Use at::kCPU, or a LibTorch built for CUDA."}});
  }
  for (const auto& [name, options, type, parts] : table) {
    for (const char* expression : {"np.zeros(3)", "[1., 2.]"}) {
      SCOPED_TRACE(std::string(name) + " of " + expression);
      const py::object data = eval(expression);
      const Py_ssize_t before = test::references(data);
      const at::TensorOptions& wanted = options;
      for (const test::python_error& error :
           {test::raised_by([&] { ndtorch::tensor(data, wanted); }),
            test::raised_by([&] { ndtorch::as_tensor(data, wanted); })}) {
        EXPECT_EQ(error.type, type);
        for (const char* part : parts) EXPECT_CONTAINS(error.text, part);
      }
      EXPECT_EQ(test::references(data), before);
    }
  }
}

}  // namespace
