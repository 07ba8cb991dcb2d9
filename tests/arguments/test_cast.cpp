// detail/arguments/cast.h and element.h: which dtypes a typed argument converts, and which values it keeps
#include <ndtorch/typed.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "support/arguments.h"
#include "support/arrays.h"
#include "support/dtypes.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::any_cast;
using ndtorch::exact_dtype;
using ndtorch::tensor_t;
using test::all_dtypes;
using test::elements;
using test::eval;
using test::is_true;
using test::load;
using test::message_of;
using test::outcome;
using test::outcome_of;
using test::same_elements;

bool can_cast(at::ScalarType from, at::ScalarType to) {
  return is_true("np.can_cast(a, b, 'same_kind')", py::arg("a") = ndtorch::numpy_dtype(from),
                 py::arg("b") = ndtorch::numpy_dtype(to));
}

TEST(same_kind, is_what_numpy_says) {
  for (const auto& [from_name, from] : test::built_in_dtypes) {
    for (const auto& [to_name, to] : test::built_in_dtypes) {
      SCOPED_TRACE(from_name + " -> " + to_name);
      EXPECT_EQ(ndtorch::detail::is_same_kind_cast(from, to), can_cast(from, to));
    }
  }
}

TEST(same_kind, takes_the_types_of_ml_dtypes_for_floating_and_complex_ones) {
  for (const auto& [name, type] : test::ml_dtypes) {
    SCOPED_TRACE(name);
    const at::ScalarType twin = c10::isComplexType(type) ? at::kComplexFloat : at::kFloat;
    for (const auto& [other_name, other] : test::built_in_dtypes) {
      SCOPED_TRACE(other_name);
      EXPECT_EQ(ndtorch::detail::is_same_kind_cast(type, other), can_cast(twin, other));
      EXPECT_EQ(ndtorch::detail::is_same_kind_cast(other, type), can_cast(other, twin));
    }
  }
}

TEST(same_kind, is_what_a_const_element_type_converts) {
  test::for_each_element_type([](auto element) {
    using T = decltype(element);
    constexpr at::ScalarType to = ndtorch::scalar_type_of_v<T>;
    for (const auto& [name, from] : all_dtypes()) {
      SCOPED_TRACE(testing::Message() << to << " <- " << name);
      const py::array source = test::six_of(from);
      const auto converted = load<tensor_t<const T>>(source, true);
      ASSERT_EQ(converted.has_value(), ndtorch::detail::is_same_kind_cast(from, to));
      if (converted) {
        EXPECT_TRUE(same_elements(elements(*converted), elements(ndtorch::tensor<T>(source))));
      }
      // Also of a tensor, of a sequence, and of memory that no tensor can be a view of.
      const py::object reversed = source[py::make_tuple(py::slice({}, {}, -1))];
      EXPECT_EQ((load<tensor_t<const T>>(reversed, true)).has_value(), converted.has_value());
      EXPECT_EQ((load<tensor_t<const T>>(py::make_tuple(source, source), true)).has_value(),
                converted.has_value());
      EXPECT_EQ((load<tensor_t<const T>>(ndtorch::to_dlpack(ndtorch::from_numpy(source)), true))
                    .has_value(),
                converted.has_value());
    }
  });
}

TEST(same_kind, refuses_what_would_lose_values_with_the_cast_that_the_caller_can_make) {
  const auto reason = [](auto tag, const char* object) {
    using tensor = typename decltype(tag)::type;
    return message_of<py::type_error>([&] { tensor::from(eval(object)); });
  };
  const auto bytes = ndtorch::detail::type_is<tensor_t<const std::uint8_t>>();
  EXPECT_CONTAINS(reason(bytes, "np.full((2, 2), 0.5, 'f4')"),
                  "expected dtype uint8 (got float32). Got an array of shape (2, 2)");
  EXPECT_CONTAINS(reason(bytes, "np.full((2, 2), 0.5, 'f4')"),
                  "Cast it first, for example with array.astype('uint8').");
  EXPECT_CONTAINS(reason(bytes, "[0.5, 1]"), "expected dtype uint8 (got float32). Got a list");
  EXPECT_CONTAINS(reason(bytes, "0.5"), "expected dtype uint8 (got float32). Got a float");
  EXPECT_CONTAINS(reason(bytes, "np.int64(3) * np.ones(2, 'i8')"), "(got int64)");
  EXPECT_CONTAINS(reason(bytes, "[300]"), "value cannot be converted to type uint8");
  EXPECT_CONTAINS(reason(bytes, "[-1]"), "expected dtype uint8 (got int64). Got a list");
  const auto floats = ndtorch::detail::type_is<tensor_t<const float>>();
  EXPECT_CONTAINS(reason(floats, "np.ones(2, 'c8')"), "expected dtype float32 (got complex64)");
  EXPECT_CONTAINS(reason(floats, "np.ones(2, 'c8')"),
                  "Take array.real, array.imag or np.abs(array)");
  EXPECT_CONTAINS(reason(floats, "torch.ones(2, dtype=torch.complex64)"), "Take tensor.real");
  EXPECT_CONTAINS(reason(floats, "[1j]"), "a complex number doesn't fit Float. Take its real part");
}

TEST(same_kind, lets_pythons_integers_be_of_any_integer_type_that_holds_them) {
  EXPECT_EQ(outcome_of<tensor_t<const std::uint8_t>>(eval("[0, 255]"), true), outcome::copied);
  EXPECT_EQ(outcome_of<tensor_t<const std::int8_t>>(eval("[-128, True]"), true), outcome::copied);
  EXPECT_EQ(outcome_of<tensor_t<const std::uint8_t>>(eval("[np.int64(255)]"), true),
            outcome::copied);
  EXPECT_EQ(outcome_of<tensor_t<const bool>>(eval("[0, 1]"), true), outcome::refused);
  EXPECT_EQ(outcome_of<tensor_t<const bool>>(eval("[True]"), true), outcome::copied);
}

