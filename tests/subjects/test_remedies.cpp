// Every message that names a remedy: the situation that it is thrown in, its words, and the remedy, which
// must then work. tests/python/test_error_page.py asks that none of docs/errors.md is missing.
#include <ATen/TensorOperators.h>
#include <ATen/ops/_add_batch_dim.h>
#include <ATen/ops/_efficientzerotensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/options_caster.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/typed.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/dlpack.h"
#include "support/exports.h"
#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::any_contig;
using ndtorch::as_tensor;
using ndtorch::c_contig;
using ndtorch::f_contig;
using ndtorch::from_numpy;
using ndtorch::ndim;
using ndtorch::numpy;
using ndtorch::shape;
using ndtorch::tensor;
using ndtorch::tensor_t;
using ndtorch::to_dlpack;
using ndtorch::to_numpy;
using ndtorch::device::of;
using test::eval;
using test::is_true;
using test::nested;
using test::of_dims;
using test::quantized;
using test::raised_by;

// A call that fails, the part of its message that says what to do, and calls that do so.
struct remedy {
  const char* says;
  std::function<void()> fails;
  std::vector<std::function<void()>> does;
};

class remedies : public testing::TestWithParam<std::vector<remedy>> {};

TEST_P(remedies, work) {
  for (const remedy& one : GetParam()) {
    SCOPED_TRACE(one.says);
    const test::python_error raised = raised_by(one.fails);
    EXPECT_CONTAINS(raised.text, one.says);
    for (std::size_t i = 0; i < one.does.size(); ++i) {
      SCOPED_TRACE(i);
      try {
        one.does[i]();
      } catch (const std::exception& error) {
        ADD_FAILURE() << "the remedy doesn't work: " << error.what();
      }
      EXPECT_EQ(PyErr_Occurred(), nullptr);
    }
  }
}

std::function<void()> taken(at::Tensor (*convert)(py::handle), const char* expression) {
  return [=] { convert(eval(expression)); };
}
at::Tensor from(py::handle object) { return from_numpy(object); }
at::Tensor copied(py::handle object) { return tensor(object); }
at::Tensor shared(py::handle object) { return as_tensor(object); }
template <class... Constraints>
at::Tensor typed(py::handle object) {
  return tensor_t<Constraints...>::from(object, /*convert=*/false);
}

// What each refused view can be done about.
remedy for_a_view(const char* says, const char* expression, const char* in_python) {
  const auto changed = [=] { from_numpy(eval(in_python, py::arg("a") = eval(expression))); };
  return {says, taken(from, expression), {taken(copied, expression), changed}};
}

const char* const copy_it = "Copy it with ndtorch::tensor, or with array.copy() in Python.";

const std::vector<remedy> of_arrays = {
    {"Pass an array, or take other data with ndtorch::as_tensor.",
     taken(from, "[1, 2]"),
     {taken(from, "np.array([1, 2])"), taken(shared, "[1, 2]")}},
    {"Cast it with ndtorch::tensor<T>, or with array.astype(np.float32) in Python.",
     [] { from_numpy<float>(eval("np.zeros(3)")); },
     {[] { tensor<float>(eval("np.zeros(3)")); },
      [] { from_numpy<float>(eval("np.zeros(3).astype(np.float32)")); }}},
    {"Convert the data to one of these first, for example with array.astype(np.float32).",
     taken(copied, "np.array([1, 2], object)"),
     {taken(copied, "np.array([1, 2], object).astype(np.float32)")}},
    {"Fill it first with array.filled(value), or drop the mask with array.data.",
     taken(copied, "np.ma.masked_equal([1, 2], 2)"),
     {taken(copied, "np.ma.masked_equal([1, 2], 2).filled(0)"),
      taken(copied, "np.ma.masked_equal([1, 2], 2).data")}},
    {"its mask would be lost. Fill the masked values first, and leave the mask out.",
     taken(copied,
           "type('c', (), {'__array_interface__': dict(np.zeros(2).__array_interface__, "
           "mask=np.ones(2, bool))})()"),
     {[] {
       tensor(
           eval("(lambda a: type('c', (), {'a': a, '__array_interface__': "
                "a.__array_interface__})())(np.zeros(2))"));
     }}},
    for_a_view(copy_it, "np.arange(6.)[::-1]", "a.copy()"),
    for_a_view(copy_it, "np.zeros(3, 'i1,f4')['f1']", "a.copy()"),
    for_a_view(copy_it, "np.arange(17, dtype='u1')[1:].view('f8')", "a.copy()"),
    for_a_view(
        "Copy it with ndtorch::tensor, or with array.astype(array.dtype.newbyteorder('=')) in "
        "Python.",
        "np.arange(3.).astype('>f8')", "a.astype(a.dtype.newbyteorder('='))"),
    {"Check the shape and strides that were given to as_strided.",
     taken(from, "np.lib.stride_tricks.as_strided(np.zeros(3), (3,), (2**62,))"),
     {taken(from, "np.lib.stride_tricks.as_strided(np.zeros(3), (3,), (8,))")}},
    {"Copy it with ndtorch::tensor, or make it writable.",
     [] { from_numpy(eval("np.broadcast_to(1., 3)"), ndtorch::on_read_only::error); },
     {taken(copied, "np.broadcast_to(1., 3)"),
      [] {
        from_numpy(eval("(lambda a: (a.setflags(write=False), a.setflags(write=True), a)[-1])"
                        "(np.zeros(3))"),
                   ndtorch::on_read_only::error);
      }}},
    {"expected a NumPy dtype (got NoneType). Pass numpy.dtype(...) or what it accepts, such as "
     "\"float32\".",
     [] { ndtorch::scalar_type(py::none()); },
     {[] { ndtorch::scalar_type(eval("np.dtype('f4')")); },
      [] { ndtorch::scalar_type(py::str("float32")); }}},
};

