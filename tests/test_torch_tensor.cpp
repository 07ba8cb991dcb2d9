// as_tensor and tensor of torch.Tensor objects
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <ndtorch/from_numpy.h>

#include <cstdint>
#include <string>

#include "support/oracle.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::eval;
using test::facts_of;
using test::python_error;
using test::raised_by;
using test::raised_by_python;
using test::references;

bool is_true(const std::string& expression, py::handle x) {
  return eval(expression, py::arg("x") = x).cast<bool>();
}

std::uintptr_t address_of(py::handle torch_tensor) {
  return torch_tensor.attr("data_ptr")().cast<std::uintptr_t>();
}

const char* const torch_tensors[] = {
    "torch.arange(6.)",
    "torch.arange(24).view(2, 3, 4)",
    "torch.arange(6.).view(2, 3).t()",
    "torch.arange(24).view(2, 3, 4)[:, 1:, ::2]",
    "torch.arange(3.).expand(2, 3)",
    "torch.tensor(3.5)",
    "torch.zeros(2, 0, 3)",
    "torch.ones([1] * 64)",
    "torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)",
    "torch.complex(torch.ones(2), torch.ones(2)).imag",
    "torch.arange(6.).as_strided((2, 2), (1, 2), 1)",
    "torch.ones(2, requires_grad=True).detach()",
    "torch.arange(6.)._lazy_clone()[2:]",
    "torch.nn.Parameter(torch.ones(2), requires_grad=False)",
    "torch.arange(3.).as_subclass(type('odd', (torch.Tensor,), {}))",
};

TEST(as_tensor_of_torch, is_the_same_tensor_on_the_same_memory) {
  for (const char* expression : torch_tensors) {
    SCOPED_TRACE(expression);
    const py::object theirs = eval(expression);
    const at::Tensor ours = ndtorch::as_tensor(theirs);
    EXPECT_EQ(facts_of(ours), facts_of(theirs));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ours.const_data_ptr()), address_of(theirs));
    if (ours.numel() == 0) continue;
    theirs.attr("zero_")();
    EXPECT_EQ(ours.count_nonzero().item<std::int64_t>(), 0);
    ours.fill_(1);
    EXPECT_TRUE(is_true("bool((x == 1).all())", theirs));
  }
}

TEST(as_tensor_of_torch, has_every_dtype) {
  for (const ndtorch::detail::dtype_entry& entry : ndtorch::detail::dtypes) {
    SCOPED_TRACE(entry.name);
    const std::string name(c10::getDtypeNames(entry.scalar_type).first);
    const py::object theirs = eval("torch.arange(6).to(torch." + name + ").view(2, 3)");
    const at::Tensor ours = ndtorch::as_tensor(theirs);
    EXPECT_EQ(ours.scalar_type(), entry.scalar_type);
    EXPECT_EQ(facts_of(ours), facts_of(theirs));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ours.const_data_ptr()), address_of(theirs));
  }
}

TEST(as_tensor_of_torch, copies_where_another_dtype_is_wanted) {
  const py::object theirs = eval("torch.arange(6.)");
  const at::Tensor ours = ndtorch::as_tensor(theirs, at::kLong);
  EXPECT_EQ(facts_of(ours), facts_of(eval("torch.arange(6)")));
  EXPECT_NE(reinterpret_cast<std::uintptr_t>(ours.const_data_ptr()), address_of(theirs));
  EXPECT_EQ(ndtorch::as_tensor(theirs, at::TensorOptions(at::kFloat).device(at::kCPU)).data_ptr(),
            ndtorch::as_tensor(theirs).data_ptr())
      << "what is there already";
}

TEST(as_tensor_of_torch, may_require_a_gradient_of_its_own) {
  const py::object theirs = eval("torch.arange(3.)");
  const at::Tensor ours = ndtorch::as_tensor(theirs, at::TensorOptions().requires_grad(true));
  EXPECT_TRUE(ours.requires_grad() && ours.is_leaf());
  EXPECT_FALSE(is_true("x.requires_grad", theirs));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ours.const_data_ptr()), address_of(theirs));
}

TEST(tensor_of_torch, always_copies) {
  for (const char* expression : torch_tensors) {
    SCOPED_TRACE(expression);
    const py::object theirs = eval(expression);
    const at::Tensor ours = ndtorch::tensor(theirs);
    EXPECT_EQ(facts_of(ours),
              facts_of(eval("torch.clone(torch.Tensor.detach(x))", py::arg("x") = theirs)));
    if (ours.numel() > 0) {
      EXPECT_NE(reinterpret_cast<std::uintptr_t>(ours.const_data_ptr()), address_of(theirs));
    }
    EXPECT_EQ(ndtorch::Tensor(theirs).scalar_type(), at::kFloat);
    EXPECT_EQ(ndtorch::tensor<double>(theirs).scalar_type(), at::kDouble);
  }
}

