// Masks: no conversion loses one that masks something, wherever it comes from.
#include <ndtorch/explain.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/typed.h>

#include <functional>
#include <string>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::tensor_t;
using test::eval;
using test::is_true;
using test::message_of;

const char* const would_be_lost = "its mask would be lost";

// Every way into a tensor that takes more than arrays.
const std::vector<std::function<at::Tensor(py::handle)>> ways_in = {
    [](py::handle data) { return ndtorch::tensor(data); },
    [](py::handle data) { return ndtorch::tensor<float>(data); },
    [](py::handle data) { return ndtorch::Tensor(data); },
    [](py::handle data) { return ndtorch::as_tensor(data); },
    [](py::handle data) { return ndtorch::as_tensor(data, at::TensorOptions(at::kLong)); },
    [](py::handle data) { return tensor_t<const double>::from(data); },
    [](py::handle data) { return tensor_t<const float>::from(data); },
    [](py::handle data) { return tensor_t<>::from(data); },
    // The same inside of sequences.
    [](py::handle data) { return ndtorch::tensor(py::make_tuple(data)); },
    [](py::handle data) { return ndtorch::as_tensor(py::make_tuple(data, data)); },
    [](py::handle data) { return tensor_t<const double>::from(py::make_tuple(data)); },
};

py::dict definitions() {
  static const py::dict names = test::exec(R"(
import weakref
import numpy.ma
class variable:
    "As netCDF4's: an array on demand, whose missing values are masked."
    def __init__(self, array): self.array = array
    def __array__(self, dtype=None, copy=None): return self.array
class described:
    "By __array_interface__, with the mask that NumPy's protocol has and NumPy doesn't read."
    def __init__(self, array, mask):
        self.array = array
        self.__array_interface__ = dict(array.__array_interface__, mask=mask)
class measured(np.ma.MaskedArray): pass
class proxy:
    "Stands for another object, all of whose attributes it has."
    def __init__(self, target): object.__setattr__(self, 'target', target)
    def __getattr__(self, name): return getattr(object.__getattribute__(self, 'target'), name)
    @property
    def __class__(self): return type(object.__getattribute__(self, 'target'))
masked = np.ma.masked_array([1., 2.], mask=[False, True])
unmasked = np.ma.masked_array([1., 2.], mask=False)
)");
  return names;
}

py::object made_by(const std::string& expression) {
  return test::eval_in(expression, definitions());
}

TEST(a_mask, that_masks_something_is_refused_wherever_it_comes_from) {
  for (const char* const expression :
       {"masked", "masked.view(measured)", "variable(masked)", "variable(masked.view(measured))",
        "variable(np.ma.masked_array([1, 2], mask=[True, True]))",
        "variable(np.ma.masked_array(3., mask=True))", "np.ma.masked", "variable(np.ma.masked)",
        "described(np.arange(2.), np.array([False, True]))",
        "described(np.arange(2.), described(np.array([True, False]), None))",
        "weakref.proxy(masked)", "proxy(masked)", "variable(masked[::-1])",
        "np.ma.masked_array([(1., 2), (3., 4)], mask=[(0, 0), (1, 0)], dtype='f8,i4')['f0']"}) {
    SCOPED_TRACE(expression);
    const py::object data = made_by(expression);
    for (std::size_t i = 0; i < ways_in.size(); ++i) {
      SCOPED_TRACE(i);
      const auto before = test::references(data);
      EXPECT_CONTAINS(message_of<py::type_error>([&] { ways_in[i](data); }), would_be_lost);
      EXPECT_EQ(test::references(data), before);
    }
    EXPECT_CONTAINS(ndtorch::explain(data), would_be_lost);
  }
}

TEST(a_mask, of_numbers_one_by_one_is_refused) {
  for (const char* const expression :
       {"[1., np.ma.masked]", "list(masked)", "[[masked[0], masked[1]]]"}) {
    SCOPED_TRACE(expression);
    const py::object data = made_by(expression);
    for (const auto& convert : ways_in) {
      EXPECT_CONTAINS(message_of<py::type_error>([&] { convert(data); }), would_be_lost);
    }
  }
}

TEST(a_mask, of_records_is_refused_with_their_dtype) {
  for (const char* const expression :
       {"np.ma.masked_array([(1., 2)], mask=[(1, 0)], dtype='f8,i4')",
        "np.ma.masked_array([(1., 2)], mask=[(1, 0)], dtype='f8,i4')[0]",
        "variable(np.ma.masked_array([(1., 2)], mask=[(1, 0)], dtype='f8,i4'))"}) {
    SCOPED_TRACE(expression);
    const py::object data = made_by(expression);
    for (const auto& convert : ways_in) message_of<py::type_error>([&] { convert(data); });
  }
}

TEST(a_mask, that_masks_nothing_is_none) {
  for (const char* const expression :
       {"np.ma.masked_array([1., 2.])", "np.ma.masked_array([1., 2.], mask=np.ma.nomask)",
        "np.ma.masked_array([1., 2.], mask=[False, False])",
        "variable(np.ma.masked_array([1., 2.], mask=False))", "variable(np.array([1., 2.]))",
        "variable(np.array([1., 2.]).view(type('sub', (np.ndarray,), {})))", "masked.data",
        "described(np.array([1., 2.]), None)",
        "described(np.array([1., 2.]), np.array([False, False]))", "weakref.proxy(unmasked)",
        "proxy(unmasked)", "proxy(np.array([1., 2.]))", "np.ma.filled(masked, 2.)"}) {
    SCOPED_TRACE(expression);
    const py::object data = made_by(expression);
    for (std::size_t i = 0; i < ways_in.size(); ++i) {
      SCOPED_TRACE(i);
      const at::Tensor tensor = ways_in[i](data).reshape({-1}).slice(0, 0, 2).to(at::kDouble);
      EXPECT_TRUE(is_true("a.tolist() == [1., 2.]", py::arg("a") = test::elements(tensor)));
    }
  }
}

TEST(a_mask, of_a_variables_array_that_is_shared_when_it_masks_nothing) {
  const py::object data = made_by("variable(np.ma.masked_array([1., 2.], mask=False))");
  const at::Tensor tensor = ndtorch::as_tensor(data);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()),
            data.attr("array").attr("ctypes").attr("data").cast<std::uintptr_t>());
}

TEST(a_mask, of_a_torch_tensor_is_refused) {
  test::import_torch();
  const py::object data = eval(
      "__import__('torch.masked').masked.masked_tensor(torch.tensor([1., 2.]), "
      "torch.tensor([True, False]))");
  for (const auto& convert : ways_in) {
    EXPECT_CONTAINS(message_of<py::type_error>([&] { convert(data); }), "__torch_dispatch__");
  }
}

// Missing values of pandas' own types make arrays of objects.
TEST(a_mask, of_pandas_is_refused_or_is_nan) {
  try {
    py::module_::import("pandas");
  } catch (const py::error_already_set&) {
    GTEST_SKIP() << "this Python has no pandas";
  }
  const py::object data = eval("__import__('pandas').array([1, None], dtype='Int64')");
  for (const auto& convert : ways_in) message_of<py::type_error>([&] { convert(data); });
}

}  // namespace
