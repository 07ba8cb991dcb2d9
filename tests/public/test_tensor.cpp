// ndtorch/from_numpy.h: what tensor, Tensor and as_tensor make of arrays. Numbers and sequences are
// in test_sequence.cpp, the options in test_options.cpp.
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <ndtorch/from_numpy.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::dtype_entry;
using ndtorch::detail::dtypes;
using test::array;
using test::at_the_same_address;
using test::default_dtype;
using test::eval;
using test::expect_elements;
using test::expect_starts_with;
using test::expect_view;
using test::message_of;
using test::refusal_of;

// A copy in the order that PyTorch gives its copy of `like`.
void expect_copy(const at::Tensor& tensor, const py::array& source, const py::object& like) {
  expect_elements(tensor, source);
  EXPECT_FALSE(at_the_same_address(tensor, source));
  std::vector<std::int64_t> of_torch;
  for (const py::handle stride : eval("torch.tensor(a).stride()", py::arg("a") = like)) {
    of_torch.push_back(py::cast<std::int64_t>(stride));
  }
  EXPECT_EQ(tensor.strides(), at::IntArrayRef(of_torch));
}

void expect_copy(const at::Tensor& tensor, const py::array& source) {
  expect_copy(tensor, source, source);
}

// The same for an array that PyTorch refuses: in the order of NumPy's copy, which keeps it too.
void expect_copy_of_refused(const at::Tensor& tensor, const py::array& source) {
  expect_copy(tensor, source, eval("a.astype(a.dtype.newbyteorder('='))", py::arg("a") = source));
}

TEST(tensor, copies_every_dtype_and_keeps_it) {
  for (const dtype_entry& entry : dtypes) {
    SCOPED_TRACE(entry.name);
    const py::array source = test::six_of(entry.scalar_type);
    const at::Tensor tensor = ndtorch::tensor(source);
    EXPECT_EQ(tensor.scalar_type(), entry.scalar_type);
    EXPECT_EQ(tensor.strides(), at::IntArrayRef({3, 1}));
    expect_elements(tensor, source);
    test::expect_writes_stay(tensor, source);
  }
}

TEST(tensor, copies_every_order_of_memory) {
  for (const char* layout : test::layouts) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    expect_copy(ndtorch::tensor(source), source);
  }
}

// Found by the fuzzer under GCC's sanitizer: the lowest stride has no negative.
TEST(tensor, copies_an_axis_of_length_1_whatever_its_stride) {
  const py::array source =
      eval("np.lib.stride_tricks.as_strided(np.arange(3.)[::-1], (1, 3), (-2**63, -8))");
  const at::Tensor tensor = ndtorch::tensor(source);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({1, 3}));
  expect_elements(tensor, source);
}

TEST(tensor, copies_what_can_not_be_a_view) {
  for (const char* expression : test::copied_only) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    expect_copy_of_refused(ndtorch::tensor(source), source);
    const at::Tensor cast = ndtorch::tensor(source, at::kFloat);
    EXPECT_EQ(cast.scalar_type(), at::kFloat);
    expect_elements(cast, array("a.astype('f4')", py::arg("a") = source));
  }
  for (const char* expression : test::unused_strides) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    expect_elements(ndtorch::tensor(source), source);
  }
}

TEST(tensor, copies_every_dtype_in_foreign_byte_order) {
  for (const dtype_entry& entry : dtypes) {
    SCOPED_TRACE(entry.name);
    const py::array native = test::six_of(entry.scalar_type);
    if (native.itemsize() == 1) continue;
    const py::array source = array("a.astype(a.dtype.newbyteorder('>'))", py::arg("a") = native);
    ASSERT_FALSE(py::cast<bool>(source.dtype().attr("isnative")));
    const at::Tensor tensor = ndtorch::tensor(source);
    EXPECT_EQ(tensor.scalar_type(), entry.scalar_type);
    expect_elements(tensor, native);
  }
}

