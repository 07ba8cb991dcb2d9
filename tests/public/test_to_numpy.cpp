// ndtorch/to_numpy.h, with PyTorch's Tensor.numpy() as the oracle
#include <ATen/ops/_efficientzerotensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/ones.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/dtypes.h"
#include "support/exports.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::base_of;
using test::built_in_dtypes;
using test::complex_numbers;
using test::eval;
using test::expect_as_in_pytorch;
using test::import_replaced;
using test::is_true;
using test::message_of;
using test::py_complex;
using test::python_error;
using test::raised_by;
using test::raised_by_python;
using test::repr_of;
using test::same_elements;

// A tensor, made here and by the expression in Python: what PyTorch does to the latter is right.
struct tensor_case {
  std::string python;
  std::function<at::Tensor()> make;
};

at::Tensor numbers() { return at::arange(24, at::kFloat).reshape({2, 3, 4}); }
const std::string py_numbers = "torch.arange(24.).reshape(2, 3, 4)";

py::tuple strides_of(const py::array& array) { return array.attr("strides"); }

// The same numbers in the same order of memory, by another's judgement.
void expect_same_array(const py::array& actual, const py::array& expected) {
  EXPECT_TRUE(same_elements(actual, expected)) << repr_of(actual) << "\n is not\n"
                                               << repr_of(expected);
  if (actual.size() == 0) return;  // NumPy puts zeros in the place of PyTorch's
  EXPECT_TRUE(strides_of(actual).equal(strides_of(expected)))
      << repr_of(strides_of(actual)) << " is not " << repr_of(strides_of(expected));
}

TEST(numpy, shares_memory_both_ways) {
  const at::Tensor tensor = numbers();
  const py::array array = ndtorch::numpy(tensor);
  EXPECT_EQ(array.data(), tensor.const_data_ptr());
  EXPECT_TRUE(array.writeable());

  tensor.mutable_data_ptr<float>()[23] = 100;
  EXPECT_EQ(eval("a[1, 2, 3]", py::arg("a") = array).cast<float>(), 100);
  test::exec("a[0, 0, 1] = 200", py::dict(py::arg("a") = array));
  EXPECT_EQ(tensor.const_data_ptr<float>()[1], 200);
}

