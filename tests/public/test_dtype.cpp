// ndtorch/dtype.h
#include <ndtorch/dtype.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/dtypes.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::built_in_dtypes;
using test::eval;
using test::message_of;

py::object numpy_name(const std::string& name) {
  return eval("np.dtype(name)", py::arg("name") = name);
}

py::object ml_dtypes_name(const std::string& name) {
  return eval("np.dtype(getattr(ml_dtypes, name))", py::arg("name") = name);
}

TEST(scalar_type, knows_every_built_in_dtype) {
  for (const auto& [name, type] : built_in_dtypes) {
    SCOPED_TRACE(name);
    EXPECT_EQ(ndtorch::scalar_type(numpy_name(name)), type);
  }
}

TEST(scalar_type, knows_every_torch_dtype_of_ml_dtypes) {
  for (const auto& [name, type] : test::ml_dtypes) {
    SCOPED_TRACE(name);
    EXPECT_EQ(ndtorch::scalar_type(ml_dtypes_name(name)), type);
  }
}

TEST(scalar_type, takes_what_numpy_dtype_takes) {
  EXPECT_EQ(ndtorch::scalar_type(eval("np.dtype('float32')")), at::kFloat);
  EXPECT_EQ(ndtorch::scalar_type(eval("np.float32")), at::kFloat);
  EXPECT_EQ(ndtorch::scalar_type(eval("'float32'")), at::kFloat);
  EXPECT_EQ(ndtorch::scalar_type(eval("'f4'")), at::kFloat);
  EXPECT_EQ(ndtorch::scalar_type(eval("float")), at::kDouble);
  EXPECT_EQ(ndtorch::scalar_type(eval("bool")), at::kBool);
  EXPECT_EQ(ndtorch::scalar_type(eval("complex")), at::kComplexDouble);
  EXPECT_EQ(ndtorch::scalar_type(eval("ml_dtypes.bfloat16")), at::kBFloat16);
}

// `long` and `long long` (and on other platforms `int` and `long`) are two type numbers in NumPy.
TEST(scalar_type, tells_integers_apart_by_size_and_not_by_number) {
  ASSERT_NE(py::cast<int>(eval("np.dtype('long').num")),
            py::cast<int>(eval("np.dtype('longlong').num")));
  for (const char* name : {"byte", "short", "intc", "long", "longlong", "intp", "ubyte", "ushort",
                           "uintc", "ulong", "ulonglong", "uintp"}) {
    SCOPED_TRACE(name);
    const py::object dtype = numpy_name(name);
    const py::object same = eval("np.dtype(f'{d.kind}{d.itemsize}')", py::arg("d") = dtype);
    EXPECT_EQ(ndtorch::scalar_type(dtype), ndtorch::scalar_type(same));
  }
  EXPECT_EQ(ndtorch::scalar_type(eval("'longlong'")), at::kLong);
  EXPECT_EQ(ndtorch::scalar_type(eval("'ulonglong'")), at::kUInt64);
}

TEST(scalar_type, ignores_the_byte_order) {
  for (const char* order : {"<", ">", "="}) {
    SCOPED_TRACE(order);
    EXPECT_EQ(ndtorch::scalar_type(py::str(std::string(order) + "f8")), at::kDouble);
    EXPECT_EQ(ndtorch::scalar_type(py::str(std::string(order) + "u2")), at::kUInt16);
    EXPECT_EQ(ndtorch::scalar_type(py::str(std::string(order) + "c8")), at::kComplexFloat);
  }
}

struct unsupported {
  const char* dtype;      // an expression
  const char* type_name;  // of its scalars, as PyTorch's message has it
  const char* text;       // of the dtype
};

const unsupported unsupported_dtypes[] = {
    {"'O'", "numpy.object_", "object"},
    // The size of a uint32 and of a uint64, and the kind 'U' beside their 'u'.
    {"'U1'", "numpy.str_", "<U1"},
    {"'U2'", "numpy.str_", "<U2"},
    {"'S1'", "numpy.bytes_", "|S1"},
    {"'S8'", "numpy.bytes_", "|S8"},
    {"np.dtypes.StringDType()", "str", "StringDType()"},
    {"'M8[s]'", "numpy.datetime64", "datetime64[s]"},
    {"'m8[us]'", "numpy.timedelta64", "timedelta64[us]"},
    {"'V4'", "numpy.void", "|V4"},
    {"[('x', 'f4'), ('y', 'i4')]", "numpy.void", "[('x', '<f4'), ('y', '<i4')]"},
    {"'(2,)f4'", "numpy.void", "('<f4', (2,))"},
    {"np.longdouble", "numpy.longdouble", "float128"},
    {"np.clongdouble", "numpy.clongdouble", "complex256"},
    {"ml_dtypes.float8_e3m4", "ml_dtypes.float8_e3m4", "float8_e3m4"},
    {"ml_dtypes.int4", "ml_dtypes.int4", "int4"},
    {"ml_dtypes.bcomplex32", "ml_dtypes.bcomplex32", "bcomplex32"},
    {"__import__('numpy')._core._rational_tests.rational", "numpy._core._rational_tests.rational",
     "rational"},
    // NumPy's own example of a dtype of the new kind: it has no scalar type at all.
    {"np._core._multiarray_umath._get_sfloat_dtype()(1.0)", "numpy._ScaledFloatTestDType",
     "_ScaledFloatTestDType(scaling=1.0)"},
};

