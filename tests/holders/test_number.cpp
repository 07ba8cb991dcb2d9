// ndtorch/from_numpy.h: what tensor, Tensor and as_tensor make of Python's numbers and NumPy's,
// alone and in a sequence.
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/typed.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::dtype_entry;
using ndtorch::detail::dtypes;
using test::default_dtype;
using test::description;
using test::description_by_torch;
using test::eval;
using test::expect_as_torch;
using test::expect_elements;
using test::expect_starts_with;
using test::is_true;
using test::message_of;
using test::references;
using test::refusal_of;

TEST(numbers, have_the_dtype_that_torch_infers) {
  for (const std::string& number : std::vector<std::string>{
           "True", "3", "-2**63", "2**63 - 1", "2.5", "-0.0", "float('nan')", "float('inf')",
           "1e300", "-1e300", "1 + 2j", "complex('inf')", "__import__('socket').AF_INET"}) {
    expect_as_torch(number);
    expect_as_torch("[" + number + "]");
    expect_as_torch("[[" + number + "], (" + number + ",)]");
  }
}

TEST(numbers, of_numpy_keep_their_dtype) {
  for (const dtype_entry& entry : dtypes) {
    SCOPED_TRACE(entry.name);
    const py::array one =
        test::array("np.ones((), d)", py::arg("d") = ndtorch::numpy_dtype(entry.scalar_type));
    const py::object scalar = eval("one[()]", py::arg("one") = one);
    ASSERT_TRUE(is_true("isinstance(x, np.generic)", py::arg("x") = scalar));
    expect_elements(ndtorch::tensor(scalar), one);
    expect_elements(ndtorch::as_tensor(scalar), one);
    expect_elements(ndtorch::tensor(eval("[x, x]", py::arg("x") = scalar)),
                    test::array("np.stack([one, one])", py::arg("one") = one));
  }
  EXPECT_EQ(ndtorch::tensor(eval("np.longlong(3)")).scalar_type(), at::kLong);
}

TEST(numbers, that_mix_are_promoted_as_in_torch) {
  for (const char* expression :
       {"[True, 2]", "[1, 2.5]", "[2.5, True]", "[1, 2j]", "[1.5, 2j]", "[True, 1, 2.5, 3j]",
        "[[1, 2], [3, 4.5]]", "[np.int8(1), 2]", "[np.float32(1), 2.5]", "[np.float16(1), 2.5]",
        "[np.float64(1), 2.5]", "[np.float16(1), 2]", "[np.uint8(1), np.int8(-1)]",
        "[np.int8(1), np.int16(300)]", "[np.int64(1), np.float16(2)]", "[np.complex64(1j), 2.5]",
        "[np.complex64(1j), np.float64(2)]", "[np.uint16(1), np.uint16(2)]"}) {
    expect_as_torch(expression);
  }
  // PyTorch has no rule for these.
  const test::python_error of_torch =
      test::raised_by_python("torch.tensor([np.uint16(1), np.int32(2)])");
  EXPECT_EQ(of_torch.type, "RuntimeError");
  EXPECT_EQ(refusal_of<std::runtime_error>(eval("[np.uint16(1), np.int32(2)]"),
                                           [](py::handle data) { ndtorch::tensor(data); }),
            of_torch.text);
}

TEST(numbers, follow_the_default_dtype) {
  for (const at::ScalarType type : {at::kDouble, at::kHalf, at::kBFloat16}) {
    const default_dtype as(type);
    SCOPED_TRACE(c10::toString(type));
    for (const char* expression : {"2.5", "[1, 2.5]", "[]", "[[], []]", "True", "[3]",
                                   "np.float32(1)", "[np.float16(1), 2.5]"}) {
      expect_as_torch(expression);
    }
    if (type == at::kBFloat16) continue;  // has no complex twin
    for (const char* expression : {"1j", "[1, 2j]", "[2.5, 2j]"}) expect_as_torch(expression);
  }
}

TEST(numbers, that_are_complex_need_a_dtype_where_the_default_has_no_complex_twin) {
  const default_dtype as(at::kBFloat16);
  const test::python_error of_torch = test::raised_by_python("torch.tensor([1j])");
  EXPECT_EQ(of_torch.type, "RuntimeError");
  const py::object data = eval("[1j]");
  const std::string message =
      refusal_of<std::runtime_error>(data, [](py::handle list) { ndtorch::tensor(list); });
  expect_starts_with(message, of_torch.text);
  EXPECT_CONTAINS(message, "Say the dtype in the options.");
  expect_elements(ndtorch::tensor(data, at::kComplexFloat), test::array("np.array([1j], 'c8')"));
}

