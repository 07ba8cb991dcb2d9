// as_tensor and tensor of objects with __array__ or __array_interface__
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/typed.h>

#include <cstdint>
#include <string>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::tensor_t;
using test::array;
using test::eval;
using test::message_of;
using test::raised_by;
using test::references;

// As a table of pandas: an iteration gives its columns' names.
constexpr const char* tables = R"(
class table:
    def __init__(self, values): self.values = values
    def __array__(self, dtype=None, copy=None): return self.values
    def __len__(self): return len(self.values)
    def __iter__(self): return iter(range(100, 102))
    def __getitem__(self, name): raise KeyError(name)
class image:
    def __init__(self, values): self.values = values
    @property
    def __array_interface__(self): return self.values.__array_interface__
values = np.arange(6, dtype='i2').reshape(3, 2)
objects = [table(values), image(values)]
)";

TEST(as_tensor_of_an_array_like, takes_what_numpy_makes_of_it) {
  const py::dict names = test::exec(tables);
  const py::array values = names["values"];
  for (const py::handle object : py::list(names["objects"])) {
    SCOPED_TRACE(ndtorch::detail::type_name(object));
    test::expect_view(ndtorch::as_tensor(object), values);
    test::expect_elements(ndtorch::tensor(object), values);
    EXPECT_NE(ndtorch::tensor(object).const_data_ptr(), values.data());
    EXPECT_EQ(ndtorch::Tensor(object).scalar_type(), at::kFloat);
    EXPECT_EQ(ndtorch::tensor(py::make_tuple(object, values)).sizes(), at::IntArrayRef({2, 3, 2}));
    EXPECT_EQ(tensor_t<const float>::from(object).sum().item<float>(), 15);
  }
}

// It might be a copy: what is written to that would be lost.
TEST(as_tensor_of_an_array_like, is_no_memory_to_write_to) {
  const py::dict names = test::exec(tables);
  for (const py::handle object : py::list(names["objects"])) {
    SCOPED_TRACE(ndtorch::detail::type_name(object));
    EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<std::int16_t>::from(object); }),
                    "the function writes into its memory");
    message_of<py::type_error>([&] { ndtorch::from_numpy(object); });
    // Who only reads takes it as it is.
    EXPECT_EQ(tensor_t<const std::int16_t>::from(object, false).numel(), 6);
  }
}

TEST(as_tensor_of_an_array_like, may_be_a_proxy_that_only_the_object_knows_of) {
  const py::dict names = test::exec(R"(
import weakref
class proxy:
    def __init__(self, target): self.__dict__['target'] = target
    def __getattr__(self, name): return getattr(self.target, name)
class described: pass
values = np.arange(6, dtype='i2').reshape(3, 2)
its_own = described()
its_own.__array_interface__ = values.__array_interface__
objects = [proxy(values), weakref.proxy(values), its_own]
)");
  const py::array values = names["values"];
  for (const py::handle object : py::list(names["objects"])) {
    SCOPED_TRACE(ndtorch::detail::type_name(object));
    test::expect_view(ndtorch::as_tensor(object), values);
    test::expect_elements(ndtorch::tensor(py::make_tuple(object)),
                          test::array("np.stack([v])", py::arg("v") = values));
  }
  // A class has what its objects have.
  EXPECT_EQ(
      raised_by([] { ndtorch::as_tensor(eval("np.ndarray")); }).text,
      "can't convert an object of type 'type' to a tensor. Pass an array, a number, or a nested "
      "sequence of these.");
}

TEST(as_tensor_of_an_array_like, raises_what_the_object_raises) {
  const py::object object = test::exec(
      "class table:\n"
      "  def __array__(self, dtype=None, copy=None): raise OSError('the file is gone')\n"
      "object = table()")["object"];
  EXPECT_EQ(raised_by([&] { ndtorch::as_tensor(object); }).type, "OSError");
  EXPECT_FALSE(py::detail::make_caster<tensor_t<const float>>().load(object, true));
}

// As pandas, whose numbers that may be missing are objects to NumPy, also where none is.
TEST(as_tensor_of_an_array_like, of_objects_is_refused_with_what_pandas_has_for_it) {
  const py::dict names = test::exec(R"(
class DataFrame:
    def __array__(self, dtype=None, copy=None): return np.array([[1., 2.]], dtype=object)
    def to_numpy(self, dtype=None, copy=False, na_value=None):
        return np.asarray(self.__array__(), dtype)
class other:
    def __array__(self, dtype=None, copy=None): return np.array([[1., 2.]], dtype=object)
table, other = DataFrame(), other()
)");
  const py::object table = names["table"];
  for (const auto function : {+[](py::handle x) { ndtorch::as_tensor(x); },
                              +[](py::handle x) { ndtorch::tensor(x, at::kFloat); },
                              +[](py::handle x) { ndtorch::tensor(py::make_tuple(x)); },
                              +[](py::handle x) { tensor_t<const float>::from(x); }}) {
    const std::string message = message_of<py::type_error>([&] { function(table); });
    EXPECT_CONTAINS(message,
                    "can't convert a DataFrame, of which np.asarray() makes an array of dtype "
                    "object. The only supported types are: float64,");
    EXPECT_CONTAINS(message,
                    "Convert it to one of these first, in pandas with "
                    "data.to_numpy(dtype='float32', na_value=np.nan).");
    EXPECT_EQ(references(table), 2);
  }
  test::expect_elements(ndtorch::as_tensor(eval("x.to_numpy(dtype='float32', na_value=np.nan)",
                                                py::arg("x") = table)),
                        array("np.array([[1, 2]], 'f4')"));
  // Dates have that method, too, and become no numbers by it.
  table.attr("__class__").attr("__array__") = eval("lambda self, **k: np.zeros(2, 'M8[s]')");
  EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::as_tensor(table); }),
                  "of type numpy.datetime64.");
  EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::as_tensor(names["other"]); }),
                  "of type numpy.object_.");
}

}  // namespace
