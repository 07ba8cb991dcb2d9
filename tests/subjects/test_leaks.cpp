// Conversions leave no reference and no memory behind, whether they succeed or fail.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/ones.h>
#include <ndtorch/ndtorch.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <vector>

#include "support/exports.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::on_read_only;
using test::eval;
using test::references;

constexpr int many = 10'000;

// The object and those that a conversion may take references to.
std::vector<py::object> related(const py::object& object) {
  std::vector<py::object> found;
  const py::object objects = eval(
      "[r for r in [o, type(o), getattr(o, 'dtype', None), getattr(o, 'base', None)]"
      " + list(o if type(o) in (list, tuple) else ()) if r is not None]",
      py::arg("o") = object);
  for (py::handle one : objects) found.push_back(py::reinterpret_borrow<py::object>(one));
  return found;
}

// Runs `function` 10,000 times: the counts of references to `object` and what belongs to it, and
// the number of objects in Python's memory, are what they were before.
void expect_nothing_left(const py::object& object, const std::function<void()>& function) {
  const std::vector<py::object> objects = related(object);
  const auto all_references = [&] {
    std::vector<Py_ssize_t> counts;
    for (const py::object& one : objects) counts.push_back(references(one));
    return counts;
  };
  const py::object collect = eval("__import__('gc').collect");
  const py::object allocated = eval("__import__('sys').getallocatedblocks");
  const auto blocks = [&] {
    collect();  // an exception and its traceback hold each other
    return py::cast<long>(allocated());
  };
  for (int i = 0; i < 10; ++i) function();  // what is loaded at the first call stays for good
  const long blocks_before = blocks();
  const std::vector<Py_ssize_t> references_before = all_references();
  for (int i = 0; i < many; ++i) function();
  EXPECT_LT(blocks(), blocks_before + many / 10);  // some are in Python's lists of free objects
  EXPECT_EQ(all_references(), references_before);
}

void expect_nothing_left_by_failing(const py::object& object,
                                    const std::function<void()>& function) {
  int thrown = 0;
  expect_nothing_left(object, [&] {
    try {
      function();
    } catch (const std::exception& error) {
      thrown += error.what()[0] != 0;
    }
    if (PyErr_Occurred() != nullptr) {
      ADD_FAILURE() << "a Python error is pending";
      PyErr_Clear();
    }
  });
  EXPECT_EQ(thrown, many + 10);
}

// A call and its data, as a Python expression.
struct call {
  const char* name;
  const char* data;
  std::function<void(py::handle)> function;
};

constexpr auto from_numpy_of = [](py::handle a) { ndtorch::from_numpy(a); };
constexpr auto as_tensor_of = [](py::handle data) { ndtorch::as_tensor(data); };
constexpr auto tensor_of = [](py::handle data) { ndtorch::tensor(data); };
constexpr auto Tensor_of = [](py::handle data) { ndtorch::Tensor(data); };
constexpr auto scalar_type_of = [](py::handle dtype) { ndtorch::scalar_type(dtype); };