TEST(numbers, are_stored_in_every_dtype_as_by_torch) {
  for (const dtype_entry& entry : dtypes) {
    for (const std::string& number : std::vector<std::string>{"0", "1", "True", "100", "2.5"}) {
      if (entry.scalar_type == at::kUInt64 && number == "2.5") continue;  // PyTorch takes ints only
      SCOPED_TRACE(number + " as " + entry.name);
      const std::string list = "[" + number + ", " + number + "]";
      EXPECT_TRUE(description(ndtorch::tensor(eval(list), entry.scalar_type))
                      .equal(description_by_torch("torch.tensor(" + list + ", dtype=torch." +
                                                  entry.name + ")")));
    }
  }
}

TEST(numbers, beyond_a_floating_dtype_become_what_torch_makes_of_them) {
  for (const dtype_entry& entry : dtypes) {
    if (!c10::isFloatingType(entry.scalar_type) && !c10::isComplexType(entry.scalar_type)) continue;
    for (const std::string& number :
         std::vector<std::string>{"-1", "70000", "1e39", "-1e300", "2**64", "float('inf')"}) {
      SCOPED_TRACE(number + " as " + entry.name);
      EXPECT_TRUE(description(ndtorch::tensor(eval(number), entry.scalar_type))
                      .equal(description_by_torch("torch.tensor(" + number + ", dtype=torch." +
                                                  entry.name + ")")));
    }
  }
}

struct number_that_does_not_fit {
  const char* number;
  at::ScalarType type;
  const char* torch_dtype;
  const char* exception;
  const char* remedy;
};

TEST(numbers, that_do_not_fit_are_refused) {
  const number_that_does_not_fit table[] = {
      {"300", at::kByte, "uint8", "RuntimeError", "Got 300. Ask for a dtype that holds it."},
      {"-129", at::kChar, "int8", "RuntimeError", "Got -129. Ask for a dtype that holds it."},
      {"2**31", at::kInt, "int32", "RuntimeError", "Got 2147483648. Ask for a dtype"},
      {"70000", at::ScalarType::UInt16, "uint16", "RuntimeError", "Got 70000. Ask for a dtype"},
      {"1e20", at::kLong, "int64", "RuntimeError", "Got 1e+20. Ask for a dtype that holds it."},
      {"float('nan')", at::kInt, "int32", "RuntimeError", "Got nan. Ask for a dtype"},
      {"np.int64(300)", at::kByte, "uint8", "RuntimeError", "Got 300. Ask for a dtype"},
      {"np.float64(1e300)", at::kLong, "int64", "RuntimeError", "Got 1e+300. Ask for a dtype"},
      {"2**63", at::kLong, "int64", "ValueError", "doesn't fit Long. Ask for a floating dtype, or"},
      {"-2**63 - 1", at::kInt, "int32", "ValueError", "doesn't fit Int. Ask for a floating dtype"},
      {"1j", at::kFloat, "float32", "TypeError", "Take its real part, or ask for a complex dtype."},
      {"10**400", at::kDouble, "float64", "OverflowError", ""},
  };
  for (const auto& [number, type, torch_dtype, exception, remedy] : table) {
    for (const std::string& expression :
         std::vector<std::string>{std::string(number), "[" + std::string(number) + "]"}) {
      SCOPED_TRACE(expression + " as " + torch_dtype);
      const test::python_error of_torch = test::raised_by_python(
          "torch.tensor(" + expression + ", dtype=torch." + torch_dtype + ")");
      const py::object data = eval(expression);
      const at::ScalarType wanted = type;
      const test::python_error error = test::raised_by([&] { ndtorch::tensor(data, wanted); });
      EXPECT_EQ(of_torch.type, exception);
      EXPECT_EQ(error.type, exception);
      expect_starts_with(error.text, of_torch.text);
      EXPECT_CONTAINS(error.text, remedy);
    }
  }
}