TEST(numpy, has_the_tensors_shape_and_strides) {
  const std::vector<tensor_case> cases = {
      {py_numbers, numbers},
      {py_numbers + ".transpose(0, 2)", [] { return numbers().transpose(0, 2); }},
      {py_numbers + ".permute(1, 2, 0)", [] { return numbers().permute({1, 2, 0}); }},
      {py_numbers + "[:, :, 1:4:2]", [] { return numbers().slice(2, 1, 4, 2); }},
      {py_numbers + "[1, 1:]", [] { return numbers()[1].slice(0, 1); }},
      {py_numbers + "[1].diagonal()", [] { return numbers()[1].diagonal(); }},
      {py_numbers + "[1, 2, 3]", [] { return numbers()[1][2][3]; }},
      {py_numbers + "[1, 2].expand(5, 4)", [] { return numbers()[1][2].expand({5, 4}); }},
      {py_numbers + "[:, 3:]", [] { return numbers().slice(1, 3); }},
      {"torch.empty(2, 0, 3)", [] { return at::empty({2, 0, 3}); }},
      {"torch.arange(9).unfold(0, 3, 2)", [] { return at::arange(9).unfold(0, 3, 2); }},
      {"torch.ones(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)",
       [] { return at::ones({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast); }},
      {"torch.ones([1] * 64)", [] { return at::ones(std::vector<std::int64_t>(64, 1)); }},
  };
  for (const tensor_case& one : cases) {
    SCOPED_TRACE(one.python);
    const at::Tensor tensor = one.make();
    const py::array result = ndtorch::numpy(tensor);
    expect_same_array(result, array(one.python + ".numpy()"));
    if (tensor.numel() > 0) {
      EXPECT_EQ(result.data(), tensor.const_data_ptr());
    }
  }
}

// NumPy allocates for a null pointer, so an export must not hand it one.
// LibTorch makes such strides itself, and in bytes they are no number any more.
TEST(numpy, takes_any_stride_of_an_axis_of_one) {
  const at::Tensor tensor = at::arange(3).as_strided({1, 3}, {std::int64_t{1} << 62, 1});
  const py::array array = ndtorch::numpy(tensor);
  EXPECT_EQ(array.data(), tensor.const_data_ptr());
  EXPECT_TRUE(test::same_elements(array, test::array("np.arange(3).reshape(1, 3)")));
  EXPECT_EQ(ndtorch::from_numpy(array).sizes(), tensor.sizes());
}

TEST(numpy, exports_an_empty_tensor_without_memory) {
  const at::Tensor tensor = at::empty({0, 3});
  ASSERT_EQ(tensor.const_data_ptr(), nullptr);
  const py::array result = ndtorch::numpy(tensor);
  EXPECT_FALSE(is_true("a.flags.owndata", py::arg("a") = result));
  EXPECT_EQ(tensor.storage().use_count(), 2U);
  EXPECT_EQ(eval("np.concatenate([a, a]).sum()", py::arg("a") = result).cast<float>(), 0);
}

TEST(numpy, takes_every_dtype_that_numpy_has) {
  const import_replaced hidden("ml_dtypes", py::none());  // not needed for any of these
  for (const auto& [name, type] : built_in_dtypes) {
    SCOPED_TRACE(name);
    const py::array result = ndtorch::numpy(at::arange(6).to(type));
    EXPECT_TRUE(result.dtype().equal(eval("np.dtype('" + name + "')")));
    expect_same_array(result, array("torch.arange(6).to(torch." + name + ").numpy()"));
  }
}

TEST(numpy, takes_every_dtype_that_ml_dtypes_adds) {
  for (const auto& [name, type] : test::ml_dtypes) {
    SCOPED_TRACE(name);
    // PyTorch exports none of these: its bits, under ml_dtypes' name.
    const std::string tensor = "torch.arange(1, 7).to(torch." + name + ")";
    const py::array expected =
        array(tensor + ".view(torch.uint8).numpy().view(ml_dtypes." + name + ")");
    const at::Tensor source = at::arange(1, 7).to(type);
    const py::array result = ndtorch::numpy(source);
    EXPECT_EQ(result.data(), source.const_data_ptr());
    expect_same_array(result, expected);
    EXPECT_EQ(eval("float(a[2].real)", py::arg("a") = result).cast<double>(),
              source[2].item().toComplexDouble().real());
  }
}

TEST(numpy, says_what_to_install_or_cast_to_where_ml_dtypes_is_missing) {
  const import_replaced hidden("ml_dtypes", py::none());
  for (const auto& [name, type] : test::ml_dtypes) {
    SCOPED_TRACE(name);
    const at::Tensor tensor = at::ones({3}).to(type);
    const python_error raised = raised_by([&] { ndtorch::numpy(tensor); });
    expect_as_in_pytorch(raised, raised_by_python("torch.ones(3).to(torch." + name + ").numpy()"));
    EXPECT_CONTAINS(raised.text, "NumPy has no " + name + " of its own");
    EXPECT_CONTAINS(raised.text, "pip install --upgrade ml_dtypes");
    EXPECT_CONTAINS(raised.text, "ndtorch::to_numpy<float>(tensor)");
    EXPECT_EQ(message_of<py::type_error>([&] { ndtorch::to_numpy(tensor); }), raised.text);
    EXPECT_EQ(tensor.storage().use_count(), 1U);
  }
}

// PyTorch exports these writable; here one assignment would change several elements.
TEST(numpy, is_read_only_where_elements_overlap) {
  const at::Tensor base = at::arange(24, at::kFloat);
  const std::vector<std::pair<const char*, at::Tensor>> overlapping = {
      {"expanded", base.slice(0, 0, 4).expand({5, 4})},
      {"a number expanded", base[3].expand({7})},
      {"windows", base.unfold(0, 3, 1)},
      {"equal strides", base.as_strided({2, 3}, {1, 1})},
      {"crossing strides", base.as_strided({3, 3}, {2, 3})},
  };
  for (const auto& [name, tensor] : overlapping) {
    SCOPED_TRACE(name);
    const py::array result = ndtorch::numpy(tensor);
    EXPECT_FALSE(result.writeable());
    EXPECT_EQ(result.data(), tensor.const_data_ptr()) << "but it is shared";
  }
}

TEST(numpy, is_writable_where_elements_are_apart) {
  const at::Tensor base = at::arange(24, at::kFloat);
  const std::vector<std::pair<const char*, at::Tensor>> apart = {
      {"a column", base.reshape({4, 6}).select(1, 2)},
      {"sliced and transposed", base.reshape({4, 6}).slice(1, 0, 6, 2).t()},
      {"windows side by side", base.unfold(0, 3, 3)},
      {"windows with gaps", base.unfold(0, 3, 5)},
      {"expanded to one", base.slice(0, 0, 4).expand({1, 4})},
      {"expanded but empty", base.slice(0, 0, 0).expand({5, 0})},
      {"a stride 0 on an axis of one", base.as_strided({1, 4}, {0, 1})},
      {"gaps between rows", base.as_strided({3, 3}, {5, 1})},
  };
  for (const auto& [name, tensor] : apart) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(ndtorch::numpy(tensor).writeable());
  }
}

