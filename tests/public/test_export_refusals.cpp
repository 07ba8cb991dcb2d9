// ndtorch/to_numpy.h: what can't be exported, with PyTorch's Tensor.numpy() as the oracle
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_add_batch_dim.h>
#include <ATen/ops/_efficientzerotensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>
#include <ndtorch/exchange.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/to_numpy_async.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/exports.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::complex_numbers;
using test::eval;
using test::expect_as_in_pytorch;
using test::message_of;
using test::of_dims;
using test::py_complex;
using test::python_error;
using test::quantized;
using test::raised_by;
using test::raised_by_python;
using test::references;

using conversion = py::array (*)(const at::Tensor&);
const std::vector<conversion> conversions = {&ndtorch::numpy, &ndtorch::to_numpy,
                                             &ndtorch::to_numpy<double>};

std::string py_quantized(const std::string& type) {
  return "torch.quantize_per_tensor(torch.ones(3), 1, 0, torch." + type + ")";
}

// What PyTorch refuses too, and the part of the text that names the remedy.
struct refused_case {
  std::string python;
  std::function<at::Tensor()> make;
  const char* remedy;
};

const char* const to_dense = "Use Tensor.to_dense() first";
const char* const dequantize = "call tensor.dequantize() or tensor.int_repr() first";

const std::vector<refused_case> refused_everywhere = {
    {"torch.ones(2, 2).to_sparse()", [] { return at::ones({2, 2}).to_sparse(); }, to_dense},
    {"torch.ones(2, 2).to_sparse_csr()", [] { return at::ones({2, 2}).to_sparse_csr(); }, to_dense},
    {"torch.ones(2, 2).to_sparse_csc()", [] { return at::ones({2, 2}).to_sparse_csc(); }, to_dense},
    {"torch.ones(2, 2).to_sparse_bsr((1, 1))",
     [] { return at::ones({2, 2}).to_sparse_bsr({1, 1}); }, to_dense},
    {"torch.ones(2, 2).to_sparse_bsc((1, 1))",
     [] { return at::ones({2, 2}).to_sparse_bsc({1, 1}); }, to_dense},
    {"torch.ones(2, 2).to_sparse().requires_grad_()",
     [] { return at::ones({2, 2}).to_sparse().requires_grad_(); }, to_dense},
    {"torch.ones(2, 2).to_mkldnn()", [] { return at::ones({2, 2}).to_mkldnn(); }, to_dense},
    {py_quantized("qint8"), [] { return quantized(at::kQInt8); }, dequantize},
    {py_quantized("quint8"), [] { return quantized(at::kQUInt8); }, dequantize},
    {py_quantized("qint32"), [] { return quantized(at::kQInt32); }, dequantize},
    {"torch.empty(3, dtype=torch.bits8)", [] { return at::empty({3}, at::ScalarType::Bits8); },
     "read its bytes, with tensor.view(at::kByte)"},
    {"torch.ones([1] * 65)", [] { return of_dims(65); },
     "Got 65. Merge some with Tensor.flatten() or Tensor.reshape()"},
};

const char* const detach = "Use tensor.detach().numpy() instead.";
const char* const resolve_conj = "Use tensor.resolve_conj().numpy() instead.";

const std::vector<refused_case> refused_in_numpy_only = {
    {"torch.empty(3, device='meta')", [] { return at::empty({3}, at::kMeta); },
     "Use Tensor.cpu() to copy the tensor to host memory first. Got a tensor of shape [3], strides "
     "[1] elements, dtype Float, device meta."},
    {"torch.empty(3, device='meta').requires_grad_()",
     [] { return at::empty({3}, at::kMeta).requires_grad_(); }, "Use Tensor.cpu()"},
    {"torch.ones(3).requires_grad_()", [] { return at::ones({3}).requires_grad_(); }, detach},
    {"(torch.ones(3).requires_grad_() * 2)", [] { return at::ones({3}).requires_grad_().mul(2); },
     detach},
    {py_complex + ".requires_grad_().conj()",
     [] { return complex_numbers().requires_grad_().conj(); }, detach},
    {py_complex + ".conj()", [] { return complex_numbers().conj(); }, resolve_conj},
    {"torch._neg_view(" + py_complex + ".conj())",
     [] { return complex_numbers().conj()._neg_view(); }, resolve_conj},
    {py_complex + ".conj().imag", [] { return at::imag(complex_numbers().conj()); },
     "Use tensor.resolve_neg().numpy() instead."},
    {"torch._efficientzerotensor(3)", [] { return at::_efficientzerotensor({3}, at::kFloat); },
     "ndtorch::to_numpy does so."},
};