TEST(tensor, takes_0_to_64_dimensions) {
  for (int ndim = 0; ndim <= 64; ++ndim) {
    SCOPED_TRACE(ndim);
    const py::array source =
        array("np.arange(2. ** min(n, 3)).reshape((2,) * min(n, 3) + (1,) * (n - 3))",
              py::arg("n") = ndim);
    expect_copy(ndtorch::tensor(source), source);
    expect_copy(ndtorch::tensor(array("a.T", py::arg("a") = source)),
                array("a.T", py::arg("a") = source));
  }
}

// What Tensor.to(dtype) makes of the same bytes.
py::bytes cast_by_torch(const py::array& source, const char* dtype) {
  return test::exec(R"(
tensor = torch.frombuffer(bytearray(a.tobytes()), dtype=getattr(torch, a.dtype.name))
cast = tensor.to(getattr(torch, dtype)).view(torch.uint8).numpy().tobytes()
)",
                    py::dict(py::arg("a") = source, py::arg("dtype") = dtype))["cast"];
}

TEST(tensor, casts_every_dtype_to_every_other_as_torch_does) {
  for (const dtype_entry& from : dtypes) {
    const py::array source = test::six_of(from.scalar_type);
    for (const dtype_entry& to : dtypes) {
      SCOPED_TRACE(std::string(from.name) + " to " + to.name);
      const at::Tensor tensor = ndtorch::tensor(source, to.scalar_type);
      EXPECT_EQ(tensor.scalar_type(), to.scalar_type);
      EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 3}));
      EXPECT_TRUE(test::elements(tensor).attr("tobytes")().equal(cast_by_torch(source, to.name)));
    }
  }
}

TEST(tensor, keeps_the_order_of_axes_in_a_cast) {
  const py::array source = array("np.arange(24.).reshape(2, 3, 4).transpose(1, 0, 2)");
  EXPECT_EQ(ndtorch::tensor(source, at::kFloat).strides(), ndtorch::from_numpy(source).strides());
}

TEST(tensor, leaves_the_array_as_it_was) {
  for (const char* expression : {"np.arange(6.)[::-1]", "np.arange(6.)", "np.arange(6.) + 1j"}) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    const Py_ssize_t before = test::references(source);
    {
      const at::Tensor same = ndtorch::tensor(source);
      const at::Tensor cast = ndtorch::tensor(source, at::kComplexFloat);
      EXPECT_EQ(test::references(source), before);
    }
    EXPECT_EQ(test::references(source), before);
    EXPECT_TRUE(test::same_elements(source, eval(expression)));
  }
}

TEST(tensor_of_T, casts_to_its_dtype) {
  const py::array source = array("np.arange(6).reshape(2, 3)[:, ::-1]");
  const auto expect = [&](const at::Tensor& tensor, const char* dtype) {
    expect_elements(tensor, array("a.astype(d)", py::arg("a") = source, py::arg("d") = dtype));
  };
  expect(ndtorch::tensor<float>(source), "f4");
  expect(ndtorch::tensor<double>(source), "f8");
  expect(ndtorch::tensor<std::uint8_t>(source), "u1");
  expect(ndtorch::tensor<bool>(source), "?");
  expect(ndtorch::tensor<long long>(source), "i8");
  expect(ndtorch::tensor<c10::complex<float>>(source), "c8");
  EXPECT_EQ(ndtorch::tensor<c10::BFloat16>(source).scalar_type(), at::kBFloat16);
}

TEST(tensor_of_T, takes_options_that_agree_and_no_other) {
  const py::array source = array("np.arange(3)");
  EXPECT_TRUE(ndtorch::tensor<float>(source, at::TensorOptions(at::kFloat).requires_grad(true))
                  .requires_grad());
  EXPECT_EQ(refusal_of<py::value_error>(
                source, [](py::handle a) { ndtorch::tensor<float>(a, at::kDouble); }),
            "ndtorch::tensor<T> of dtype Float was given options of dtype Double. Leave the dtype "
            "out of one of them.");
}

