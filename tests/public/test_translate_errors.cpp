// ndtorch/errors.h: LibTorch's errors out of functions of one's own
#include <ATen/ops/ones.h>
#include <c10/util/Exception.h>
#include <ndtorch/errors.h>
#include <pybind11/embed.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <tuple>

#include "support/support.h"

namespace {

namespace py = pybind11;

void fail(const std::string& kind) {
  TORCH_CHECK_VALUE(kind != "value", "a value of ", 3, " won't do");
  TORCH_CHECK_INDEX(kind != "index", "no such index");
  TORCH_CHECK_TYPE(kind != "type", "no such type");
  TORCH_CHECK_NOT_IMPLEMENTED(kind != "not implemented", "not yet");
  TORCH_CHECK_LINALG(kind != "linalg", "it is singular");
  TORCH_CHECK_WITH(OutOfMemoryError, kind != "memory", "the device is full");
  TORCH_CHECK(kind != "plain", "plain words");
  if (kind == "operator") at::ones({2}).view({3});
  if (kind == "other") throw std::invalid_argument("of the standard library");
  if (kind == "python") throw py::key_error("of pybind11");
}

PYBIND11_EMBEDDED_MODULE(failing, module) {
  module.def("fail", &fail);
  ndtorch::translate_errors(module);
}

test::python_error error_of(const char* kind) {
  return test::raised_by([&] { py::module_::import("failing").attr("fail")(kind); });
}

TEST(translate_errors, gives_each_error_its_own_type_and_its_text_alone) {
  for (const auto& [kind, type, text] :
       std::initializer_list<std::tuple<const char*, const char*, const char*>>{
           {"value", "ValueError", "a value of 3 won't do"},
           {"index", "IndexError", "no such index"},
           {"type", "TypeError", "no such type"},
           {"not implemented", "NotImplementedError", "not yet"},
           {"plain", "RuntimeError", "plain words"},
       }) {
    SCOPED_TRACE(kind);
    const auto raised = error_of(kind);
    EXPECT_EQ(raised.type, type);
    EXPECT_EQ(raised.text, text);
  }
}

TEST(translate_errors, says_what_an_operator_says_in_pytorch) {
  const auto raised = error_of("operator");
  EXPECT_EQ(raised.type, "RuntimeError");
  EXPECT_EQ(raised.text, "shape '[3]' is invalid for input of size 2");
}

TEST(translate_errors, leaves_other_exceptions_to_pybind11) {
  EXPECT_EQ(error_of("other").type, "ValueError");
  EXPECT_EQ(error_of("other").text, "of the standard library");
  EXPECT_EQ(error_of("python").type, "KeyError");
}

TEST(translate_errors, raises_torchs_own_types_where_torch_is_imported) {
  test::import_torch();
  EXPECT_EQ(error_of("linalg").type, "_LinAlgError");  // torch.linalg.LinAlgError
  EXPECT_EQ(error_of("linalg").text, "it is singular");
  EXPECT_EQ(error_of("memory").type, "OutOfMemoryError");
  EXPECT_TRUE(test::is_true("torch.linalg.LinAlgError.__name__ == '_LinAlgError'"));
}

}  // namespace