TEST(numpy, keeps_the_memory_when_the_tensor_goes) {
  at::Tensor tensor = at::arange(6);
  const c10::weak_intrusive_ptr<c10::StorageImpl> storage(
      c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(tensor.storage().unsafeGetStorageImpl()));
  py::object result = ndtorch::numpy(tensor);
  EXPECT_EQ(tensor.use_count(), 1U) << "the storage is held, not the tensor";
  EXPECT_EQ(tensor.storage().use_count(), 2U);
  tensor.reset();
  EXPECT_TRUE(is_true("a.tolist() == [0, 1, 2, 3, 4, 5]", py::arg("a") = result));
  EXPECT_EQ(storage.use_count(), 1U);
  result = py::none();
  EXPECT_TRUE(storage.expired());
}

TEST(numpy, makes_the_storage_non_resizable_as_in_pytorch) {
  const at::Tensor tensor = at::arange(6, at::kFloat);
  EXPECT_TRUE(tensor.storage().resizable());
  const py::array result = ndtorch::numpy(tensor);
  EXPECT_FALSE(tensor.storage().resizable());

  const python_error expected =
      raised_by_python("(lambda t: (t.numpy(), t.resize_(100)))(torch.arange(6.))");
  EXPECT_EQ(message_of<c10::Error>([&] { tensor.resize_({100}); }).find(expected.text), 0U)
      << expected.text;

  tensor.resize_({2});  // fits in the memory that is there, so the array keeps its own
  EXPECT_EQ(result.data(), tensor.const_data_ptr());
  EXPECT_EQ(eval("a.sum()", py::arg("a") = result).cast<float>(), 15);
}

TEST(numpy, keeps_its_memory_when_the_tensor_is_set_to_another) {
  const at::Tensor tensor = at::arange(6, at::kFloat);
  const py::array result = ndtorch::numpy(tensor);
  tensor.set_(at::ones({100}));
  EXPECT_NE(result.data(), tensor.const_data_ptr());
  EXPECT_EQ(eval("a.sum()", py::arg("a") = result).cast<float>(), 15);
}

TEST(numpy, keeps_its_shape_when_the_tensor_changes_its_own) {
  const at::Tensor tensor = numbers();
  const py::array result = ndtorch::numpy(tensor);
  tensor.transpose_(0, 2).unsqueeze_(0);
  EXPECT_TRUE(is_true("a.shape == (2, 3, 4)", py::arg("a") = result));
}

TEST(numpy, gives_a_lazy_clone_memory_of_its_own) {
  const at::Tensor tensor = at::arange(6, at::kFloat);
  const at::Tensor clone = tensor._lazy_clone();
  const py::array result = ndtorch::numpy(clone);
  test::exec("a[0] = 100", py::dict(py::arg("a") = result));
  EXPECT_EQ(clone[0].item<float>(), 100);
  EXPECT_EQ(tensor[0].item<float>(), 0);
}

TEST(numpy, has_the_original_array_as_its_base) {
  const py::array original = array("np.arange(24.).reshape(2, 3, 4)");
  const at::Tensor tensor = ndtorch::from_numpy(original);
  EXPECT_TRUE(base_of(ndtorch::numpy(tensor)).is(original));
  EXPECT_TRUE(base_of(ndtorch::numpy(tensor[1].slice(1, 1, 4, 2))).is(original)) << "a view";
  EXPECT_TRUE(base_of(ndtorch::to_numpy(tensor)).is(original));

  const at::Tensor again = ndtorch::from_numpy(ndtorch::numpy(tensor));
  EXPECT_TRUE(base_of(ndtorch::numpy(again)).is(original)) << "after two round trips";

  const at::Tensor sharing = ndtorch::from_numpy(original).set_requires_grad(true);
  EXPECT_TRUE(base_of(ndtorch::to_numpy(sharing)).is(original)) << "detached";
}