TEST(tensor_of_torch, takes_lists_of_tensors_and_of_others) {
  const at::Tensor tensor =
      ndtorch::tensor(eval("[torch.ones(2, dtype=torch.half), np.zeros(2, 'f4'), b'ab', [1, 2]]"));
  EXPECT_EQ(facts_of(tensor), facts_of(eval("torch.tensor([[1., 1], [0, 0], [97, 98], [1, 2]])")));
}

TEST(as_tensor_of_torch, refuses_what_numpy_refuses_in_its_words) {
  for (const char* expression :
       {"torch.ones(2, requires_grad=True)", "torch.nn.Parameter(torch.ones(2))",
        "torch.ones(2, requires_grad=True).mul(2)", "torch.ones(2, dtype=torch.cfloat).conj()",
        "torch.ones(2, dtype=torch.cfloat).conj().imag"}) {
    SCOPED_TRACE(expression);
    const py::object theirs = eval(expression);
    const Py_ssize_t before = references(theirs);
    const python_error expected = raised_by_python(std::string(expression) + ".numpy()");
    for (const auto function :
         {+[](py::handle x) { ndtorch::as_tensor(x); }, +[](py::handle x) { ndtorch::tensor(x); },
          +[](py::handle x) { ndtorch::as_tensor(py::make_tuple(x)); }}) {
      const python_error raised = raised_by([&] { function(theirs); });
      EXPECT_EQ(raised.type, expected.type);
      EXPECT_EQ(raised.text, expected.text);
    }
    EXPECT_EQ(references(theirs), before);
  }
}

TEST(as_tensor_of_torch, shares_what_requires_grad_while_gradients_are_disabled_as_numpy_does) {
  const py::object theirs = eval("torch.nn.Parameter(torch.ones(2))");
  const c10::AutoGradMode disabled(false);
  const at::Tensor ours = ndtorch::as_tensor(theirs);
  EXPECT_FALSE(ours.requires_grad());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ours.const_data_ptr()), address_of(theirs));
  EXPECT_EQ(theirs.attr("numpy")().attr("ctypes").attr("data").cast<std::uintptr_t>(),
            address_of(theirs));
}

struct refused_tensor {
  const char* expression;
  const char* type;
  const char* text;
};

const refused_tensor refused_tensors[] = {
    {"torch.ones(2, 2).to_sparse()", "TypeError",
     "can't share the memory of a tensor of layout torch.sparse_coo. Use Tensor.to_dense() first."},
    {"torch.ones(2, 2).to_sparse_csr()", "TypeError", "layout torch.sparse_csr."},
    {"torch.ones(2).to_mkldnn()", "TypeError", "layout torch._mkldnn."},
    {"torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])", "TypeError",
     "can't share the memory of a nested tensor. Use Tensor.to_padded_tensor() or Tensor.unbind() "
     "first."},
    {"torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)", "TypeError",
     "can't share the memory of a nested tensor."},
    {"torch.Tensor._make_subclass(type('odd', (torch.Tensor,), {'__torch_dispatch__': "
     "classmethod(lambda *args: NotImplemented)}), torch.ones(3))",
     "TypeError", "can't share the memory of a subclass with __torch_dispatch__, which needn't be"},
    {"torch._efficientzerotensor(3)", "ValueError", "its data pointer is null."},
    {"torch.ones(2, device='meta')", "RuntimeError", "Cannot pack tensors on meta"},
    {"torch.quantize_per_tensor(torch.ones(3), .1, 0, torch.quint8)", "RuntimeError",
     "QUInt/QInt types are not supported by dlpack"},
    {"torch.empty(3, dtype=torch.float4_e2m1fn_x2)", "TypeError",
     "can't convert this DLPack dtype."},
    {"torch.ones([1] * 65)", "ValueError", "number of dimensions must be within [0, 64]."},
    {"torch.Tensor", "TypeError", "can't convert an object of type 'torch._C._TensorMeta'"},
};

TEST(as_tensor_of_torch, refuses_what_has_no_plain_memory) {
  for (const refused_tensor& one : refused_tensors) {
    SCOPED_TRACE(one.expression);
    const py::object theirs = eval(one.expression);
    const Py_ssize_t before = references(theirs);
    const python_error raised = raised_by([&] { ndtorch::as_tensor(theirs); });
    EXPECT_EQ(raised.type, one.type);
    EXPECT_CONTAINS(raised.text, one.text);
    EXPECT_EQ(raised.text.find("frame #"), std::string::npos) << "C++'s backtrace";
    EXPECT_EQ(references(theirs), before);
  }
}

TEST(as_tensor_of_torch, keeps_the_memory) {
  const py::array memory = array("np.arange(6.)");
  for (const bool with_gil : {true, false}) {
    py::object theirs = eval("torch.from_numpy(x)", py::arg("x") = memory);
    at::Tensor ours = ndtorch::as_tensor(theirs);
    theirs.release().dec_ref();
    EXPECT_EQ(references(memory), 2);
    EXPECT_EQ(ours.sum().item<double>(), 15);
    if (with_gil) {
      ours.reset();
    } else {
      test::on_thread_without_gil([&] { ours.reset(); });
    }
    EXPECT_EQ(references(memory), 1);
  }
}

}  // namespace
