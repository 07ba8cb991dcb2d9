// as_tensor and tensor of torch.Tensor objects
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/typed.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/oracle.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::address_of;
using test::array;
using test::eval;
using test::facts_of;
using test::is_true;
using test::python_error;
using test::raised_by;
using test::raised_by_python;
using test::references;

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
    EXPECT_EQ(address_of(ours), address_of(theirs));
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
    EXPECT_EQ(address_of(ours), address_of(theirs));
  }
}

TEST(as_tensor_of_torch, copies_where_another_dtype_is_wanted) {
  const py::object theirs = eval("torch.arange(6.)");
  const at::Tensor ours = ndtorch::as_tensor(theirs, at::kLong);
  EXPECT_EQ(facts_of(ours), facts_of(eval("torch.arange(6)")));
  EXPECT_NE(address_of(ours), address_of(theirs));
  EXPECT_EQ(ndtorch::as_tensor(theirs, at::TensorOptions(at::kFloat).device(at::kCPU)).data_ptr(),
            ndtorch::as_tensor(theirs).data_ptr())
      << "what is there already";
}

TEST(as_tensor_of_torch, may_require_a_gradient_of_its_own) {
  const py::object theirs = eval("torch.arange(3.)");
  const at::Tensor ours = ndtorch::as_tensor(theirs, at::TensorOptions().requires_grad(true));
  EXPECT_TRUE(ours.requires_grad() && ours.is_leaf());
  EXPECT_FALSE(is_true("x.requires_grad", theirs));
  EXPECT_EQ(address_of(ours), address_of(theirs));
}