// Twice, so that what the first attempt may have left behind is seen.
void expect_refused(const refused_case& one, const char* pytorch_call, conversion convert) {
  SCOPED_TRACE(one.python);
  const at::Tensor tensor = one.make();
  const bool has_storage = tensor.has_storage();
  const auto holders = tensor.use_count();
  const auto memory_holders = has_storage ? tensor.storage().use_count() : 0;
  const bool resizable = has_storage && tensor.storage().resizable();
  const python_error expected = raised_by_python(one.python + pytorch_call);
  for (int i = 0; i < 2; ++i) {
    const python_error raised = raised_by([&] { convert(tensor); });
    expect_as_in_pytorch(raised, expected);
    EXPECT_CONTAINS(raised.text, one.remedy);
  }
  EXPECT_EQ(tensor.use_count(), holders);
  if (has_storage) {
    EXPECT_EQ(tensor.storage().use_count(), memory_holders);
    EXPECT_EQ(tensor.storage().resizable(), resizable);
  }
}

TEST(numpy, refuses_what_pytorch_refuses_with_its_exception_and_words) {
  for (const auto& cases : {refused_everywhere, refused_in_numpy_only}) {
    for (const refused_case& one : cases) expect_refused(one, ".numpy()", ndtorch::numpy);
  }
}

TEST(to_numpy, refuses_what_pytorch_refuses_even_with_force) {
  for (const refused_case& one : refused_everywhere) {
    expect_refused(one, ".numpy(force=True)", ndtorch::to_numpy);
    expect_refused(one, ".numpy(force=True)", ndtorch::to_numpy<double>);
  }
  const refused_case meta = {"torch.empty(3, device='meta')",
                             [] { return at::empty({3}, at::kMeta); },
                             "at::empty_like(tensor, at::kCPU)"};
  expect_refused(meta, ".numpy(force=True)", ndtorch::to_numpy);
  expect_refused(meta, ".numpy(force=True)", ndtorch::to_numpy<double>);
}

TEST(numpy, throws_pybind11s_types_in_cpp) {
  message_of<py::type_error>([] { ndtorch::numpy(at::ones({2}).to_sparse()); });
  message_of<py::type_error>([] { ndtorch::numpy(quantized(at::kQInt8)); });
  message_of<py::type_error>([] { ndtorch::numpy(at::empty({2}, at::kMeta)); });
  message_of<py::value_error>([] { ndtorch::numpy(of_dims(65)); });
  message_of<std::runtime_error>([] { ndtorch::numpy(complex_numbers().conj()); });
  message_of<ndtorch::detail::not_implemented_error>(
      [] { ndtorch::to_numpy(at::empty({2}, at::kMeta)); });
}

// PyTorch has no undefined tensors in Python, and fails an internal check on nested ones.
TEST(numpy, refuses_undefined_and_nested_tensors) {
  const at::Tensor nested = test::nested();
  for (const conversion convert : conversions) {
    const std::string undefined = message_of<py::type_error>([&] { convert(at::Tensor()); });
    EXPECT_CONTAINS(undefined, "can't convert an undefined tensor to numpy");
    EXPECT_CONTAINS(undefined, "Give it a value first");
    const std::string text = message_of<py::type_error>([&] { convert(nested); });
    EXPECT_CONTAINS(text, "can't convert nested tensor to numpy");
    EXPECT_CONTAINS(text, "Use Tensor.to_padded_tensor(0) or Tensor.unbind() first");
  }
}