const std::vector<call> conversions = {
    {"from_numpy", "np.zeros((2, 3))[:, 1:]", from_numpy_of},
    {"from_numpy<T>", "np.zeros(3)", [](py::handle a) { ndtorch::from_numpy<double>(a); }},
    {"of a read-only array", "np.broadcast_to(1., 3)", from_numpy_of},
    {"and a write", "np.broadcast_to(1., 1)", [](py::handle a) { ndtorch::from_numpy(a).zero_(); }},
    {"of a subclass", "np.ma.array([1., 2.])", from_numpy_of},
    {"of bfloat16", "np.zeros(3, ml_dtypes.bfloat16)", from_numpy_of},
    {"as_tensor", "np.zeros(3)", as_tensor_of},
    {"as_tensor, a copy", "np.zeros(3)[::-1]", as_tensor_of},
    {"tensor", "np.zeros((2, 3)).T", tensor_of},
    {"tensor, requires_grad", "np.zeros(3)",
     [](py::handle a) { ndtorch::tensor(a, at::TensorOptions().requires_grad(true)); }},
    {"tensor<T>, swapped", "np.zeros(3, '>f8')", [](py::handle a) { ndtorch::tensor<float>(a); }},
    {"tensor, misaligned", "np.zeros(25, 'u1')[1:].view(float)", tensor_of},
    {"tensor, large", "np.zeros(17_000, complex)", tensor_of},
    {"Tensor", "np.zeros(3)", Tensor_of},
    {"of numbers", "[[1, 2.5], (True, 3)]", tensor_of},
    {"of arrays", "[np.zeros(3), np.ones(3)]", tensor_of},
    {"of NumPy's scalars", "[np.float32(3), np.int8(1)]", tensor_of},
    {"there and back", "np.zeros(3)", [](py::handle a) { ndtorch::numpy(ndtorch::from_numpy(a)); }},
    {"there and back, read-only", "np.broadcast_to(1., 3)",
     [](py::handle a) { ndtorch::numpy(ndtorch::from_numpy(a)); }},
    {"there and a copy back", "np.zeros(3)",
     [](py::handle a) { ndtorch::to_numpy<float>(ndtorch::from_numpy(a)); }},
    {"scalar_type", "np.dtype('f8')", scalar_type_of},
    {"scalar_type of a name", "'float32'", scalar_type_of},
    {"numpy_dtype", "np.dtype('f8')", [](py::handle) { ndtorch::numpy_dtype(at::kDouble); }},
    {"numpy_dtype of ml_dtypes", "np.dtype(ml_dtypes.bfloat16)",
     [](py::handle) { ndtorch::numpy_dtype(at::kBFloat16); }},
};

TEST(ten_thousand, conversions_leave_nothing_behind) {
  for (const call& one : conversions) {
    SCOPED_TRACE(one.name);
    const py::object data = eval(one.data);
    expect_nothing_left(data, [&] { one.function(data); });
  }
}

TEST(ten_thousand, exports_leave_nothing_behind) {
  const at::Tensor tensors[] = {at::arange(6.),
                                at::arange(6.).set_requires_grad(true),
                                at::arange(6.).expand({3, 6}),
                                at::ones({3}, at::kComplexFloat).conj(),
                                at::ones({3}, at::kBFloat16),
                                at::empty({0, 3})};
  for (const at::Tensor& tensor : tensors) {
    SCOPED_TRACE(tensor.toString());
    const auto uses = tensor.use_count();
    const auto storage_uses = tensor.storage().use_count();
    expect_nothing_left(eval("()"), [&] { ndtorch::to_numpy(tensor); });
    expect_nothing_left(eval("()"),
                        [&] { ndtorch::to_numpy<std::int16_t>(tensor.to(at::kFloat)); });
    EXPECT_EQ(tensor.use_count(), uses);
    EXPECT_EQ(tensor.storage().use_count(), storage_uses);
  }
}

std::function<void(py::handle)> as_tensor_with(const at::TensorOptions& options) {
  return [options](py::handle data) { ndtorch::as_tensor(data, options); };
}

