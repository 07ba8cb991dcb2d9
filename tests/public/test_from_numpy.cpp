// ndtorch/from_numpy.h: from_numpy. The functions that copy are in test_tensor.cpp, and what
// writing to a read-only array does in test_copy_on_write.cpp.
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>

#include <complex>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "support/arrays.h"
#include "support/dtypes.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::on_read_only;
using ndtorch::detail::dtype_entry;
using ndtorch::detail::dtypes;
using test::array;
using test::at_the_same_address;
using test::eval;
using test::expect_starts_with;
using test::expect_view;
using test::is_true;
using test::message_of;
using test::refusal_of;

TEST(from_numpy, shares_memory_both_ways_for_every_dtype) {
  for (const dtype_entry& entry : dtypes) {
    SCOPED_TRACE(entry.name);
    const py::array source = test::six_of(entry.scalar_type);
    const at::Tensor tensor = ndtorch::from_numpy(source);
    EXPECT_EQ(tensor.scalar_type(), entry.scalar_type);
    EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 3}));
    EXPECT_EQ(tensor.strides(), at::IntArrayRef({3, 1}));
    expect_view(tensor, source);
    test::expect_writes_go_both_ways(tensor, source);
  }
}

TEST(from_numpy, is_a_plain_cpu_tensor_without_a_gradient) {
  const at::Tensor tensor = ndtorch::from_numpy(array("np.zeros(3)"));
  EXPECT_TRUE(tensor.device().is_cpu());
  EXPECT_EQ(tensor.layout(), at::kStrided);
  EXPECT_FALSE(tensor.requires_grad());
  EXPECT_TRUE(tensor.is_leaf());
  EXPECT_EQ(tensor.storage_offset(), 0);
}

TEST(from_numpy, takes_every_order_of_memory_that_a_tensor_has) {
  for (const char* layout : test::layouts) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    const at::Tensor tensor = ndtorch::from_numpy(source);
    expect_view(tensor, source);

    std::vector<std::int64_t> of_torch;
    for (const py::handle stride : eval("torch.from_numpy(a).stride()", py::arg("a") = source)) {
      of_torch.push_back(py::cast<std::int64_t>(stride));
    }
    EXPECT_EQ(tensor.strides(), at::IntArrayRef(of_torch));
  }
}

TEST(from_numpy, takes_0_to_64_dimensions) {
  for (int ndim = 0; ndim <= 64; ++ndim) {
    SCOPED_TRACE(ndim);
    const py::array source =
        array("np.arange(2. ** min(n, 3)).reshape((2,) * min(n, 3) + (1,) * (n - 3))",
              py::arg("n") = ndim);
    ASSERT_EQ(source.ndim(), ndim);
    expect_view(ndtorch::from_numpy(source), source);
  }
}

TEST(from_numpy, ignores_the_strides_of_axes_of_length_0_and_1) {
  for (const char* layout : test::unused_strides) {
    SCOPED_TRACE(layout);
    EXPECT_EQ(test::raised_by_python("torch.from_numpy(" + std::string(layout) + ")").type,
              "ValueError");
    const py::array source = array(layout);
    const at::Tensor tensor = ndtorch::from_numpy(source);
    expect_view(tensor, source);
    for (const std::int64_t stride : tensor.strides()) EXPECT_GE(stride, 0);
  }
}

TEST(from_numpy, has_a_storage_from_the_first_element_to_the_last) {
  const auto nbytes = [](const char* layout) {
    return ndtorch::from_numpy(array(layout)).storage().nbytes();
  };
  EXPECT_EQ(nbytes("np.zeros((2, 3))"), 48U);
  EXPECT_EQ(nbytes("np.zeros(24)[5:]"), 152U);
  EXPECT_EQ(nbytes("np.zeros((4, 6))[1:3, ::2]"), 88U);
  EXPECT_EQ(nbytes("np.broadcast_to(np.zeros(3), (100, 3))"), 24U);
  EXPECT_EQ(nbytes("np.zeros((2, 0))"), 0U);
  EXPECT_EQ(nbytes("np.array(1.)"), 8U);
}

