// ndtorch/options_caster.h: dtypes, devices and options as arguments and results
#include <ATen/ops/zeros.h>
#include <ndtorch/options_caster.h>
#include <ndtorch/typed.h>
#include <pybind11/embed.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "support/dtypes.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::eval;
using test::is_true;

PYBIND11_EMBEDDED_MODULE(optioned, module) {
  module.def("dtype", [](at::ScalarType type) { return type; }, py::arg("dtype"));
  module.def(
      "maybe", [](std::optional<at::ScalarType> type) { return type; },
      py::arg("dtype") = py::none());
  module.def("device", [](const at::Device& device) { return device; }, py::arg("device"));
  module.def(
      "options", [](const at::TensorOptions& options) { return options; },
      py::arg("options") = py::none());
  module.def("zeros", [](const std::vector<std::int64_t>& sizes, const py::kwargs& options) {
    return ndtorch::tensor_t<>(at::zeros(sizes, ndtorch::tensor_options(options)));
  });
  ndtorch::explain_mismatches(module);
}

py::object call(const std::string& expression) {
  return eval(expression, py::arg("m") = py::module_::import("optioned"));
}
std::string refused(const std::string& expression) {
  const auto raised = test::raised_by([&] { call(expression); });
  EXPECT_EQ(raised.type, "TypeError");
  return raised.text;
}

TEST(scalar_type_caster, takes_every_name_of_a_dtype) {
  for (const char* dtype :
       {"np.dtype('f4')", "np.float32", "'float32'", "'<f4'", "torch.float32"}) {
    SCOPED_TRACE(dtype);
    EXPECT_TRUE(call("m.dtype(" + std::string(dtype) + ")").equal(eval("np.dtype('f4')")));
  }
  EXPECT_TRUE(is_true("x == np.float64", call("m.dtype(float)")));
  EXPECT_TRUE(is_true("x == np.int64", call("m.dtype(int)")));
  EXPECT_TRUE(call("m.maybe()").is_none());
  EXPECT_TRUE(is_true("x == np.int8", call("m.maybe(torch.int8)")));
}

TEST(scalar_type_caster, refuses_what_is_no_dtype_and_says_why) {
  const std::string no_dtype = refused("m.dtype('nonsense')");
  EXPECT_CONTAINS(no_dtype,
                  "dtype(): incompatible function arguments: argument 'dtype': expected "
                  "a NumPy dtype");
  EXPECT_CONTAINS(refused("m.dtype(object)"), "The only supported types are: float64");
  EXPECT_CONTAINS(refused("m.dtype(torch.quint8)"), "can't convert torch.quint8");
}

TEST(scalar_type, knows_every_dtype_of_torch_that_the_table_has) {
  test::import_torch();
  for (const auto& [name, type] : test::all_dtypes()) {
    SCOPED_TRACE(name);
    EXPECT_EQ(ndtorch::scalar_type(eval("torch." + name)), type);
  }
}

TEST(device_caster, takes_names_and_torch_devices) {
  EXPECT_TRUE(is_true("x == 'cpu'", call("m.device('cpu')")));
  EXPECT_TRUE(is_true("x == 'cuda:1'", call("m.device('cuda:1')")));
  EXPECT_TRUE(is_true("x == 'cuda:1'", call("m.device(torch.device('cuda', 1))")));
  EXPECT_TRUE(is_true("x == 'meta'", call("m.device(torch.empty(0, device='meta').device)")));
  EXPECT_CONTAINS(refused("m.device(3)"),
                  "argument 'device': expected a device (got int). Pass a "
                  "string such as \"cuda:1\", or a torch.device.");
  EXPECT_CONTAINS(refused("m.device('nowhere')"), "nowhere");
}

TEST(options_caster, takes_options_by_their_names) {
  EXPECT_TRUE(is_true("x == {}", call("m.options()")));
  EXPECT_TRUE(is_true("x == {'dtype': np.dtype('f8'), 'device': 'cpu', 'requires_grad': True}",
                      call("m.options(dict(dtype=np.float64, device='cpu', requires_grad=True, "
                           "pin_memory=None))")));
  EXPECT_CONTAINS(refused("m.options(dict(colour=1))"),
                  "there is no option 'colour'. The options are dtype, device, requires_grad and "
                  "pin_memory.");
}

TEST(tensor_options, are_the_keywords_of_a_function) {
  EXPECT_TRUE(is_true("x.dtype == np.int16 and x.shape == (2,)", call("m.zeros([2], dtype='i2')")));
  EXPECT_EQ(refused("m.zeros([2], shape=3)"),
            "there is no option 'shape'. The options are dtype, device, requires_grad and "
            "pin_memory.");
}

}  // namespace
