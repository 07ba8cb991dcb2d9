// detail/arguments/result.h: what a typed tensor becomes in Python
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <ndtorch/typed.h>

#include <chrono>
#include <string>
#include <thread>

#include "support/arguments.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace returns = ndtorch::returns;
using ndtorch::tensor_t;
using test::is_true;

struct owner {
  float values[3] = {1, 2, 3};
};

PYBIND11_EMBEDDED_MODULE(results, module) {
  static const float table[4] = {1, 2, 3, 4};
  module.def("constants",
             [] { return tensor_t<const float>(at::from_blob(const_cast<float*>(table), {4})); });
  module.def("values", [] { return tensor_t<float>(at::ones({4})); });
  module.def("tensor", [] { return tensor_t<float, returns::torch>(at::ones({4})); });
  module.def("nothing", [] { return tensor_t<float, returns::torch>(); });
  module.def("exporter", [] { return tensor_t<float, returns::dlpack>(at::ones({4})); });
  module.def("plain", [] { return tensor_t<float, returns::numpy>(at::ones({4})); });
  module.def("same", [](const tensor_t<float, returns::torch>& given) { return given; });
  py::class_<owner>(module, "owner")
      .def(py::init<>())
      .def(
          "view",
          [](owner& self) {
            return tensor_t<float, returns::torch>(at::from_blob(self.values, {3}));
          },
          py::return_value_policy::reference_internal)
      .def(
          "constant_view",
          [](owner& self) { return tensor_t<const float>(at::from_blob(self.values, {3})); },
          py::return_value_policy::reference_internal)
      .def(
          "copied",
          [](owner& self) {
            return tensor_t<float, returns::torch>(at::from_blob(self.values, {3}));
          },
          py::return_value_policy::copy);
}

py::object call(const char* function) { return py::module_::import("results").attr(function)(); }

TEST(a_result, of_a_const_element_type_is_read_only) {
  const py::object constants = call("constants");
  EXPECT_FALSE(is_true("x.flags.writeable", constants));
  EXPECT_TRUE(is_true("x.tolist() == [1, 2, 3, 4]", constants));
  EXPECT_TRUE(is_true("x.flags.writeable", call("values")));
  const py::object owner = py::module_::import("results").attr("owner")();
  EXPECT_FALSE(is_true("x.flags.writeable", owner.attr("constant_view")()));
}

TEST(a_result, is_a_torch_tensor_where_the_type_says_so) {
  test::import_torch();
  EXPECT_TRUE(is_true("isinstance(x, torch.Tensor)", call("tensor")));
  EXPECT_TRUE(call("nothing").is_none());
  EXPECT_TRUE(is_true("type(x) is np.ndarray", call("plain")));
}

TEST(a_result, is_an_object_with_dlpack_where_the_type_says_so) {
  EXPECT_TRUE(is_true("np.from_dlpack(x).tolist() == [1, 1, 1, 1]", call("exporter")));
}

TEST(a_result, that_is_a_torch_tensor_shares_the_memory_of_the_argument) {
  test::import_torch();
  const py::object source = test::eval("np.zeros(3, 'f4')");
  const py::object result = py::module_::import("results").attr("same")(source);
  result.attr("fill_")(7);
  EXPECT_TRUE(is_true("(x == 7).all()", source));
}

TEST(a_result, that_is_a_torch_tensor_keeps_the_object_whose_memory_it_is_on) {
  test::import_torch();
  py::object owner = py::module_::import("results").attr("owner")();
  const Py_ssize_t before = test::references(owner);
  py::object view = owner.attr("view")();
  EXPECT_GT(test::references(owner), before);
  view.attr("fill_")(9);
  EXPECT_TRUE(is_true("x.tolist() == [9, 9, 9]", owner.attr("constant_view")()));
  py::object copied = owner.attr("copied")();
  copied.attr("fill_")(1);
  EXPECT_TRUE(is_true("x.tolist() == [9, 9, 9]", owner.attr("constant_view")()));
  view = py::none();
  // PyTorch drops a tensor's memory without the GIL, so that ndtorch's own thread drops the object.
  for (int i = 0; i < 5000 && test::references(owner) != before; ++i) {
    const py::gil_scoped_release without_gil;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(test::references(owner), before);
}

TEST(a_signature, says_what_a_result_is) {
#if PYBIND11_VERSION_MAJOR >= 3
  const auto signature = [](const char* function) {
    return test::text_of(py::module_::import("results").attr(function).attr("__doc__"));
  };
  EXPECT_CONTAINS(signature("constants"),
                  "-> typing.Annotated[numpy.typing.NDArray[numpy.float32], "
                  "\"read-only\"]");
  EXPECT_CONTAINS(signature("tensor"), "-> torch.Tensor");
  EXPECT_CONTAINS(signature("exporter"), "-> typing.Any");
#endif
}

}  // namespace