TEST(from_numpy, takes_subclasses_as_plain_arrays) {
  const py::dict made = test::exec(R"(
import tempfile
class Odd(np.ndarray):
    def __getitem__(self, index): raise RuntimeError('not to be called')
    __iter__ = __len__ = __array__ = __getitem__
arrays = [
    np.matrix([[1., 2.], [3., 4.]]),
    np.rec.array([(1, 2.)], dtype='i8,f8').f0.view(np.recarray),
    np.memmap(tempfile.TemporaryFile(), 'f8', 'w+', shape=(2, 3)),
    np.arange(6.).view(Odd),
    np.ma.masked_array([1., 2.]),
    np.ma.masked_array([1., 2.], mask=[False, False]),
]
)");
  for (const py::handle item : made["arrays"]) {
    SCOPED_TRACE(test::text_of(py::type::of(item)));
    const auto source = py::reinterpret_borrow<py::array>(item);
    ASSERT_FALSE(py::type::of(source).is(eval("np.ndarray")));
    const at::Tensor tensor = ndtorch::from_numpy(source);
    EXPECT_TRUE(at_the_same_address(tensor, source));
    test::expect_elements(tensor, array("np.ndarray.view(a, np.ndarray)", py::arg("a") = source));
  }
}

TEST(from_numpy, needs_no_ml_dtypes_for_an_array_of_its_dtypes) {
  const py::array source = array("np.ones(3, ml_dtypes.bfloat16)");
  const test::import_replaced missing("ml_dtypes", py::none());
  const at::Tensor tensor = ndtorch::from_numpy(source);
  EXPECT_EQ(tensor.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at_the_same_address(tensor, source));
}

const auto share = [](py::handle argument) { ndtorch::from_numpy(argument); };

TEST(from_numpy, refuses_what_is_no_array_in_the_words_of_torch) {
  for (const char* expression : {"[1, 2]", "None", "3", "'text'", "np.float32(1)", "torch.ones(2)",
                                 "memoryview(b'ab')", "np.ndarray"}) {
    SCOPED_TRACE(expression);
    const std::string message = refusal_of<py::type_error>(eval(expression), share);
    const test::python_error of_torch =
        test::raised_by_python("torch.from_numpy(" + std::string(expression) + ")");
    EXPECT_EQ(of_torch.type, "TypeError");
    expect_starts_with(message, of_torch.text);
    EXPECT_CONTAINS(message, "Pass an array, or take other data with ndtorch::as_tensor.");
  }
}

TEST(from_numpy, refuses_a_null_handle) {
  EXPECT_CONTAINS(test::message_of<py::type_error>([] { ndtorch::from_numpy(py::handle()); }),
                  "expected np.ndarray (got a null handle)");
  EXPECT_CONTAINS(
      test::message_of<py::type_error>([] { ndtorch::from_numpy<float>(py::object()); }),
      "expected np.ndarray (got a null handle)");
}

struct refused_array {
  const char* expression;
  const char* remedy;
  const char* reason = nullptr;  // where PyTorch doesn't refuse it, or can't be asked
};

const refused_array refused_arrays[] = {
    {"np.arange(6.)[::-1]", "array.copy()"},
    {"np.arange(6.).reshape(2, 3)[:, ::-1]", "array.copy()"},
    {"np.zeros(2, 'i1,f4')['f1']", "array.copy()"},
    {"np.zeros((2, 3), 'i2,f4')['f1']", "array.copy()"},
    {"np.arange(6.).astype('>f8')", "array.astype(array.dtype.newbyteorder('='))"},
    {"np.arange(6).astype('>i2')[::2]", "array.astype(array.dtype.newbyteorder('='))"},
    {"np.arange(6.).astype('>c8')", "array.astype(array.dtype.newbyteorder('='))"},
    {"np.zeros((0, 3), '>f8')", "array.astype(array.dtype.newbyteorder('='))"},
    {"np.zeros(17, 'u1')[1:].view('f8')", "array.copy()",
     "given numpy array is not aligned for its dtype."},
    // NumPy calls it aligned, and LibTorch's loops load complex numbers whole: its cast crashed.
    {"np.arange(2049.)[1:].view('c16').reshape(16, 64)", "array.copy()",
     "given numpy array is not aligned for its dtype."},
    {"np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (2**62,))",
     "Check the shape and strides that were given to as_strided.",
     "given numpy array spans more bytes than a tensor can address."},
};

TEST(from_numpy, refuses_memory_that_no_tensor_can_describe) {
  for (const auto& [expression, remedy, reason] : refused_arrays) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    const std::string message = refusal_of<py::value_error>(source, share);
    if (reason != nullptr) {
      expect_starts_with(message, reason);
    } else {
      const test::python_error of_torch =
          test::raised_by_python("torch.from_numpy(" + std::string(expression) + ")");
      EXPECT_EQ(of_torch.type, "ValueError");
      expect_starts_with(message, of_torch.text);
    }
    EXPECT_CONTAINS(message, "Got an array of shape " + test::text_of(source.attr("shape")) +
                                 ", strides " + test::text_of(source.attr("strides")) +
                                 " bytes, dtype " + test::text_of(source.dtype()) + ". ");
    EXPECT_CONTAINS(message, remedy);
  }
}

