// ndtorch/tensor_caster.h: at::Tensor itself as argument and result
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ndtorch/tensor_caster.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using policy = py::return_value_policy;
using test::array;
using test::eval;
using test::is_true;
using test::python_function;
using test::references;
using test::same_elements;

TEST(tensor_argument, shares_the_memory_of_every_layout) {
  at::Tensor seen;
  const auto see = python_function([&](const at::Tensor& tensor) { seen = tensor; });
  for (const char* layout : test::layouts) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    if (!source.writeable()) continue;
    const Py_ssize_t before = references(source);
    see(source);
    test::expect_view(seen, source);
    seen = at::Tensor();
    EXPECT_EQ(references(source), before);
  }
}

TEST(tensor_argument, is_written_where_the_callers_memory_is) {
  const auto fill = python_function([](at::Tensor tensor) { tensor.fill_(7); });
  const py::array source = array("np.zeros((2, 3))");
  fill(eval("s[:, 1]", py::arg("s") = source));
  EXPECT_TRUE(same_elements(source, eval("np.array([[0, 7., 0], [0, 7, 0]])")));
}

// Only then: where another argument is refused, the next overload finds it as it was.
TEST(tensor_argument, takes_a_capsule_when_the_function_is_called) {
  auto module = test::new_module();
  module.def("f", [](const at::Tensor&, int) { return at::ones({}); });
  module.def("f", [](at::Tensor tensor, const std::string&) { return tensor.add_(1); });
  const py::array source = array("np.arange(3.)");
  const py::object capsule = source.attr("__dlpack__")();
  EXPECT_TRUE(same_elements(module.attr("f")(capsule, "x"), eval("np.array([1., 2, 3])")));
  EXPECT_TRUE(same_elements(source, eval("np.array([1., 2, 3])")));
  EXPECT_STREQ(PyCapsule_GetName(capsule.ptr()), "used_dltensor");
  const auto sum =
      python_function([](const std::optional<at::Tensor>& tensor) { return tensor->sum(); });
  EXPECT_TRUE(same_elements(sum(source.attr("__dlpack__")()), eval("np.array(6.)")));
}

// Nobody would see what the function writes.
TEST(tensor_argument, is_refused_where_it_would_be_a_copy_or_may_not_be_written) {
  const auto converting = python_function([](const at::Tensor&) {});
  for (const char* source :
       {"np.broadcast_to(0., 3)", "np.arange(3)[::-1]", "np.arange(3, dtype='>i4')", "[1, 2.5]",
        "3", "np.float32(2)", "b'text'", "'text'", "None", "np.zeros(2, 'O')"}) {
    SCOPED_TRACE(source);
    const auto raised = test::raised_by([&] { converting(eval(source)); });
    EXPECT_EQ(raised.type, "TypeError");
    EXPECT_CONTAINS(raised.text, "incompatible function arguments");
  }
}

TEST(tensor_argument, is_explained_with_what_a_function_takes_that_only_reads) {
  const auto module = test::new_module();
  py::module_(module).def("f", [](const at::Tensor&) {}, py::arg("x"));
  ndtorch::explain_mismatches(module, "f");
  const std::string note =
      "(A C++ function that only reads takes ndtorch::tensor_t<>, not at::Tensor.)";
  for (const char* source : {"'text'", "[1, 2]", "np.broadcast_to(0., 3)", "np.arange(3)[::-1]"}) {
    SCOPED_TRACE(source);
    const auto raised = test::raised_by([&] { module.attr("f")(eval(source)); });
    EXPECT_CONTAINS(raised.text, "f(): incompatible function arguments: argument 'x': ");
    EXPECT_CONTAINS(raised.text, note);
  }
}

TEST(tensor_result, is_an_array_on_the_same_memory) {
  const at::Tensor tensor = at::arange(6, at::kFloat).reshape({2, 3}).t();
  const py::array result = python_function([&] { return tensor; })();
  EXPECT_TRUE(same_elements(result, test::elements(tensor)));
  EXPECT_EQ(result.data(), tensor.const_data_ptr());
  const py::array copy =
      python_function([&]() -> const at::Tensor& { return tensor; }, policy::copy)();
  EXPECT_TRUE(same_elements(copy, result));
  EXPECT_NE(copy.data(), result.data());
}

TEST(tensor_result, that_numpy_has_no_form_for_is_an_error) {
  const auto with_grad =
      test::raised_by([] { python_function([] { return at::ones({2}).requires_grad_(); })(); });
  EXPECT_EQ(with_grad.type, "RuntimeError");
  EXPECT_CONTAINS(with_grad.text, "Can't call numpy() on Tensor that requires grad.");
}

TEST(tensor_result, that_is_undefined_is_none) {
  for (const policy how : {policy::automatic, policy::copy, policy::reference_internal}) {
    EXPECT_TRUE(python_function([] { return at::Tensor(); }, how)().is_none());
  }
}

TEST(tensor_result, behind_a_pointer_is_taken_over) {
  const at::Tensor tensor = at::ones({3});
  const auto uses = tensor.use_count();
  for (const policy how : {policy::automatic, policy::take_ownership}) {
    python_function([&] { return new at::Tensor(tensor); }, how)();
    EXPECT_EQ(tensor.use_count(), uses);
  }
  EXPECT_TRUE(python_function([]() -> at::Tensor* { return nullptr; })().is_none());
}

TEST(tensors_in_containers, go_both_ways) {
  using input = std::vector<std::optional<at::Tensor>>;
  const auto first = python_function([](const input& batch) {
    return std::pair(batch.at(0), std::vector<at::Tensor>{batch.at(1).value()});
  });
  const py::array source = array("np.arange(3.)");
  const py::tuple result = first(py::make_tuple(py::none(), source));
  EXPECT_TRUE(result[0].is_none());
  EXPECT_EQ(py::array(py::list(result[1])[0]).data(), source.data());
}

TEST(tensor_signature, is_that_of_an_array_that_may_be_written) {
  const auto function =
      python_function([](const at::Tensor& x, const std::optional<at::Tensor>&) { return x; });
  const auto text = py::cast<std::string>(function.attr("__doc__"));
#if PYBIND11_VERSION_MAJOR >= 3
  EXPECT_CONTAINS(text,
                  "(arg0: typing.Annotated[numpy.typing.NDArray[typing.Any], \"flags.writeable\"], "
                  "arg1: typing.Annotated[numpy.typing.NDArray[typing.Any], \"flags.writeable\"] | "
                  "None) -> numpy.typing.NDArray[typing.Any]");
#else
  EXPECT_CONTAINS(text,
                  "(arg0: typing.Annotated[numpy.typing.NDArray[typing.Any], \"flags.writeable\"], "
                  "arg1: Optional[typing.Annotated[numpy.typing.NDArray[typing.Any], "
                  "\"flags.writeable\"]]) -> ");
#endif
}

}  // namespace