TEST(numpy, has_no_array_as_its_base_where_the_tensor_has_memory_of_its_own) {
  const py::array original = array("np.arange(3.)");
  const py::object base = base_of(ndtorch::numpy(ndtorch::from_numpy(original).clone()));
  EXPECT_NE(base.ptr(), original.ptr());
  EXPECT_FALSE(py::isinstance<py::array>(base));
}

TEST(numpy, is_read_only_where_the_tensor_came_from_a_read_only_array) {
  const py::array original = array("np.broadcast_to(np.arange(3.), (2, 3))");
  const at::Tensor tensor = ndtorch::from_numpy(original);
  const py::array result = ndtorch::numpy(tensor);
  EXPECT_FALSE(result.writeable());
  EXPECT_EQ(result.data(), original.data());
  EXPECT_TRUE(base_of(result).is(original));
}

TEST(numpy, returns_every_array_as_it_went) {
  for (const auto& [name, type] : built_in_dtypes) {
    for (const char* form :
         {"a", "a.T", "a[::2, 1:]", "a[:, ::3]", "a[0, 0]", "a[:0]", "a[1:, None]"}) {
      SCOPED_TRACE(name + " " + form);
      const py::array there = array("(lambda a: np.asarray(" + std::string(form) +
                                    "))(np.arange(24).reshape(4, 6).astype('" + name + "'))");
      const py::array back = ndtorch::numpy(ndtorch::from_numpy(there));
      expect_same_array(back, there);
      if (there.size() > 0) {
        EXPECT_EQ(back.data(), there.data());
      }
    }
  }
}

TEST(numpy, returns_every_tensor_as_it_went) {
  for (const auto& [name, type] : test::all_dtypes()) {
    SCOPED_TRACE(name);
    const at::Tensor there = at::arange(24).reshape({4, 6}).to(type).t().slice(0, 1);
    const at::Tensor back = ndtorch::from_numpy(ndtorch::numpy(there));
    EXPECT_EQ(back.const_data_ptr(), there.const_data_ptr());
    EXPECT_EQ(back.scalar_type(), type);
    EXPECT_EQ(back.sizes(), there.sizes());
    EXPECT_EQ(back.strides(), there.strides());
  }
}

struct export_case {
  std::string python;
  std::function<at::Tensor()> make;
  bool shared;
};

TEST(to_numpy, equals_pytorchs_numpy_with_force) {
  const std::vector<export_case> cases = {
      {py_numbers, numbers, true},
      {py_numbers + ".permute(2, 0, 1)[1]", [] { return numbers().permute({2, 0, 1})[1]; }, true},
      {"torch.empty(2, 0)", [] { return at::empty({2, 0}); }, true},
      {py_numbers + ".requires_grad_()", [] { return numbers().requires_grad_(); }, true},
      {py_numbers + ".requires_grad_().transpose(0, 1)",
       [] { return numbers().requires_grad_().transpose(0, 1); }, true},
      {py_complex + ".conj()", [] { return complex_numbers().conj(); }, false},
      {py_complex + ".t()[1:].conj()", [] { return complex_numbers().t().slice(0, 1).conj(); },
       false},
      {py_complex + ".conj().imag", [] { return at::imag(complex_numbers().conj()); }, false},
      {"torch._neg_view(" + py_complex + ".conj())",
       [] { return complex_numbers().conj()._neg_view(); }, false},
      {py_complex + ".requires_grad_().conj()",
       [] { return complex_numbers().requires_grad_().conj(); }, false},
      {"torch._efficientzerotensor(3)", [] { return at::_efficientzerotensor({3}, at::kFloat); },
       false},
  };
  for (const export_case& one : cases) {
    SCOPED_TRACE(one.python);
    const at::Tensor tensor = one.make();
    const bool required_grad = tensor.requires_grad();
    const bool was_conj = tensor.is_conj();
    const py::array result = ndtorch::to_numpy(tensor);
    expect_same_array(result, array(one.python + ".numpy(force=True)"));
    EXPECT_TRUE(result.writeable());
    if (tensor.numel() > 0) {
      EXPECT_EQ(result.data() == tensor.const_data_ptr(), one.shared);
    }
    EXPECT_EQ(tensor.requires_grad(), required_grad) << "the tensor itself stays as it was";
    EXPECT_EQ(tensor.is_conj(), was_conj);
  }
}