TEST(from_numpy, refuses_other_dtypes_in_the_words_of_torch) {
  for (const char* expression : test::unsupported_arrays) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    test::python_error of_torch =
        test::raised_by_python("torch.from_numpy(" + std::string(expression) + ")");
    EXPECT_EQ(of_torch.type, "TypeError");
    of_torch.text.pop_back();  // its list ends there, ours goes on
    for (const std::string& message : {refusal_of<py::type_error>(source, share),
                                       refusal_of<py::type_error>(source, [](py::handle a) {
                                         ndtorch::from_numpy<float>(a);
                                       })}) {
      expect_starts_with(message, of_torch.text);
      EXPECT_CONTAINS(message, "with the package ml_dtypes also bfloat16, ");
      EXPECT_CONTAINS(
          message, "Got an array of shape " + test::text_of(source.attr("shape")) + ", strides (");
      EXPECT_CONTAINS(message, "dtype " + test::text_of(source.dtype()) + ". ");
      EXPECT_CONTAINS(message, "array.astype(np.float32)");
    }
  }
}

TEST(from_numpy, refuses_a_masked_array_with_masked_values) {
  for (const char* expression : test::masked_arrays) {
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    for (const std::string& message :
         {refusal_of<py::type_error>(source, share),
          refusal_of<py::type_error>(source, [](auto a) { ndtorch::from_numpy<double>(a); })}) {
      expect_starts_with(message, "can't convert a masked array with masked values");
      EXPECT_CONTAINS(message, "Got an array of shape (");
      EXPECT_CONTAINS(message, "Fill it first with array.filled(value)");
    }
  }
}

TEST(from_numpy_of_T, takes_arrays_of_its_dtype_and_no_other) {
  test::for_each_element_type([](auto zero) {
    using T = decltype(zero);
    const std::string expected = ndtorch::detail::find_dtype(ndtorch::scalar_type_of_v<T>)->name;
    for (const dtype_entry& entry : dtypes) {
      SCOPED_TRACE(expected + " from " + entry.name);
      const py::array source = test::six_of(entry.scalar_type);
      if (entry.scalar_type == ndtorch::scalar_type_of_v<T>) {
        expect_view(ndtorch::from_numpy<T>(source), source);
        continue;
      }
      const std::string message = refusal_of<py::type_error>(
          source, [](py::handle a) { return ndtorch::from_numpy<T>(a); });
      expect_starts_with(
          message, "expected np.ndarray of dtype " + expected + " (got " + entry.name + "). ");
      EXPECT_CONTAINS(message, "Got an array of shape (2, 3), strides (");
      EXPECT_CONTAINS(message, "Cast it with ndtorch::tensor<T>, or with array.astype(np." +
                                   expected + ") in Python.");
    }
  });
}

TEST(from_numpy_of_T, takes_both_of_numpys_types_for_one_integer) {
  for (const char* dtype : {"long", "longlong"}) {
    SCOPED_TRACE(dtype);
    const py::array source = array("np.arange(3).astype(d)", py::arg("d") = dtype);
    expect_view(ndtorch::from_numpy<std::int64_t>(source), source);
    expect_view(ndtorch::from_numpy<long long>(source), source);
  }
}

TEST(from_numpy_of_T, refuses_views_as_the_plain_form_does) {
  const auto text = [](const char* expression) {
    return refusal_of<py::value_error>(eval(expression),
                                       [](py::handle a) { ndtorch::from_numpy<double>(a); });
  };
  EXPECT_CONTAINS(text("np.zeros(2, '>f8')"), "byte order different");
  EXPECT_CONTAINS(text("np.arange(4.)[::-1]"), "is negative");
}

const char* const three_read_only_zeros = "np.frombuffer(bytes(24))";

TEST(on_read_only_error, refuses_a_read_only_array) {
  const py::array source = array(three_read_only_zeros);
  for (const std::string& message :
       {refusal_of<py::value_error>(source,
                                    [](auto a) { ndtorch::from_numpy(a, on_read_only::error); }),
        refusal_of<py::value_error>(
            source, [](auto a) { ndtorch::from_numpy<double>(a, on_read_only::error); })}) {
    expect_starts_with(message, "the given NumPy array is not writable. ");
    EXPECT_CONTAINS(message, "Got an array of shape (3,), strides (8,) bytes, dtype float64.");
    EXPECT_CONTAINS(message, "Copy it with ndtorch::tensor, or make it writable.");
  }
}