std::function<void()> made_with(const char* expression, const at::TensorOptions& options) {
  return [=] { tensor(eval(expression), options); };
}

const at::TensorOptions no_options;

const std::vector<remedy> of_options = {
    {"can't convert a null handle to a tensor. Pass an object.",
     [] { tensor(py::handle()); },
     {taken(copied, "1")}},
    {"Pass an array, a number, or a nested sequence of these.",
     taken(copied, "'text'"),
     {taken(copied, "np.zeros(3)"), taken(copied, "1"), taken(copied, "[[1], [2]]")}},
    {"expected sequence of length 2 at dim 1 (got 1): the parts of a tensor must be of the same "
     "shape. Pad them, or convert them one by one.",
     taken(copied, "[[1, 2], [3]]"),
     {taken(copied, "[[1, 2], [3, 0]]"), taken(copied, "[3]")}},
    {"the parts of a tensor must be of the same shape. Pad them, or convert them one by one.",
     taken(copied, "[1, [2]]"),
     {taken(copied, "[[1], [2]]"), taken(copied, "[2]")}},
    {"Take its real part, or ask for a complex dtype.",
     made_with("[1j]", at::kFloat),
     {made_with("[1j .real]", at::kFloat), made_with("[1j]", at::kComplexFloat)}},
    {"Ask for a signed dtype.", made_with("[-1]", at::kUInt64), {made_with("[-1]", at::kLong)}},
    {"Ask for a floating dtype, or for kUInt64 below 2**64.",
     taken(copied, "[2**63]"),
     {made_with("[2**63]", at::kDouble), made_with("[2**63]", at::kUInt64)}},
    {"Ask for a dtype that holds it.",
     made_with("[300]", at::kByte),
     {made_with("[300]", at::kShort)}},
    {"Say the dtype in the options.",
     [] {
       const test::default_dtype narrow(at::kBFloat16);
       tensor(eval("[1j]"));
     },
     {[] {
       const test::default_dtype narrow(at::kBFloat16);
       tensor(eval("[1j]"), at::TensorOptions(at::kComplexFloat));
     }}},
    {"take the layout out of the options and convert the result, for example with "
     "tensor.to_sparse().",
     made_with("np.eye(3)", no_options.layout(at::kSparse)),
     {[] { tensor(eval("np.eye(3)")).to_sparse(); }}},
    {"take the memory format out of the options and call tensor.contiguous(memory_format).",
     made_with("np.zeros((1, 2, 3, 4))", no_options.memory_format(at::MemoryFormat::ChannelsLast)),
     {[] { tensor(eval("np.zeros((1, 2, 3, 4))")).contiguous(at::MemoryFormat::ChannelsLast); }}},
    {"take the device or pinned_memory out of the options.",
     made_with("[1]", no_options.device(at::kMeta).pinned_memory(true)),
     {made_with("[1]", no_options.device(at::kMeta))}},
    {"ask for a floating dtype in the options too, or leave requires_grad out.",
     made_with("[1]", no_options.requires_grad(true)),
     {made_with("[1]", no_options.requires_grad(true).dtype(at::kFloat)), made_with("[1]", {})}},
    {"Leave the dtype out of one of them.",
     [] { tensor<float>(eval("[1]"), at::TensorOptions(at::kLong)); },
     {[] { tensor<float>(eval("[1]")); }, made_with("[1]", at::kLong)}},
    {"Use at::kCPU, or a LibTorch built for",
     made_with("[1]", no_options.device(at::kXLA)),
     {made_with("[1]", no_options.device(at::kCPU))}},
    {"Use one of these, or at::kCPU.",
     made_with("[1]", no_options.device(at::Device(at::kPrivateUse1, 99))),
     {made_with("[1]", no_options.device(at::Device(at::kPrivateUse1, 0))),
      made_with("[1]", no_options.device(at::kCPU))}},
};