TEST(scalar_type, refuses_what_torch_lacks_and_lists_what_there_is) {
  py::module_::import("numpy._core._rational_tests");
  for (const auto& [expression, type_name, text] : unsupported_dtypes) {
    SCOPED_TRACE(expression);
    const py::object dtype = eval(expression);
    const std::string message = message_of<py::type_error>([&] { ndtorch::scalar_type(dtype); });
    EXPECT_EQ(message.find("can't convert np.ndarray of type " + std::string(type_name) +
                           ". The only supported types are: "),
              0U)
        << message;
    EXPECT_CONTAINS(message, "Got dtype " + std::string(text) + ".");
    EXPECT_CONTAINS(message, "Convert the data to one of these first");
    for (const auto& [name, _] : built_in_dtypes) EXPECT_CONTAINS(message, name);
    for (const auto& [name, _] : test::ml_dtypes) EXPECT_CONTAINS(message, name);
  }
}

TEST(scalar_type, refuses_what_is_no_dtype) {
  const std::vector<std::pair<const char*, const char*>> table = {{"None", "NoneType"},
                                                                  {"3", "int"},
                                                                  {"'no such dtype'", "str"},
                                                                  {"np.zeros(2)", "numpy.ndarray"},
                                                                  {"'(2,'", "str"}};
  for (const auto& [expression, type] : table) {
    SCOPED_TRACE(expression);
    const py::object object = eval(expression);
    const Py_ssize_t before = test::references(object);
    const std::string message = message_of<py::type_error>([&] { ndtorch::scalar_type(object); });
    EXPECT_CONTAINS(message, "expected a NumPy dtype (got " + std::string(type) + ")");
    EXPECT_CONTAINS(message, "Pass numpy.dtype(...)");
    EXPECT_EQ(test::references(object), before);
  }
  EXPECT_CONTAINS(message_of<py::type_error>([] { ndtorch::scalar_type(py::handle()); }),
                  "expected a NumPy dtype (got a null handle)");
}

TEST(scalar_type, passes_on_an_interrupt) {
  const py::object interrupting = test::exec(R"(
class Interrupting:
    @property
    def dtype(self):
        raise KeyboardInterrupt
)")["Interrupting"]();
  if (test::raised_by([&] { eval("np.dtype(x)", py::arg("x") = interrupting); }).type ==
      "TypeError") {
    GTEST_SKIP() << "this NumPy makes a TypeError of it";
  }
  try {
    ndtorch::scalar_type(interrupting);
    ADD_FAILURE() << "nothing was thrown";
  } catch (py::error_already_set& error) {
    EXPECT_TRUE(error.matches(PyExc_KeyboardInterrupt)) << error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "the interrupt became: " << error.what();
  }
}

TEST(numpy_dtype, gives_numpys_own_object_for_every_built_in_type) {
  for (const auto& [name, type] : built_in_dtypes) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(ndtorch::numpy_dtype(type).is(numpy_name(name)));
  }
}

TEST(numpy_dtype, gives_the_dtypes_of_ml_dtypes) {
  for (const auto& [name, type] : test::ml_dtypes) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(ndtorch::numpy_dtype(type).equal(ml_dtypes_name(name)));
  }
}

TEST(numpy_dtype, agrees_with_what_torch_exports) {
  for (const auto& [name, type] : built_in_dtypes) {
    SCOPED_TRACE(name);
    const py::object exported =
        eval("torch.zeros(1, dtype=getattr(torch, name)).numpy().dtype", py::arg("name") = name);
    EXPECT_TRUE(ndtorch::numpy_dtype(type).equal(exported));
  }
}