TEST(numpy, refuses_a_tensor_whose_memory_was_taken_away) {
  const at::Tensor tensor = at::ones({3});
  const at::Tensor part = tensor.slice(0, 1);
  tensor.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr());
  for (const at::Tensor& one : {tensor, part}) {
    const std::string text = message_of<std::runtime_error>([&] { ndtorch::numpy(one); });
    EXPECT_CONTAINS(text, "can't export a tensor without memory");
    EXPECT_CONTAINS(
        text, "shape [" + std::to_string(one.size(0)) + "], strides [1] elements, dtype Float");
  }
}

// As of a subclass of torch.Tensor, whose memory may say something else than it means.
TEST(numpy, refuses_what_pythons_dispatch_gives_a_meaning) {
  const at::Tensor tensor = at::ones({3});
  tensor.unsafeGetTensorImpl()->set_python_dispatch(true);
  for (const conversion convert : conversions) {
    const std::string text = message_of<std::runtime_error>([&] { convert(tensor); });
    EXPECT_CONTAINS(text, ".numpy() is not supported for tensor subclasses.");
    EXPECT_CONTAINS(text, "convert the plain tensor inside");
  }
  const std::string text = message_of<py::buffer_error>([&] { ndtorch::to_dlpack(tensor); });
  EXPECT_CONTAINS(text, "Can't export tensor subclasses with __torch_dispatch__");
}

TEST(numpy, refuses_a_tensor_without_storage) {
  const at::Tensor batched = at::_add_batch_dim(at::ones({2, 3}), 0, 1);
  const python_error expected =
      raised_by_python("torch.vmap(lambda row: row.numpy())(torch.ones(2, 3))");
  for (const conversion convert : conversions) {
    const python_error raised = raised_by([&] { convert(batched); });
    expect_as_in_pytorch(raised, expected);
    EXPECT_CONTAINS(raised.text, "Return it from the transformed function");
  }
  message_of<std::runtime_error>([&] { ndtorch::to_numpy_async(batched); });
  message_of<std::runtime_error>([&] { ndtorch::to_dlpack(batched); });
}

TEST(numpy, leaks_no_dtype_where_it_fails_late) {
  const py::object dtype = eval("np.dtype('float32')");
  const at::Tensor no_memory = at::ones({3});
  no_memory.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr());
  const at::Tensor too_large = at::ones({1}).expand({std::int64_t{1} << 62});
  const Py_ssize_t before = references(dtype);
  const auto holders = too_large.storage().use_count();
  for (int i = 0; i < 100; ++i) {
    message_of<std::runtime_error>([&] { ndtorch::numpy(no_memory); });
    const python_error raised = raised_by([&] { ndtorch::numpy(too_large); });
    EXPECT_EQ(raised.type, "ValueError");
    EXPECT_CONTAINS(raised.text, "array is too big");
  }
  EXPECT_EQ(references(dtype), before);
  EXPECT_EQ(too_large.storage().use_count(), holders);
}

TEST(numpy, takes_a_tensor_that_requires_grad_while_gradients_are_off) {
  const at::Tensor tensor = at::ones({3}).requires_grad_();
  {
    const at::NoGradGuard no_grad;
    EXPECT_EQ(ndtorch::numpy(tensor).data(), tensor.const_data_ptr());
  }
  {
    const c10::InferenceMode inference;
    EXPECT_EQ(ndtorch::numpy(tensor).data(), tensor.const_data_ptr());
  }
  EXPECT_TRUE(eval("(lambda t: torch.no_grad()(t.numpy)())(torch.ones(3, requires_grad=True))")
                  .attr("flags")
                  .attr("writeable")
                  .cast<bool>())
      << "as in PyTorch";
}

}  // namespace