std::function<void()> produced(const std::function<void(test::foreign_memory&)>& change) {
  return [=] {
    test::foreign_memory memory;
    change(memory);
    as_tensor(test::versioned_producer(memory));
  };
}

const std::function<void(test::foreign_memory&)> nothing = [](test::foreign_memory&) {};

const std::vector<remedy> of_holders = {
    {"Use Tensor.to_padded_tensor(0) or Tensor.unbind() first.",
     taken(shared, "torch.nested.nested_tensor([torch.ones(2), torch.ones(1)])"),
     {taken(shared,
            "torch.nested.nested_tensor([torch.ones(2), torch.ones(1)])"
            ".to_padded_tensor(0.)"),
      taken(shared, "torch.nested.nested_tensor([torch.ones(2), torch.ones(1)]).unbind()[0]")}},
    {"Use Tensor.to_dense() first.",
     taken(shared, "torch.eye(2).to_sparse()"),
     {taken(shared, "torch.eye(2).to_sparse().to_dense()")}},
    {"Pass the plain tensor inside.",
     taken(shared,
           "__import__('torch.masked').masked.masked_tensor(torch.ones(2), torch.ones(2, "
           "dtype=torch.bool))"),
     {taken(shared,
            "__import__('torch.masked').masked.masked_tensor(torch.ones(2), torch.ones(2, "
            "dtype=torch.bool)).get_data()")}},
    {"which needs 12 bytes, and its storage has 0. Give it the memory back first, with "
     "tensor.untyped_storage().resize_(12), or make a new tensor",
     taken(shared, "(lambda t: (t.untyped_storage().resize_(0), t)[1])(torch.ones(3))"),
     {taken(shared,
            "(lambda t: (t.untyped_storage().resize_(0), t.untyped_storage().resize_(12), t)"
            "[2])(torch.ones(3))"),
      taken(shared,
            "torch.zeros_like((lambda t: (t.untyped_storage().resize_(0), t)[1])"
            "(torch.ones(3)))")}},
    {"Convert the data to one of these first.",
     produced([](auto& memory) { memory.tensor.dtype = {kDLFloat, 64, 2}; }),
     {produced(nothing)}},
    {"Copy the data to the CPU first.",
     produced([](auto& memory) { memory.tensor.device.device_type = kDLVulkan; }),
     {produced(nothing)}},
    {"Copy it to a plain array in its own library first.",
     produced([](auto& memory) { memory.strides = {-3, 1}; }),
     {produced(nothing)}},
    {"Update the older of the two.",
     produced([](auto& memory) { memory.version = {2, 0}; }),
     {produced([](auto& memory) { memory.version = {1, 1}; })}},
    {"have __dlpack__ make a new one for each call.",
     [] {
       const py::object same = eval(
           "(lambda c: type('p', (), {'__dlpack__': lambda self, **k: c, '__dlpack_device__': "
           "lambda self: (1, 0)})())(np.zeros(3).__dlpack__())");
       as_tensor(same);
       as_tensor(same);
     },
     {[] {
       const py::object anew = eval(
           "type('p', (), {'__dlpack__': lambda self, **k: np.zeros(3).__dlpack__(), "
           "'__dlpack_device__': lambda self: (1, 0)})()");
       as_tensor(anew);
       as_tensor(anew);
     }}},
    {"Pass bytes, a bytearray, a memoryview, or the like.",
     [] { ndtorch::frombuffer(eval("[1]"), at::kByte); },
     {[] { ndtorch::frombuffer(eval("b'1'"), at::kByte); },
      [] { ndtorch::frombuffer(eval("memoryview(bytearray(b'1'))"), at::kByte); }}},
    {"Copy it first, with bytes(buffer).",
     [] { ndtorch::frombuffer(eval("memoryview(b'1234')[::2]"), at::kByte); },
     {[] { ndtorch::frombuffer(eval("bytes(memoryview(b'1234')[::2])"), at::kByte); }}},
    {"Read it as uint8 and copy it first, for example with ndtorch::frombuffer(buffer, "
     "at::kByte).clone().view(dtype).",
     [] { ndtorch::frombuffer(eval("np.zeros(17, 'u1')[1:]"), at::kDouble); },
     {[] {
       ndtorch::frombuffer(eval("np.zeros(17, 'u1')[1:]"), at::kByte).clone().view(at::kDouble);
     }}},
};