TEST(numpy_dtype, is_undone_by_scalar_type_for_every_type_or_throws) {
  std::size_t known = 0;
  for (int number = 0; number < static_cast<int>(at::ScalarType::NumOptions); ++number) {
    const auto type = static_cast<at::ScalarType>(number);
    SCOPED_TRACE(c10::toString(type));
    try {
      EXPECT_EQ(ndtorch::scalar_type(ndtorch::numpy_dtype(type)), type);
      ++known;
    } catch (const py::type_error& error) {
      EXPECT_CONTAINS(error.what(),
                      "Got unsupported ScalarType " + std::string(c10::toString(type)) + ". ");
    }
    EXPECT_EQ(PyErr_Occurred(), nullptr);
  }
  EXPECT_EQ(known, test::all_dtypes().size());
}

TEST(numpy_dtype, names_the_remedy_for_what_numpy_lacks) {
  for (const at::ScalarType type : {at::kQInt8, at::kQUInt8, at::kQInt32, at::kQUInt4x2}) {
    SCOPED_TRACE(c10::toString(type));
    EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::numpy_dtype(type); }),
                    "call tensor.dequantize() or tensor.int_repr() first");
  }
  for (const at::ScalarType type :
       {at::ScalarType::Bits8, at::ScalarType::UInt4, at::ScalarType::Undefined}) {
    SCOPED_TRACE(c10::toString(type));
    EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::numpy_dtype(type); }),
                    "read its bytes, with tensor.view(at::kByte)");
  }
}

TEST(numpy_dtype, gives_a_reference_that_ends_with_it) {
  const py::object dtype = numpy_name("float32");
  const Py_ssize_t before = test::references(dtype);
  {
    const py::dtype again = ndtorch::numpy_dtype(at::kFloat);
    // NumPy 2.5 makes its own dtypes immortal, where Python can: nothing counts them then.
    const bool immortal = before > std::numeric_limits<std::int32_t>::max();
    EXPECT_EQ(test::references(dtype), before + (immortal ? 0 : 1));
  }
  for (int i = 0; i < 1000; ++i) {
    ndtorch::scalar_type(dtype);
    ndtorch::scalar_type(py::str("float32"));
    ndtorch::numpy_dtype(at::kFloat);
  }
  EXPECT_EQ(test::references(dtype), before);
}

TEST(without_ml_dtypes, its_dtypes_are_a_type_error_that_says_what_to_install) {
  const test::import_replaced missing("ml_dtypes", py::none());
  for (const test::named_dtype& one : test::ml_dtypes) {
    SCOPED_TRACE(one.name);
    const std::string message = message_of<py::type_error>([&] { ndtorch::numpy_dtype(one.type); });
    EXPECT_CONTAINS(message, "Got unsupported ScalarType");
    EXPECT_CONTAINS(message, "NumPy has no " + one.name + " of its own");
    EXPECT_CONTAINS(message, "pip install --upgrade ml_dtypes");
    EXPECT_CONTAINS(message, "ndtorch::to_numpy<float>(tensor)");
  }
}

TEST(without_ml_dtypes, an_old_one_that_lacks_the_dtype_is_the_same_error) {
  const py::object old = eval("type(np)('ml_dtypes')");
  const test::import_replaced replaced("ml_dtypes", old);
  EXPECT_CONTAINS(
      message_of<py::type_error>([] { ndtorch::numpy_dtype(at::ScalarType::Float8_e8m0fnu); }),
      "install a current ml_dtypes");
}

TEST(without_ml_dtypes, another_failure_while_it_loads_is_passed_on) {
  const py::dict broken = test::exec(R"(
module = type(np)('ml_dtypes')
def fail(name):
    raise MemoryError('while loading ' + name)
module.__getattr__ = fail
)");
  const test::import_replaced replaced("ml_dtypes", broken["module"]);
  EXPECT_CONTAINS(message_of<py::error_already_set>([] { ndtorch::numpy_dtype(at::kBFloat16); }),
                  "MemoryError: while loading bfloat16");
}

TEST(without_ml_dtypes, all_other_dtypes_work) {
  const py::object bfloat16 = ml_dtypes_name("bfloat16");
  const test::import_replaced missing("ml_dtypes", py::none());
  for (const auto& [name, type] : built_in_dtypes) {
    SCOPED_TRACE(name);
    EXPECT_EQ(ndtorch::scalar_type(ndtorch::numpy_dtype(type)), type);
  }
  // A dtype object that is there already is known without the package.
  EXPECT_EQ(ndtorch::scalar_type(bfloat16), at::kBFloat16);
}

}  // namespace