TEST(Tensor, is_a_copy_of_the_default_dtype) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kHalf}) {
    const default_dtype as(type);
    for (const dtype_entry& entry : dtypes) {
      SCOPED_TRACE(std::string(entry.name) + " to " + c10::toString(type));
      const py::array source = test::six_of(entry.scalar_type);
      const at::Tensor tensor = ndtorch::Tensor(source);
      EXPECT_EQ(tensor.scalar_type(), type);
      EXPECT_TRUE(test::same_elements(test::elements(tensor),
                                      test::elements(ndtorch::tensor(source, type))));
      test::expect_writes_stay(tensor, source);
    }
  }
}

TEST(Tensor, copies_every_order_of_memory) {
  for (const char* layout : test::copied_only) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    expect_elements(ndtorch::Tensor(source), array("a.astype('f4')", py::arg("a") = source));
  }
}

TEST(as_tensor, shares_where_nothing_else_is_asked_for) {
  for (const dtype_entry& entry : dtypes) {
    SCOPED_TRACE(entry.name);
    const py::array source = array("a.T", py::arg("a") = test::six_of(entry.scalar_type));
    for (const at::TensorOptions& options :
         {at::TensorOptions(), at::TensorOptions(entry.scalar_type), at::TensorOptions(at::kCPU),
          at::TensorOptions().requires_grad(false).pinned_memory(false)}) {
      const at::Tensor tensor = ndtorch::as_tensor(source, options);
      expect_view(tensor, source);
      test::expect_writes_go_both_ways(tensor, source);
    }
  }
}

TEST(as_tensor, shares_every_order_of_memory_that_a_tensor_has) {
  for (const char* layout : test::layouts) {  // some of these are read-only
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    expect_view(ndtorch::as_tensor(source), source);
  }
}

TEST(as_tensor, copies_where_another_dtype_is_asked_for) {
  const py::array source = array("np.arange(3.)");
  const at::Tensor tensor = ndtorch::as_tensor(source, at::kFloat);
  expect_elements(tensor, array("np.arange(3, dtype='f4')"));
  test::expect_writes_stay(tensor, source);
}

TEST(as_tensor, copies_what_can_not_be_a_view) {
  for (const char* expression : test::copied_only) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    expect_copy_of_refused(ndtorch::as_tensor(source), source);
  }
}

// Calls all functions of this file with `data`.
template <class Error>
std::vector<std::string> refusals_of(const py::object& data) {
  return {refusal_of<Error>(data, [](py::handle a) { ndtorch::tensor(a); }),
          refusal_of<Error>(data, [](py::handle a) { ndtorch::tensor(a, at::kFloat); }),
          refusal_of<Error>(data, [](py::handle a) { ndtorch::tensor<float>(a); }),
          refusal_of<Error>(data, [](py::handle a) { ndtorch::Tensor(a); }),
          refusal_of<Error>(data, [](py::handle a) { ndtorch::as_tensor(a); }),
          refusal_of<Error>(data, [](py::handle a) { ndtorch::as_tensor(a, at::kFloat); })};
}

TEST(copies, are_refused_for_other_dtypes_in_the_words_of_torch) {
  for (const char* expression : test::unsupported_arrays) {
    SCOPED_TRACE(expression);
    test::python_error of_torch =
        test::raised_by_python("torch.tensor(" + std::string(expression) + ")");
    EXPECT_EQ(of_torch.type, "TypeError");
    of_torch.text.pop_back();  // its list ends there, ours goes on
    for (const std::string& message : refusals_of<py::type_error>(eval(expression))) {
      expect_starts_with(message, of_torch.text);
      EXPECT_CONTAINS(message, "Got an array of shape (");
      EXPECT_CONTAINS(message, "array.astype(np.float32)");
    }
  }
}

TEST(copies, are_refused_for_masked_values) {
  for (const char* expression : test::masked_arrays) {
    SCOPED_TRACE(expression);
    for (const std::string& message : refusals_of<py::type_error>(eval(expression))) {
      expect_starts_with(message, "can't convert a masked array with masked values");
      EXPECT_CONTAINS(message, "array.filled(value)");
    }
  }
  const py::array nothing_masked = array("np.ma.masked_array([1., 2.], mask=[False, False])");
  expect_elements(ndtorch::tensor(nothing_masked), array("np.array([1., 2.])"));
}