// The largest int64 and uint64 are no doubles. PyTorch takes what they round to for int64, and makes
// the lowest number of it.
TEST(numbers, of_doubles_must_be_below_the_next_power_of_two) {
  const auto refused = [](const char* number, at::ScalarType dtype) {
    return message_of<std::runtime_error>([&] { ndtorch::tensor(eval(number), dtype); });
  };
  EXPECT_CONTAINS(refused("2.0**63", at::kLong),
                  "int64 without overflow. Got 9.223372036854776e+18.");
  EXPECT_CONTAINS(refused("2.0**64", at::kUInt64),
                  "uint64 without overflow. Got 1.8446744073709552e+19.");
  EXPECT_CONTAINS(refused("[np.float32(2**63)]", at::kLong), "int64 without overflow");
  EXPECT_EQ(ndtorch::tensor(eval("2.0**63 - 1024"), at::kLong).item<std::int64_t>(),
            std::int64_t{9223372036854774784});
  EXPECT_EQ(ndtorch::tensor(eval("-2.0**63"), at::kLong).item<std::int64_t>(),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(*static_cast<const std::uint64_t*>(
                ndtorch::tensor(eval("2.0**63"), at::kUInt64).const_data_ptr()),
            std::uint64_t{1} << 63U);
}

TEST(numbers, of_64_unsigned_bits_fit_only_their_own_dtype) {
  const py::object largest = eval("2**64 - 1");
  expect_elements(ndtorch::tensor<std::uint64_t>(largest),
                  test::array("np.array(2**64 - 1, 'u8')"));
  for (const char* number : {"2**64", "-1", "-2**63 - 1", "[-1]", "np.int8(-1)"}) {
    SCOPED_TRACE(number);
    EXPECT_CONTAINS(
        refusal_of<py::value_error>(eval(number),
                                    [](py::handle data) { ndtorch::tensor<std::uint64_t>(data); }),
        "doesn't fit UInt64. Ask for a ");
  }
}

// What has __float__, __index__ or __complex__, and no dtype of its own.
constexpr const char* others_numbers = R"(
import decimal, fractions, warnings
warnings.simplefilter('ignore')  # of complex numbers that become real ones
class index:
    def __index__(self): return 3
class real:
    def __float__(self): return 2.5
class both(index, real): pass
class cplx:
    def __complex__(self): return 1 + 2j
class huge:
    def __index__(self): return 2**70
class broken:
    def __float__(self): return 1 / 0
    def __index__(self): return 1 // 0
class liar:
    def __float__(self): return 3
    def __index__(self): return 3.
numbers = dict(
    decimal=decimal.Decimal('2.5'), nan=decimal.Decimal('nan'), signalling=decimal.Decimal('snan'),
    fraction=fractions.Fraction(5, 2), longdouble=np.longdouble(2.5), clongdouble=np.clongdouble(2 + 1j),
    index=index(), real=real(), both=both(), complex=cplx(), huge=huge(), broken=broken(), liar=liar(),
    delta=np.timedelta64(3, 's'), date=np.datetime64(3, 's'), text=np.str_('3'))
)";

TEST(numbers, of_others_are_taken_with_a_dtype_as_by_torch) {
  test::import_torch();
  const py::dict names = test::exec(others_numbers);
  const py::dict numbers = names["numbers"];
  for (const auto& [name, number] : numbers) {
    for (const at::ScalarType type :
         {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kLong, at::kByte, at::kBool,
          at::kComplexFloat, at::kComplexDouble}) {
      for (const char* form : {"x", "[x]", "[1, x]", "[[x], [2]]"}) {
        const std::string dtype(c10::getDtypeNames(type).first);
        SCOPED_TRACE(std::string(py::str(name)) + " in " + form + " as " + dtype);
        const py::object data = eval(form, py::arg("x") = number);
        if (std::string(py::str(name)) == "text" && data.ptr() != number.ptr()) continue;
        const py::dict locals(py::arg("x") = number);
        const Py_ssize_t before = references(number);
        py::object theirs;
        const test::python_error of_torch = [&]() -> test::python_error {
          try {
            theirs = test::eval_in(
                "torch.tensor(" + std::string(form) + ", dtype=torch." + dtype + ").tolist()",
                locals);
            return {};
          } catch (const py::error_already_set& error) {
            return {error.type().attr("__name__").cast<std::string>(), py::str(error.value())};
          }
        }();
        if (theirs) {
          for (const at::Tensor& ours :
               {ndtorch::tensor(data, type), ndtorch::as_tensor(data, type)}) {
            EXPECT_TRUE(
                is_true("repr(torch.from_numpy(o).tolist() if o.dtype != 'V2' else t) == repr(t)",
                        py::arg("o") =
                            ndtorch::to_numpy(type == at::kBFloat16 ? ours.to(at::kFloat) : ours),
                        py::arg("t") = theirs));
          }
        } else {
          const test::python_error raised = test::raised_by([&] { ndtorch::tensor(data, type); });
          EXPECT_EQ(raised.type, of_torch.type) << raised.text;
        }
        EXPECT_EQ(references(number), before);
      }
    }
  }
}