TEST(to_numpy, makes_a_shared_storage_non_resizable_too) {
  const at::Tensor tensor = at::ones({3}).requires_grad_();
  const py::array result = ndtorch::to_numpy(tensor);
  EXPECT_FALSE(tensor.storage().resizable());
  EXPECT_EQ(tensor.storage().use_count(), 2U);
}

template <class T>
void expect_cast(const at::Tensor& tensor, const std::string& python, const std::string& dtype) {
  SCOPED_TRACE(python + " as " + dtype);
  const py::array result = ndtorch::to_numpy<T>(tensor);
  expect_same_array(result, array(python + ".detach().to(torch." + dtype + ").numpy(force=True)"));
}

TEST(to_numpy_as, casts_as_pytorch_does) {
  const at::Tensor source = at::arange(24, at::kFloat).reshape({2, 3, 4}).div(4);
  const std::string python = "(" + py_numbers + " / 4)";
  expect_cast<bool>(source, python, "bool");
  expect_cast<std::int8_t>(source, python, "int8");
  expect_cast<std::int16_t>(source, python, "int16");
  expect_cast<std::int32_t>(source, python, "int32");
  expect_cast<std::int64_t>(source, python, "int64");
  expect_cast<std::uint8_t>(source, python, "uint8");
  expect_cast<std::uint16_t>(source, python, "uint16");
  expect_cast<std::uint32_t>(source, python, "uint32");
  expect_cast<std::uint64_t>(source, python, "uint64");
  expect_cast<c10::Half>(source, python, "float16");
  expect_cast<float>(source, python, "float32");
  expect_cast<double>(source, python, "float64");
  expect_cast<c10::complex<float>>(source, python, "complex64");
  expect_cast<std::complex<double>>(source, python, "complex128");
}

TEST(to_numpy_as, casts_what_is_more_than_plain_memory) {
  expect_cast<double>(numbers().permute({2, 0, 1}), py_numbers + ".permute(2, 0, 1)", "float64");
  expect_cast<double>(numbers().requires_grad_(), py_numbers + ".requires_grad_()", "float64");
  expect_cast<float>(at::imag(complex_numbers().conj()), py_complex + ".conj().imag", "float32");
  expect_cast<c10::complex<float>>(complex_numbers().conj(), py_complex + ".conj()", "complex64");
  expect_cast<double>(at::ones({2}).expand({3, 2}), "torch.ones(2).expand(3, 2)", "float64");
  expect_cast<double>(at::empty({2, 0}), "torch.empty(2, 0)", "float64");
  expect_cast<double>(at::arange(3).to(at::kBFloat16), "torch.arange(3).bfloat16()", "float64");
}

TEST(to_numpy_as, shares_where_the_dtype_is_right_already) {
  const at::Tensor tensor = numbers();
  EXPECT_EQ(ndtorch::to_numpy<float>(tensor).data(), tensor.const_data_ptr());
  const at::Tensor integers = at::arange(3);
  EXPECT_EQ(ndtorch::to_numpy<long long>(integers).data(), integers.const_data_ptr());
  const at::Tensor leaf = numbers().requires_grad_();
  EXPECT_EQ(ndtorch::to_numpy<float>(leaf).data(), leaf.const_data_ptr());
}

TEST(to_numpy_as, copies_where_it_casts) {
  const at::Tensor tensor = at::arange(24, at::kFloat);
  const py::array result = ndtorch::to_numpy<double>(tensor);
  tensor.zero_();
  EXPECT_EQ(eval("a.sum()", py::arg("a") = result).cast<double>(), 276);
  EXPECT_TRUE(tensor.storage().resizable());
  EXPECT_EQ(tensor.storage().use_count(), 1U);
}

TEST(to_numpy_as, gets_bfloat16_and_float8_out_where_ml_dtypes_is_missing) {
  const import_replaced hidden("ml_dtypes", py::none());
  for (const auto& [name, type] : test::ml_dtypes) {
    if (type == at::kComplexHalf) continue;
    SCOPED_TRACE(name);
    expect_cast<float>(at::ones({3}).to(type), "torch.ones(3).to(torch." + name + ")", "float32");
  }
}

TEST(to_numpy_as, casts_to_the_dtypes_of_ml_dtypes) {
  const py::array result = ndtorch::to_numpy<c10::BFloat16>(at::arange(3, at::kFloat));
  EXPECT_TRUE(
      is_true("a.dtype == ml_dtypes.bfloat16 and a.tolist() == [0, 1, 2]", py::arg("a") = result));
}

}  // namespace