TEST(exact_dtype, copies_a_layout_and_casts_nothing) {
  using exact = tensor_t<const float, exact_dtype>;
  EXPECT_EQ(outcome_of<exact>(eval("np.ones(3, 'f4')"), true), outcome::shared);
  EXPECT_EQ(outcome_of<exact>(eval("np.arange(3, dtype='f4')[::-1]"), true), outcome::copied);
  EXPECT_EQ(outcome_of<exact>(eval("np.arange(3, dtype='>f4')"), true), outcome::copied);
  EXPECT_EQ(outcome_of<exact>(eval("np.zeros(13, 'u1')[1:].view('f4')"), true), outcome::copied);
  EXPECT_EQ(outcome_of<exact>(eval("[1.5, 2.5]"), true), outcome::copied);
  for (const char* other : {"np.ones(3)", "np.ones(3, 'f2')", "np.ones(3, 'i4')", "[1, 2]",
                            "[np.float64(1)]", "np.arange(3.)[::-1]", "torch.ones(2).double()"}) {
    SCOPED_TRACE(other);
    EXPECT_EQ(outcome_of<exact>(eval(other), true), outcome::refused);
    EXPECT_CONTAINS(message_of<py::type_error>([&] { exact::from(eval(other)); }),
                    "expected dtype float32 (got ");
  }
}

TEST(any_cast, casts_as_tensor_to_does) {
  using any = tensor_t<const std::int32_t, any_cast>;
  const auto taken = load<any>(eval("np.array([1.9, -1.9])"), true);
  ASSERT_TRUE(taken.has_value());
  EXPECT_TRUE(same_elements(elements(*taken), eval("np.array([1, -1], 'i4')")));
  EXPECT_FALSE(load<any>(eval("np.array([1.9, -1.9])"), false).has_value());
  const auto real = load<tensor_t<const float, any_cast>>(eval("np.array([1 + 2j])"), true);
  ASSERT_TRUE(real.has_value());
  EXPECT_TRUE(same_elements(elements(*real), eval("np.array([1], 'f4')")));
}

// An object that only NumPy knows how to read, as a table of pandas or a picture of PIL's.
constexpr char table[] =
    "type('table', (), {'__array__': lambda self, dtype=None, copy=None: np.ones((2, 2), '%s')})()";

std::string table_of(const std::string& dtype) {
  std::string text = table;
  return text.replace(text.find("%s"), 2, dtype);
}

TEST(a_table, is_taken_without_conversion_where_its_array_meets_all) {
  EXPECT_TRUE(load<tensor_t<const float>>(eval(table_of("f4")), false).has_value());
  EXPECT_TRUE(load<tensor_t<>>(eval(table_of("f4")), false).has_value());
  EXPECT_FALSE(load<tensor_t<const float>>(eval(table_of("f8")), false).has_value());
  EXPECT_FALSE(load<tensor_t<const float>>(eval(table_of(">f4")), false).has_value());
  EXPECT_FALSE((load<tensor_t<const float, ndtorch::ndim<1>>>(eval(table_of("f4")), false)));
  // Who writes can't tell whether that is the table's own memory.
  EXPECT_FALSE(load<tensor_t<float>>(eval(table_of("f4")), false).has_value());
  EXPECT_FALSE(load<tensor_t<float>>(eval(table_of("f4")), true).has_value());
}

PYBIND11_EMBEDDED_MODULE(casts, module) {
  module.def("which", [](const tensor_t<const double>&) { return "double"; });
  module.def("which", [](const tensor_t<const float>&) { return "float"; });
  module.def("which", [](const tensor_t<const std::int64_t>&) { return "int64"; });
  module.def("other", [](const tensor_t<const std::int64_t>&) { return "int64"; });
  module.def("other", [](const tensor_t<const float>&) { return "float"; });
  module.def("other", [](const tensor_t<const double>&) { return "double"; });
  module.def("variant",
             [](const std::variant<tensor_t<const float>, tensor_t<const double>>& either) {
               return either.index();
             });
}

std::string which(const char* function, const std::string& object) {
  return py::module_::import("casts").attr(function)(eval(object)).cast<std::string>();
}

TEST(overloads, take_the_type_that_came_whatever_their_order) {
  for (const char* function : {"which", "other"}) {
    SCOPED_TRACE(function);
    EXPECT_EQ(which(function, "np.ones(2, 'f4')"), "float");
    EXPECT_EQ(which(function, "np.ones(2)"), "double");
    EXPECT_EQ(which(function, "np.ones(2, 'i8')"), "int64");
    EXPECT_EQ(which(function, table_of("f4")), "float");
    EXPECT_EQ(which(function, table_of("f8")), "double");
  }
  // What no overload has goes to the first that loses nothing.
  EXPECT_EQ(which("other", "[1, 2]"), "int64");
  EXPECT_EQ(which("other", "[1.5, 2]"), "float");
  EXPECT_EQ(which("which", "[1, 2]"), "double");
}

TEST(a_variant, holds_the_type_that_came) {
  const auto index = [](const std::string& object) {
    return py::module_::import("casts").attr("variant")(eval(object)).cast<int>();
  };
  EXPECT_EQ(index("np.ones(2, 'f4')"), 0);
  EXPECT_EQ(index("np.ones(2)"), 1);
  EXPECT_EQ(index(table_of("f8")), 1);
  EXPECT_EQ(index("np.arange(2.)[::-1]"), 0);  // copied, by the first that can
}

}  // namespace