at::Tensor freed() {
  at::Tensor tensor = at::ones({3});
  test::free_storage(tensor);
  return tensor;
}

at::Tensor grown_in_vain() {
  at::Tensor tensor = from_numpy(eval("np.zeros(3)"));
  try {
    tensor.resize_({100});
    ADD_FAILURE() << "memory of an array's has grown";
  } catch (const c10::Error&) {
  }
  return tensor;
}

at::Tensor complex() { return at::ones({2}, at::kComplexFloat); }
at::Tensor on_a_device() { return at::ones({3}).to(at::Device(at::kPrivateUse1, 0)); }
at::Tensor subclass() {
  at::Tensor tensor = at::ones({3});
  tensor.unsafeGetTensorImpl()->set_python_dispatch(true);
  return tensor;
}

const std::vector<remedy> of_exports = {
    {"Give it a value first; at::Tensor() has none.", [] { numpy(at::Tensor()); }, {[] {
       numpy(at::ones({3}));
     }}},
    {"can't convert nested tensor to numpy. Use Tensor.to_padded_tensor(0) or "
     "Tensor.unbind() first.",
     [] { numpy(nested()); },
     {[] { numpy(nested().to_padded_tensor(0)); }, [] { numpy(nested().unbind()[0]); }}},
    {"layout tensor to numpy. Use Tensor.to_dense() first.",
     [] { numpy(at::ones({2, 2}).to_sparse()); },
     {[] { numpy(at::ones({2, 2}).to_sparse().to_dense()); }}},
    {"Use Tensor.cpu() to copy the tensor to host memory first.",
     [] { numpy(on_a_device()); },
     {[] { numpy(on_a_device().cpu()); }, [] { to_numpy(on_a_device()); }}},
    {"Use tensor.detach().numpy() instead.", [] { numpy(at::ones({3}).requires_grad_()); }, {[] {
       numpy(at::ones({3}).requires_grad_().detach());
     }}},
    {"Use tensor.resolve_conj().numpy() instead.", [] { numpy(complex().conj()); }, {[] {
       numpy(complex().conj().resolve_conj());
     }}},
    {"Use tensor.resolve_neg().numpy() instead.", [] { numpy(complex()._neg_view()); }, {[] {
       numpy(complex()._neg_view().resolve_neg());
     }}},
    {"ndtorch::to_numpy does so.", [] { numpy(at::_efficientzerotensor({3}, at::kFloat)); }, {[] {
       to_numpy(at::_efficientzerotensor({3}, at::kFloat));
     }}},
    {"Give it the memory back first, with tensor.untyped_storage().resize_(12), or make a new "
     "tensor, "
     "with at::zeros_like(tensor).",
     [] { numpy(freed()); },
     {[] {
        const at::Tensor tensor = freed();
        test::resize_storage(tensor, 12);
        numpy(tensor);
      },
      [] { numpy(at::zeros_like(freed())); }}},
    {"Make the tensor as small as its memory again, with tensor.resize_(), or make a new one, with "
     "at::zeros_like(tensor).",
     [] { numpy(grown_in_vain()); },
     {[] { numpy(grown_in_vain().resize_({3})); }, [] { numpy(at::zeros_like(grown_in_vain())); }}},
    {"Return it from the transformed function, and convert the result.",
     [] { numpy(at::_add_batch_dim(at::ones({2, 3}), 0, 1)); },
     {[] { numpy(at::ones({2, 3})); }}},
    {"convert the plain tensor inside.", [] { numpy(subclass()); }, {[] { numpy(at::ones({3})); }}},
    {"Merge some with Tensor.flatten() or Tensor.reshape().",
     [] { numpy(of_dims(65)); },
     {[] { numpy(of_dims(65).flatten()); }, [] { numpy(of_dims(65).reshape({1, 1})); }}},
    {"call tensor.dequantize() or tensor.int_repr() first.",
     [] { numpy(quantized()); },
     {[] { numpy(quantized().dequantize()); }, [] { numpy(quantized().int_repr()); }}},
    {"install a current ml_dtypes (pip install --upgrade ml_dtypes), or cast, for example with "
     "ndtorch::to_numpy<float>(tensor).",
     [] {
       const test::import_replaced missing("ml_dtypes", py::none());
       numpy(at::ones({3}, at::kBFloat16));
     },
     {[] {
        const test::import_replaced missing("ml_dtypes", py::none());
        to_numpy<float>(at::ones({3}, at::kBFloat16));
      },
      [] { numpy(at::ones({3}, at::kBFloat16)); }}},
    {"Make a tensor with data on a real device first, for example with at::empty_like(tensor, "
     "at::kCPU).",
     [] { to_numpy(at::empty({3}, at::kMeta)); },
     {[] { to_numpy(at::empty_like(at::empty({3}, at::kMeta), at::kCPU)); }}},
    // To others.
    {"can't export an undefined tensor. Give it a value first; at::Tensor() has none.",
     [] { to_dlpack(at::Tensor()); },
     {[] { to_dlpack(at::ones({3})); }}},
    {"use Tensor.to_dense() first.", [] { to_dlpack(at::ones({2, 2}).to_sparse()); }, {[] {
       to_dlpack(at::ones({2, 2}).to_sparse().to_dense());
     }}},
    {"use tensor.detach()", [] { to_dlpack(at::ones({3}).requires_grad_()); }, {[] {
       to_dlpack(at::ones({3}).requires_grad_().detach());
     }}},
    {"Use tensor.resolve_conj() first.", [] { to_dlpack(complex().conj()); }, {[] {
       to_dlpack(complex().conj().resolve_conj());
     }}},
    {"Use tensor.resolve_neg() first.", [] { to_dlpack(complex()._neg_view()); }, {[] {
       to_dlpack(complex()._neg_view().resolve_neg());
     }}},
    {"Export the plain tensor inside.", [] { to_dlpack(subclass()); }, {[] {
       to_dlpack(at::ones({3}));
     }}},
    {"Use tensor.clone() first.",
     [] { to_dlpack(at::_efficientzerotensor({3}, at::kFloat)); },
     {[] { to_dlpack(at::_efficientzerotensor({3}, at::kFloat).clone()); }}},
    {"DLPack has no such dtype: call tensor.dequantize() or tensor.int_repr() first.",
     [] { to_dlpack(quantized()); },
     {[] { to_dlpack(quantized().dequantize()); }, [] { to_dlpack(quantized().int_repr()); }}},
    {"DLPack has no such dtype: read its bytes, with tensor.view(at::kByte).",
     [] { to_dlpack(at::empty({3}, at::ScalarType::Bits8)); },
     {[] { to_dlpack(at::empty({3}, at::ScalarType::Bits8).view(at::kByte)); }}},
    {"NumPy has no such dtype: read its bytes, with tensor.view(at::kByte).",
     [] { to_numpy(at::empty({3}, at::ScalarType::UInt4)); },
     {[] { to_numpy(at::empty({3}, at::ScalarType::UInt4).view(at::kByte)); },
      [] { numpy(at::empty({3}, at::ScalarType::Bits16).view(at::kByte)); }}},
    {"Copy it there first, with tensor.to(device).",
     [] { eval("o.__dlpack__(dl_device=(12, 0))", py::arg("o") = to_dlpack(at::ones({3}))); },
     {[] { eval("o.__dlpack__(dl_device=(12, 0))", py::arg("o") = to_dlpack(on_a_device())); }}},
    {"Ask for that with max_version=(1, 0), or allow the copy.",
     [] {
       eval("o.__dlpack__(copy=False)",
            py::arg("o") = to_dlpack(from_numpy(eval("np.broadcast_to(1., 3)"))));
     },
     {[] {
        eval("o.__dlpack__(copy=False, max_version=(1, 0))",
             py::arg("o") = to_dlpack(from_numpy(eval("np.broadcast_to(1., 3)"))));
      },
      [] {
        eval("o.__dlpack__()",
             py::arg("o") = to_dlpack(from_numpy(eval("np.broadcast_to(1., 3)"))));
      }}},
    {"or return a NumPy array with ndtorch::numpy.",
     [] {
       const test::import_replaced missing("torch", py::none());
       ndtorch::to_torch(at::ones({3}));
     },
     {[] {
       const test::import_replaced missing("torch", py::none());
       numpy(at::ones({3}));
     }}},
};