TEST(copies, are_refused_for_an_array_that_spans_more_than_all_memory) {
  const py::object huge = eval("np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (2**62,))");
  for (const std::string& message : refusals_of<py::value_error>(huge)) {
    EXPECT_CONTAINS(message, "spans more bytes than a tensor can address");
  }
}

TEST(copies, are_refused_for_a_null_handle) {
  for (const std::string& message :
       {message_of<py::type_error>([] { ndtorch::tensor(py::handle()); }),
        message_of<py::type_error>([] { ndtorch::tensor<float>(py::handle()); }),
        message_of<py::type_error>([] { ndtorch::Tensor(py::handle()); }),
        message_of<py::type_error>([] { ndtorch::as_tensor(py::handle()); })}) {
    EXPECT_EQ(message, "can't convert a null handle to a tensor. Pass an object.");
  }
}

int copies_with_gil = 0;
int copies_without_gil = 0;

// Counts LibTorch's copies by whether the thread had the GIL.
template <class Function>
std::pair<int, int> count_copies(Function&& function) {
  copies_with_gil = copies_without_gil = 0;
  const auto count = [](const at::RecordFunction& call) -> std::unique_ptr<at::ObserverContext> {
    if (std::strcmp(call.name(), "aten::copy_") == 0) {
      ++(PyGILState_Check() != 0 ? copies_with_gil : copies_without_gil);
    }
    return nullptr;
  };
  const at::CallbackHandle handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(count).scopes({at::RecordScope::FUNCTION}));
  std::forward<Function>(function)();
  at::removeCallback(handle);
  return {copies_with_gil, copies_without_gil};
}

TEST(long_copies, release_the_gil_and_short_ones_keep_it) {
  using counts = std::pair<int, int>;
  const py::array small = array("np.ones((10, 10)).T");
  const py::array large = array("np.arange(300. * 400).reshape(300, 400)");
  const py::array reversed = array("a[::-1]", py::arg("a") = large);
  EXPECT_EQ(count_copies([&] { ndtorch::tensor<float>(small); }), counts(1, 0));
  EXPECT_EQ(count_copies([&] { ndtorch::tensor<float>(large); }), counts(0, 1));
  EXPECT_EQ(count_copies([&] { ndtorch::Tensor(large); }), counts(0, 1));
  const auto [with_gil, without_gil] = count_copies([&] { ndtorch::tensor<float>(reversed); });
  EXPECT_EQ(with_gil, 0);
  EXPECT_GT(without_gil, 0);
}

TEST(long_copies, let_a_waiting_thread_have_the_gil) {
  const py::array large = array("np.zeros(10_000_000)");
  for (const char* view : {"a", "a[::-1]", "a.reshape(1000, -1).T"}) {
    SCOPED_TRACE(view);
    const py::array source = array(view, py::arg("a") = large);
    std::atomic<bool> had_gil{false};
    std::thread waiting([&] {
      const py::gil_scoped_acquire gil;
      had_gil = true;
    });
    // Nothing else here gives the GIL up. A busy machine may need more than one copy to wake a thread.
    for (int i = 0; i < 100 && !had_gil; ++i) ndtorch::tensor(source);
    EXPECT_TRUE(had_gil);
    const py::gil_scoped_release without_gil;
    waiting.join();
  }
}

TEST(long_copies, have_the_same_elements_as_short_ones) {
  const py::array large = array("np.arange(300. * 400).reshape(300, 400)");
  for (const char* view : {"a", "a.T", "a[:, ::2]", "a[::-1]", "a.astype('>f8')"}) {
    SCOPED_TRACE(view);
    const py::array source = array(view, py::arg("a") = large);
    expect_elements(ndtorch::tensor(source), source);
    expect_elements(ndtorch::tensor<float>(source), array("a.astype('f4')", py::arg("a") = source));
  }
}

}  // namespace