const std::vector<call> failing = {
    {"a null handle", "()", [](py::handle) { ndtorch::from_numpy(py::handle()); }},
    {"no array", "[1]", from_numpy_of},
    {"object", "np.array([None, 1])", from_numpy_of},
    {"string", "np.array(['a'])", as_tensor_of},
    {"datetime", "np.zeros(2, 'M8[s]')", tensor_of},
    {"structured", "np.zeros(2, 'i4,f8')", Tensor_of},
    {"long double", "np.zeros(2, np.longdouble)", from_numpy_of},
    {"negative strides", "np.zeros(3)[::-1]", from_numpy_of},
    {"odd strides", "np.zeros(3, 'f4,i1')['f0']", from_numpy_of},
    {"byte order", "np.zeros(3, '>f8')", from_numpy_of},
    {"misaligned", "np.zeros(25, 'u1')[1:].view(float)", from_numpy_of},
    {"masked", "np.ma.array([1., 2.], mask=[0, 1])", from_numpy_of},
    {"masked, a copy", "np.ma.array([1., 2.], mask=[0, 1])", tensor_of},
    {"not of T", "np.zeros(3)", [](py::handle a) { ndtorch::from_numpy<float>(a); }},
    {"read-only", "np.broadcast_to(1., 3)",
     [](py::handle a) { ndtorch::from_numpy(a, on_read_only::error); }},
    {"requires_grad", "np.zeros(3, int)", as_tensor_with(at::TensorOptions().requires_grad(true))},
    {"a device that isn't there", "np.zeros(3)", as_tensor_with(at::Device(at::kCUDA, 100))},
    {"a layout", "np.zeros(3)", as_tensor_with(at::kSparse)},
    {"a dtype", "np.zeros(3)", as_tensor_with(at::kQInt8)},
    {"two dtypes", "np.zeros(3)", [](py::handle a) { ndtorch::tensor<float>(a, at::kDouble); }},
    {"no data", "None", tensor_of},
    {"no data inside", "[1, [None]]", tensor_of},
    {"ragged", "[[1, 2], [3]]", tensor_of},
    {"ragged at the end", "[np.zeros(3), [1, 2, [3]]]", tensor_of},
    {"ragged arrays", "[np.zeros(3), np.zeros(2)]", tensor_of},
    {"a bad array inside", "[np.zeros(3), np.zeros(3, 'M8[s]')]", tensor_of},
    {"too deep", "[np.zeros((1,) * 64)]", tensor_of},
    {"an int too large", "[1, 2**63]", tensor_of},
    {"a number too large", "[1.5, 300]", [](py::handle a) { ndtorch::tensor<std::uint8_t>(a); }},
    {"not real", "[1, 1j]", Tensor_of},
    {"an exception while reading",
     "type('bad', (), dict(__len__=lambda s: 2, __getitem__=lambda s, i: 1 / 0))()", tensor_of},
    {"no dtype", "'float33'", scalar_type_of},
    {"None", "None", scalar_type_of},
    {"an unsupported dtype", "np.dtype('M8[s]')", scalar_type_of},
    {"no such NumPy dtype", "()", [](py::handle) { ndtorch::numpy_dtype(at::kQInt8); }},
};

TEST(ten_thousand, failing_conversions_leave_nothing_behind) {
  for (const call& one : failing) {
    SCOPED_TRACE(one.name);
    const py::object data = eval(one.data);
    expect_nothing_left_by_failing(data, [&] { one.function(data); });
  }
}

TEST(ten_thousand, warnings_that_are_errors_leave_nothing_behind) {
  const py::object filters = eval("__import__('warnings').catch_warnings(action='error')");
  filters.attr("__enter__")();
  const py::object data = eval("np.broadcast_to(1., 3)");
  expect_nothing_left_by_failing(data, [&] { ndtorch::from_numpy(data, on_read_only::warn); });
  filters.attr("__exit__")(py::none(), py::none(), py::none());
}

TEST(ten_thousand, failing_exports_leave_nothing_behind) {
  const at::Tensor tensors[] = {at::Tensor(),
                                at::ones({3}).set_requires_grad(true),
                                at::ones({3}, at::kComplexFloat).conj(),
                                at::imag(at::ones({3}, at::kComplexFloat).conj()),
                                at::ones({3}).to_sparse(),
                                at::empty({3}, at::kMeta),
                                test::quantized(),
                                at::ones(std::vector<std::int64_t>(65, 1))};
  for (const at::Tensor& tensor : tensors) {
    SCOPED_TRACE(tensor.toString());
    const auto uses = tensor.use_count();
    const auto storage_uses =
        tensor.defined() && tensor.has_storage() ? tensor.storage().use_count() : 0;
    expect_nothing_left_by_failing(eval("()"), [&] { ndtorch::numpy(tensor); });
    EXPECT_EQ(tensor.use_count(), uses);
    EXPECT_EQ(tensor.defined() && tensor.has_storage() ? tensor.storage().use_count() : 0,
              storage_uses);
  }
}

TEST(ten_thousand, exports_without_ml_dtypes_leave_nothing_behind) {
  const test::import_replaced missing("ml_dtypes", py::none());
  const at::Tensor tensor = at::ones({3}, at::kBFloat16);
  expect_nothing_left_by_failing(eval("()"), [&] { ndtorch::numpy(tensor); });
  EXPECT_EQ(tensor.storage().use_count(), 1U);
}

}  // namespace