TEST(numbers, of_others_need_a_dtype) {
  const py::dict names = test::exec(others_numbers);
  const py::dict numbers = names["numbers"];
  for (const char* name : {"decimal", "fraction", "index", "real", "complex", "broken"}) {
    SCOPED_TRACE(name);
    const py::object number = numbers[name];
    for (const char* form : {"x", "[x]", "[1, x]"}) {
      const std::string message = refusal_of<py::type_error>(
          eval(form, py::arg("x") = number), [](py::handle data) { ndtorch::tensor(data); });
      EXPECT_CONTAINS(message, "Could not infer dtype of ");
      EXPECT_CONTAINS(message,
                      ". Say the dtype in the options, or convert it first, with float(number).");
    }
  }
  EXPECT_CONTAINS(refusal_of<py::type_error>(eval("np.longdouble(1)"),
                                             [](py::handle x) { ndtorch::tensor(x); }),
                  "can't convert np.ndarray of type numpy.longdouble.");
}

TEST(numbers, of_others_that_are_no_ints_say_so) {
  const py::object number = eval("__import__('decimal').Decimal('2.5')");
  EXPECT_EQ(
      refusal_of<py::type_error>(number, [](py::handle x) { ndtorch::tensor<std::int64_t>(x); }),
      "'decimal.Decimal' object cannot be interpreted as an integer: it doesn't fit Long. Ask "
      "for a floating or complex dtype, or take int(float(number)).");
  EXPECT_EQ(ndtorch::tensor<std::int64_t>(eval("int(float(x))", py::arg("x") = number))
                .item<std::int64_t>(),
            2);
  // PyTorch takes ints themselves only for this dtype.
  EXPECT_EQ(*static_cast<const std::uint64_t*>(
                ndtorch::tensor<std::uint64_t>(
                    eval("type('number', (), {'__index__': lambda self: 2**64 - 1})()"))
                    .const_data_ptr()),
            UINT64_MAX);
}

TEST(numbers, of_others_choose_the_overload_that_holds_them) {
  auto module = test::new_module();
  module.def("f", [](const ndtorch::tensor_t<const std::int64_t>&) { return "int64"; });
  module.def("f", [](const ndtorch::tensor_t<const double>&) { return "double"; });
  module.def(
      "g", [](const ndtorch::tensor_t<const double>&) { return "double"; },
      py::arg("x").noconvert());
  const py::dict names = test::exec(others_numbers);
  const py::dict numbers = names["numbers"];
  EXPECT_EQ(module.attr("f")(numbers["decimal"]).cast<std::string>(), "double");
  EXPECT_EQ(module.attr("f")(numbers["longdouble"]).cast<std::string>(), "double");
  EXPECT_EQ(module.attr("f")(numbers["index"]).cast<std::string>(), "int64");
  for (const char* name : {"decimal", "longdouble", "index", "broken"}) {
    EXPECT_EQ(test::raised_by([&] { module.attr("g")(numbers[name]); }).type, "TypeError");
  }
  EXPECT_EQ(test::raised_by([&] { module.attr("f")(numbers["broken"]); }).type, "TypeError");
}

TEST(numbers, become_true_unless_they_are_zero) {
  expect_elements(
      ndtorch::tensor<bool>(eval("[0, 2, 0.0, 0.5, float('nan'), 0j, 1j, False, 2**100]")),
      test::array("np.array([0, 1, 0, 1, 1, 0, 1, 0, 1], bool)"));
}

TEST(numbers, are_values_for_Tensor_and_no_sizes) {
  for (const char* number : {"3", "2.5", "True", "np.int8(3)", "np.float64(0.1)"}) {
    SCOPED_TRACE(number);
    expect_elements(ndtorch::Tensor(eval(number)),
                    test::array("np.array(x, 'f4')", py::arg("x") = eval(number)));
  }
}

}  // namespace