py::module_ with_iterable() {
  auto module = test::new_module();
  module.def("f", [](const std::vector<tensor_t<const float>>&) {});
  ndtorch::explain_mismatches(module, "f");
  return module;
}

const std::vector<remedy> of_arguments = {
    {"Cast it first, for example with array.astype('float32').",
     taken(typed<float>, "np.zeros(3)"),
     {taken(typed<float>, "np.zeros(3).astype('float32')")}},
    {"Cast it first, with tensor.to(dtype).",
     taken(typed<float>, "torch.zeros(3, dtype=torch.int)"),
     {taken(typed<float>, "torch.zeros(3, dtype=torch.int).to(torch.float)")}},
    {"Take array.real, array.imag or np.abs(array) first.",
     [] { tensor_t<const float>::from(eval("np.array([3 + 4j])")); },
     {[] { tensor_t<const float>::from(eval("np.array([3 + 4j]).real")); },
      [] { tensor_t<const float>::from(eval("np.array([3 + 4j]).imag")); },
      [] { tensor_t<const float>::from(eval("np.abs(np.array([3 + 4j]))")); }}},
    {"Take tensor.real, tensor.imag or tensor.abs() first.",
     [] { tensor_t<const float>::from(eval("torch.tensor([3 + 4j])")); },
     {[] { tensor_t<const float>::from(eval("torch.tensor([3 + 4j]).real")); },
      [] { tensor_t<const float>::from(eval("torch.tensor([3 + 4j]).imag")); },
      [] { tensor_t<const float>::from(eval("torch.tensor([3 + 4j]).abs()")); }}},
    {"Move it there first, with tensor.to(device).",
     [] { tensor_t<of<at::kPrivateUse1>>{at::ones({3})}; },
     {[] { tensor_t<of<at::kPrivateUse1>>{on_a_device()}; }}},
    {"Reshape it first.",
     taken(typed<ndim<2>>, "np.zeros(3)"),
     {taken(typed<ndim<2>>, "np.zeros(3).reshape(1, 3)")}},
    {"Reshape or slice it first.",
     taken(typed<shape<2>>, "np.zeros(3)"),
     {taken(typed<shape<2>>, "np.zeros(3)[:2]")}},
    {"Copy it first, with np.ascontiguousarray(array).",
     taken(typed<c_contig>, "np.zeros((2, 3)).T"),
     {taken(typed<c_contig>, "np.ascontiguousarray(np.zeros((2, 3)).T)")}},
    {"Copy it first, with tensor.contiguous().",
     taken(typed<c_contig>, "torch.zeros(2, 3).T"),
     {taken(typed<c_contig>, "torch.zeros(2, 3).T.contiguous()")}},
    {"Copy it first, with np.asfortranarray(array).",
     taken(typed<f_contig>, "np.zeros((2, 3))"),
     {taken(typed<f_contig>, "np.asfortranarray(np.zeros((2, 3)))")}},
    {"Copy it first: reverse its axes with tensor.permute(), call contiguous(), and reverse them "
     "back.",
     taken(typed<f_contig>, "torch.zeros(2, 3)"),
     {taken(typed<f_contig>, "torch.zeros(2, 3).permute(1, 0).contiguous().permute(1, 0)")}},
    {"expected memory in C or Fortran order. Got an array of shape (2, 2), strides (24, 16) bytes, "
     "dtype float64. Copy it first, with np.ascontiguousarray(array).",
     taken(typed<any_contig>, "np.zeros((2, 3))[:, ::2]"),
     {taken(typed<any_contig>, "np.ascontiguousarray(np.zeros((2, 3))[:, ::2])")}},
    {"Pass a string such as \"cuda:1\", or a torch.device.",
     [] { ndtorch::device_of(py::int_(1)); },
     {[] { ndtorch::device_of(py::str("cuda:1")); },
      [] { ndtorch::device_of(eval("torch.device('cuda', 1)")); }}},
    {"The function writes into that copy: use it afterwards.",
     taken(typed<float>, "np.zeros(3)"),
     {[] {
       const py::object made = eval("np.zeros(3).astype('float32')");
       typed<float>(made).fill_(1);
       EXPECT_TRUE(is_true("(a == 1).all()", py::arg("a") = made));
     }}},
    {"Pass a copy, array.copy(), and use it afterwards.",
     taken(typed<double>, "np.broadcast_to(1., 3)"),
     {taken(typed<double>, "np.broadcast_to(1., 3).copy()")}},
    {"Resolve it first, with tensor.resolve_conj().resolve_neg() or tensor.clone().",
     [] { tensor_t<c10::complex<float>>{complex().conj()}; },
     {[] { tensor_t<c10::complex<float>>{complex().conj().resolve_conj().resolve_neg()}; },
      [] { tensor_t<float>{at::_efficientzerotensor({3}, at::kFloat).clone()}; }}},
    {"Pass a dense one with data, not a meta tensor, one whose storage was freed or made smaller, "
     "one of a subclass with __torch_dispatch__, or one inside of torch.func (vmap, grad).",
     [] { tensor_t<float>{freed()}; },
     {[] { tensor_t<float>{at::zeros_like(freed())}; }}},
    {"Copy it first, with array != 0.",
     taken(typed<const bool>, "np.array([255, 0], 'u1').view(bool)"),
     {taken(typed<const bool>, "np.array([255, 0], 'u1').view(bool) != 0"),
      taken(typed<const bool>, "np.arange(24, dtype='u1').view(bool).reshape(4, 6)[::2].T != 0")}},
    {"Copy it first, with tensor.view(torch.uint8) != 0.",
     taken(typed<const bool>, "torch.tensor([255, 0], dtype=torch.uint8).view(torch.bool)"),
     {taken(typed<const bool>,
            "torch.tensor([255, 0], dtype=torch.uint8).view(torch.bool)"
            ".view(torch.uint8) != 0")}},
    {"the function writes into its memory. Pass one.",
     taken(typed<double>, "[1.]"),
     {taken(typed<double>, "np.array([1.])")}},
    {"Convert it first, with np.asarray(data).",
     taken(typed<const double>, "[1.]"),
     {taken(typed<const double>, "np.asarray([1.])")}},
    {"expected a dense tensor (got a nested one). Use Tensor.to_padded_tensor(0) or "
     "Tensor.unbind() first.",
     [] { tensor_t<>{nested()}; },
     {[] { tensor_t<>{nested().to_padded_tensor(0)}; }, [] { tensor_t<>{nested().unbind()[0]}; }}},
    {"is no function that pybind11 made in this scope. Define it first.",
     [] { ndtorch::explain_mismatches(test::new_module(), "f"); },
     {[] { with_iterable(); }}},
    {"Pass a list, list(iterator), to hear what is wrong with its items.",
     [] { with_iterable().attr("f")(eval("(x for x in ['text'])")); },
     {[] {
       const std::string text =
           raised_by([] { with_iterable().attr("f")(eval("list(x for x in ['text'])")); }).text;
       EXPECT_CONTAINS(text, "'str'");
     }}},
};