TEST(tensor_of_torch, always_copies) {
  for (const char* expression : torch_tensors) {
    SCOPED_TRACE(expression);
    const py::object theirs = eval(expression);
    const at::Tensor ours = ndtorch::tensor(theirs);
    EXPECT_EQ(facts_of(ours),
              facts_of(eval("torch.clone(torch.Tensor.detach(x))", py::arg("x") = theirs)));
    if (ours.numel() > 0) {
      EXPECT_NE(address_of(ours), address_of(theirs));
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

struct lazy_tensor {
  const char* expression;
  const char* text;
  const char* remedy;
};

// Nobody called numpy(), so that its words would say nothing.
TEST(as_tensor_of_torch, refuses_what_numpy_refuses_and_says_how_to_pass_it) {
  for (const auto& [expression, text, remedy] : {
           lazy_tensor{"torch.ones(2, requires_grad=True)", "requires grad", "x.detach()"},
           lazy_tensor{"torch.nn.Parameter(torch.ones(2))", "requires grad", "x.detach()"},
           lazy_tensor{"torch.ones(2, requires_grad=True).mul(2)", "requires grad", "x.detach()"},
           lazy_tensor{"torch.ones(2, dtype=torch.cfloat).conj()", "has the conjugate bit set",
                       "x.resolve_conj()"},
           lazy_tensor{"torch.ones(2, dtype=torch.cfloat).conj().imag", "has the negative bit set",
                       "x.resolve_neg()"},
       }) {
    SCOPED_TRACE(expression);
    const py::object theirs = eval(expression);
    const Py_ssize_t before = references(theirs);
    const python_error expected = raised_by_python(std::string(expression) + ".numpy()");
    for (const auto function :
         {+[](py::handle x) { ndtorch::as_tensor(x); }, +[](py::handle x) { ndtorch::tensor(x); },
          +[](py::handle x) { ndtorch::as_tensor(py::make_tuple(x)); }}) {
      const python_error raised = raised_by([&] { function(theirs); });
      EXPECT_EQ(raised.type, expected.type);
      EXPECT_CONTAINS(raised.text, std::string("can't take a tensor that ") + text);
      EXPECT_CONTAINS(raised.text, std::string("Pass tensor") + (remedy + 1) + ".");
      EXPECT_EQ(raised.text.find("numpy"), std::string::npos);
    }
    EXPECT_EQ(references(theirs), before);
    EXPECT_EQ(facts_of(ndtorch::as_tensor(eval(remedy, py::arg("x") = theirs))),
              facts_of(eval(remedy, py::arg("x") = theirs)));
  }
}

TEST(as_tensor_of_torch, shares_what_requires_grad_while_gradients_are_disabled_as_numpy_does) {
  const py::object theirs = eval("torch.nn.Parameter(torch.ones(2))");
  const c10::AutoGradMode disabled(false);
  const at::Tensor ours = ndtorch::as_tensor(theirs);
  EXPECT_FALSE(ours.requires_grad());
  EXPECT_EQ(address_of(ours), address_of(theirs));
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
     "can't share the memory of a nested tensor. Use Tensor.to_padded_tensor(0) or Tensor.unbind() "
     "first."},
    {"torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)", "TypeError",
     "can't share the memory of a nested tensor."},
    {"torch.Tensor._make_subclass(type('odd', (torch.Tensor,), {'__torch_dispatch__': "
     "classmethod(lambda *args: NotImplemented)}), torch.ones(3))",
     "TypeError", "can't share the memory of a subclass with __torch_dispatch__, which needn't be"},
    {"torch._efficientzerotensor(3)", "RuntimeError",
     "can't share the memory of a ZeroTensor, which has none. Use Tensor.clone() first."},
    {"[t := torch.ones(3), t.untyped_storage().resize_(0)][0]", "RuntimeError",
     "can't export a tensor without memory. Got a torch.Tensor of shape (3,), which needs 12 "
     "bytes, "
     "and its storage has 0. Give it the memory back first, with "},
    {"torch.ones(2, device='meta')", "TypeError",
     "can't share the memory of a meta tensor, which has none. Make one with data first, for "
     "example with torch.empty_like(tensor, device='cpu')."},
    {"torch.quantize_per_tensor(torch.ones(3), .1, 0, torch.quint8)", "TypeError",
     "Got unsupported ScalarType torch.quint8. The only supported types are: float64,"},
    {"torch.ones([1] * 65)", "ValueError",
     "number of dimensions must be within [0, 64]. Got 65. Merge some with Tensor.flatten() or "
     "Tensor.reshape()."},
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
    EXPECT_EQ(raised.text.find("DLPack"), std::string::npos) << "nobody passed a capsule";
    EXPECT_EQ(references(theirs), before);
  }
}

// The dtypes that PyTorch has and no array: DLPack has other ones' names for some, such as uint8 for
// uint4.
TEST(as_tensor_of_torch, turns_no_dtype_into_another) {
  test::import_torch();
  const auto names =
      eval("sorted({str(d)[6:] for d in vars(torch).values() if isinstance(d, torch.dtype)})")
          .cast<std::vector<std::string>>();
  std::size_t refused = 0;
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    bool known = false;
    for (const auto& entry : ndtorch::detail::dtypes) known |= name == entry.name;
    if (known || name.rfind('q', 0) == 0)
      continue;  // of quantized ones more than a dtype is missing
    ++refused;
    const py::object theirs = eval("torch.ones(4, dtype=torch.uint8).view(torch." + name + ")");
    EXPECT_EQ(raised_by([&] { theirs.attr("numpy")(); }).type, "TypeError");
    for (const auto function :
         {+[](py::handle x) { ndtorch::as_tensor(x); },
          +[](py::handle x) { ndtorch::as_tensor(x, at::kFloat); },
          +[](py::handle x) { ndtorch::tensor(x); }, +[](py::handle x) { ndtorch::Tensor(x); },
          +[](py::handle x) { ndtorch::tensor(py::make_tuple(x)); },
          +[](py::handle x) { ndtorch::tensor_t<>::from(x); },
          +[](py::handle x) { ndtorch::tensor_t<const float>::from(x); },
          +[](py::handle x) { ndtorch::tensor_t<std::uint8_t>::from(x, /*convert=*/false); },
          +[](py::handle x) { ndtorch::tensor_t<const std::int8_t>::from(x); }}) {
      const python_error raised = raised_by([&] { function(theirs); });
      EXPECT_EQ(raised.type, "TypeError");
      EXPECT_CONTAINS(raised.text, "Got unsupported ScalarType torch." + name + ". The only");
      EXPECT_CONTAINS(raised.text, "Read its bytes, with tensor.view(torch.uint8).");
    }
    const at::Tensor bytes = ndtorch::as_tensor(theirs.attr("view")(eval("torch.uint8")));
    EXPECT_EQ(bytes.scalar_type(), at::kByte);
    EXPECT_EQ(bytes.sum().item<std::int64_t>(), 4);
    EXPECT_EQ(references(theirs), 1);
  }
  EXPECT_GE(refused, 15U) << "uint1 to uint7, int1 to int7, and others";
}

TEST(as_tensor_of_torch, takes_quantized_tensors_as_their_remedies_say) {
  const py::object theirs = eval("torch.quantize_per_tensor(torch.ones(3), .5, 0, torch.quint8)");
  EXPECT_CONTAINS(raised_by([&] { ndtorch::as_tensor(theirs); }).text,
                  "Call tensor.dequantize() or tensor.int_repr() first.");
  EXPECT_EQ(ndtorch::as_tensor(theirs.attr("dequantize")()).sum().item<double>(), 3);
  EXPECT_EQ(ndtorch::as_tensor(theirs.attr("int_repr")()).sum().item<std::int64_t>(), 6);
}

TEST(as_tensor_of_torch, keeps_the_memory) {
  const py::array memory = array("np.arange(6.)");
  for (const bool with_gil : {true, false}) {
    py::object theirs = eval("torch.from_numpy(x)", py::arg("x") = memory);
    at::Tensor ours = ndtorch::as_tensor(theirs);
    theirs.release().dec_ref();
    EXPECT_EQ(references(memory), 2);
    EXPECT_EQ(ours.sum().item<double>(), 15);
    test::drop(ours, with_gil);
    EXPECT_EQ(references(memory), 1);
  }
}

}  // namespace