// The warnings that `function` makes, with one of Python's filters in force.
template <class Function>
py::list warnings_of(Function&& function, const char* filter = "always") {
  const py::object catcher = eval("__import__('warnings').catch_warnings(record=True)");
  const py::list caught = catcher.attr("__enter__")();
  py::module_::import("warnings").attr("simplefilter")(filter);
  const auto leave = [&] { catcher.attr("__exit__")(py::none(), py::none(), py::none()); };
  try {
    function();
  } catch (...) {
    leave();
    throw;
  }
  leave();
  return caught;
}

TEST(on_read_only_warn, warns_as_torch_does_and_gives_a_plain_view) {
  const py::array source = array(three_read_only_zeros);
  at::Tensor tensor;
  const py::list caught =
      warnings_of([&] { tensor = ndtorch::from_numpy(source, on_read_only::warn); });
  const py::list of_torch = warnings_of([&] {
    test::exec("torch.set_warn_always(True); torch.from_numpy(a); torch.set_warn_always(False)",
               py::dict(py::arg("a") = source));
  });
  ASSERT_EQ(caught.size(), 1U);
  ASSERT_EQ(of_torch.size(), 1U);
  EXPECT_TRUE(caught[0].attr("category").is(of_torch[0].attr("category")));
  // PyTorch appends where in its sources the warning is.
  expect_starts_with(test::text_of(of_torch[0].attr("message")),
                     test::text_of(caught[0].attr("message")));

  expect_view(tensor, source);
  tensor.fill_(1);  // into the array, as the warning says
  EXPECT_TRUE(at_the_same_address(tensor, source));
  EXPECT_TRUE(is_true("(a == 1).all()", py::arg("a") = source));
}

TEST(on_read_only_warn, throws_the_warning_where_python_makes_it_an_error) {
  const std::string message =
      refusal_of<py::error_already_set>(array(three_read_only_zeros), [](py::handle a) {
        warnings_of([&] { ndtorch::from_numpy(a, on_read_only::warn); }, "error");
      });
  expect_starts_with(message, "UserWarning: The given NumPy array is not writable");
}

TEST(on_read_only_warn, finds_an_array_that_the_warnings_handler_changed) {
  const py::object source = eval("np.broadcast_to(np.zeros(3), (1, 3))[0]");
  const py::dict names = test::exec(
      "import warnings\n"
      "def change(*ignored):\n"
      "    warnings.simplefilter('ignore')  # NumPy 2.5 warns of the next line\n"
      "    a.dtype = np.int64\n"
      "before = warnings.showwarning",
      py::dict(py::arg("a") = source));
  const py::module_ warnings = py::module_::import("warnings");
  warnings.attr("simplefilter")("always");
  warnings.attr("showwarning") = names["change"];
  const std::string message =
      message_of<py::type_error>([&] { ndtorch::from_numpy<double>(source, on_read_only::warn); });
  warnings.attr("showwarning") = names["before"];
  warnings.attr("resetwarnings")();
  expect_starts_with(message, "expected np.ndarray of dtype float64 (got int64).");
}

TEST(on_read_only_copy_on_write, is_the_default_and_warns_of_nothing) {
  const py::array source = array(three_read_only_zeros);
  const py::list caught = warnings_of([&] {
    expect_view(ndtorch::from_numpy(source), source);
    expect_view(ndtorch::from_numpy<double>(source), source);
    expect_view(ndtorch::from_numpy(source, on_read_only::copy_on_write), source);
  });
  EXPECT_EQ(caught.size(), 0U);
}

TEST(on_read_only, does_not_matter_for_a_writable_array) {
  const py::array source = array("np.zeros(3)");
  for (const on_read_only policy :
       {on_read_only::copy_on_write, on_read_only::warn, on_read_only::error}) {
    const py::list caught = warnings_of(
        [&] { test::expect_writes_go_both_ways(ndtorch::from_numpy(source, policy), source); });
    EXPECT_EQ(caught.size(), 0U);
  }
}

TEST(on_read_only, does_not_come_before_the_checks_of_the_array) {
  const py::object source = eval("np.frombuffer(bytes(24))[::-1]");
  for (const on_read_only policy : {on_read_only::warn, on_read_only::error}) {
    const py::list caught = warnings_of([&] {
      EXPECT_CONTAINS(refusal_of<py::value_error>(
                          source, [&](py::handle a) { ndtorch::from_numpy(a, policy); }),
                      "is negative");
    });
    EXPECT_EQ(caught.size(), 0U);
  }
}

}  // namespace