const char* const half_a_table =
    "type('table', (), {'__array__': lambda self, dtype=None, copy=None: np.array([1., None], "
    "object), "
    "'to_numpy': lambda self, dtype=None, na_value=None: np.array([1., na_value], dtype)})()";

const std::vector<remedy> of_torch_tensors = {
    {"Make one with data first, for example with torch.empty_like(tensor, device='cpu').",
     taken(shared, "torch.ones(2, device='meta')"),
     {taken(shared, "torch.empty_like(torch.ones(2, device='meta'), device='cpu')")}},
    {"can't take a tensor that requires grad: no gradient would come back to it. Pass "
     "tensor.detach().",
     taken(shared, "torch.ones(2, requires_grad=True)"),
     {taken(shared, "torch.ones(2, requires_grad=True).detach()")}},
    {"Pass tensor.resolve_conj().",
     taken(shared, "torch.ones(2, dtype=torch.cfloat).conj()"),
     {taken(shared, "torch.ones(2, dtype=torch.cfloat).conj().resolve_conj()")}},
    {"Pass tensor.resolve_neg().",
     taken(shared, "torch.ones(2)._neg_view()"),
     {taken(shared, "torch.ones(2)._neg_view().resolve_neg()")}},
    {"can't share the memory of a ZeroTensor, which has none. Use Tensor.clone() first.",
     taken(shared, "torch._efficientzerotensor(3)"),
     {taken(shared, "torch._efficientzerotensor(3).clone()")}},
    {". Call tensor.dequantize() or tensor.int_repr() first.",
     taken(shared, "torch.quantize_per_tensor(torch.ones(2), 1., 0, torch.qint8)"),
     {taken(shared, "torch.quantize_per_tensor(torch.ones(2), 1., 0, torch.qint8).dequantize()"),
      taken(shared, "torch.quantize_per_tensor(torch.ones(2), 1., 0, torch.qint8).int_repr()")}},
    {"Read its bytes, with tensor.view(torch.uint8).",
     taken(shared, "torch.ones(2, dtype=torch.uint8).view(torch.uint4)"),
     {taken(shared, "torch.ones(2, dtype=torch.uint8).view(torch.uint4).view(torch.uint8)")}},
    {"can't share the memory of a nested tensor. Use Tensor.to_padded_tensor(0) or Tensor.unbind() "
     "first.",
     taken(shared, "torch.nested.nested_tensor([torch.ones(2), torch.ones(1)])"),
     {taken(shared,
            "torch.nested.nested_tensor([torch.ones(2), torch.ones(1)]).to_padded_tensor(0)")}},
    {"Ask for a floating or complex dtype, or take int(float(number)).",
     [] { tensor(eval("__import__('decimal').Decimal('1.5')"), at::kLong); },
     {[] { tensor(eval("__import__('decimal').Decimal('1.5')"), at::kDouble); },
      [] { tensor(eval("__import__('decimal').Decimal('1.5')"), at::kComplexDouble); },
      [] { tensor(eval("int(float(__import__('decimal').Decimal('1.5')))"), at::kLong); }}},
    {"Convert it to one of these first, in pandas with data.to_numpy(dtype='float32', "
     "na_value=np.nan).",
     taken(shared, half_a_table),
     {[] {
       tensor(
           eval("t.to_numpy(dtype='float32', na_value=np.nan)", py::arg("t") = eval(half_a_table)));
     }}},
    {"A capsule can be consumed only once: make a new one, with object.__dlpack__().",
     [] {
       const py::object capsule = eval("np.arange(3.).__dlpack__()");
       as_tensor(capsule);
       as_tensor(capsule);
     },
     {taken(shared, "np.arange(3.).__dlpack__()")}},
    {"Can't export nested tensors. Use Tensor.to_padded_tensor(0) or Tensor.unbind() first.",
     [] { to_dlpack(nested()); },
     {[] { to_dlpack(nested().to_padded_tensor(0)); }, [] { to_dlpack(nested().unbind()[0]); }}},
    {" has no buffer: copy it first, with tensor.cpu().",
     [] { eval("memoryview(x)", py::arg("x") = to_dlpack(at::ones({3}).to("inverted:0"))); },
     {[] {
       eval("memoryview(x)", py::arg("x") = to_dlpack(at::ones({3}).to("inverted:0").cpu()));
     }}},
    {"cast the tensor first, or read its bytes, with tensor.view(at::kByte).",
     [] { eval("memoryview(x)", py::arg("x") = to_dlpack(at::ones({3}, at::kBFloat16))); },
     {[] {
        eval("memoryview(x)",
             py::arg("x") = to_dlpack(at::ones({3}, at::kBFloat16).to(at::kFloat)));
      },
      [] {
        eval("memoryview(x)",
             py::arg("x") = to_dlpack(at::ones({3}, at::kBFloat16).view(at::kByte)));
      }}},
};

INSTANTIATE_TEST_SUITE_P(of_arrays, remedies, testing::Values(of_arrays));
INSTANTIATE_TEST_SUITE_P(of_options, remedies, testing::Values(of_options));
INSTANTIATE_TEST_SUITE_P(of_holders, remedies, testing::Values(of_holders));
INSTANTIATE_TEST_SUITE_P(of_torch_tensors, remedies, testing::Values(of_torch_tensors));
INSTANTIATE_TEST_SUITE_P(of_exports, remedies, testing::Values(of_exports));
INSTANTIATE_TEST_SUITE_P(of_arguments, remedies, testing::Values(of_arguments));

}  // namespace
