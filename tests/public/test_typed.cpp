// ndtorch/typed.h: what tensor_t takes as an argument, what it refuses and why
#include <ATen/ops/_efficientzerotensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/ones.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/typed.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <complex>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "support/arguments.h"
#include "support/arrays.h"
#include "support/dtypes.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
namespace device = ndtorch::device;
using ndtorch::c_contig;
using ndtorch::f_contig;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;
using test::all_dtypes;
using test::array;
using test::elements;
using test::eval;
using test::is_true;
using test::load;
using test::message_of;
using test::outcome;
using test::outcome_of;
using test::references;
using test::same_elements;

using on_inverted = device::of<at::kPrivateUse1>;  // support/private_use1.h

struct argument_case {
  const char* object;
  outcome exact;            // without conversion
  outcome converted;        // with it
  const char* reason = "";  // of the refusal with conversion
};

template <class... Constraints>
void expect_outcomes(const std::vector<argument_case>& cases) {
  using tensor = tensor_t<Constraints...>;
  for (const argument_case& one : cases) {
    SCOPED_TRACE(one.object);
    const py::object object = eval(one.object);
    const Py_ssize_t before = references(object);
    EXPECT_EQ(outcome_of<tensor>(object, false), one.exact);
    EXPECT_EQ(outcome_of<tensor>(object, true), one.converted);
    if (one.converted == outcome::refused) {
      const std::string why = message_of<py::type_error>([&] { tensor::from(object); });
      EXPECT_CONTAINS(why, one.reason);
    }
    EXPECT_EQ(references(object), before);
  }
}

TEST(argument, an_element_type_takes_its_dtype_alone) {
  test::for_each_element_type([](auto element) {
    using T = decltype(element);
    for (const auto& [name, dtype] : all_dtypes()) {
      const bool same = dtype == ndtorch::scalar_type_of_v<T>;
      SCOPED_TRACE(testing::Message() << ndtorch::scalar_type_of_v<T> << " <- " << name);
      const py::array source = test::six_of(dtype);
      for (const bool convert : {false, true}) {
        const auto written = load<tensor_t<T>>(source, convert);
        ASSERT_EQ(written.has_value(), same);
        if (same) test::expect_view(*written, source);
      }
      const auto exact = load<tensor_t<const T>>(source, false);
      ASSERT_EQ(exact.has_value(), same);
      if (same) test::expect_view(*exact, source);
    }
  });
}

TEST(argument, a_const_element_type_is_converted_as_tensor_does_it) {
  test::for_each_element_type([](auto element) {
    using T = decltype(element);
    for (const auto& [name, dtype] : all_dtypes()) {
      SCOPED_TRACE(testing::Message() << ndtorch::scalar_type_of_v<T> << " <- " << name);
      if (!ndtorch::detail::is_same_kind_cast(dtype, ndtorch::scalar_type_of_v<T>)) continue;
      const py::array source = test::six_of(dtype);
      const auto converted = load<tensor_t<const T>>(source, true);
      ASSERT_TRUE(converted.has_value());
      EXPECT_TRUE(same_elements(elements(*converted), elements(ndtorch::tensor<T>(source))));
      EXPECT_EQ(test::at_the_same_address(*converted, source),
                dtype == ndtorch::scalar_type_of_v<T>);
    }
  });
}

TEST(argument, without_constraints_anything_is_taken) {
  for (const auto& [name, dtype] : all_dtypes()) {
    SCOPED_TRACE(name);
    const auto taken = load<tensor_t<>>(test::six_of(dtype), false);
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(taken->scalar_type(), dtype);
  }
  for (const char* layout : test::layouts) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    const auto taken = load<tensor_t<>>(source, false);
    ASSERT_TRUE(taken.has_value());
    test::expect_view(*taken, source);
  }
}

TEST(argument, what_no_tensor_can_be_a_view_of_is_copied_where_that_is_allowed) {
  for (const char* layout : test::copied_only) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    EXPECT_EQ(outcome_of<tensor_t<>>(source, false), outcome::refused);
    EXPECT_EQ(outcome_of<tensor_t<>>(source, true), outcome::copied);
    // The same reason, with a remedy for who called from Python.
    const std::string words = message_of<py::value_error>([&] { ndtorch::from_numpy(source); });
    const auto ask = [&] { tensor_t<>::from(source, /*convert=*/false); };
    const std::string reason = message_of<py::type_error>(ask);
    EXPECT_EQ(reason.substr(0, reason.find(" Copy it first")),
              words.substr(0, words.find(" Copy it with")));
    EXPECT_CONTAINS(reason, " Copy it first, with array.");
  }
}

TEST(argument, unsupported_and_masked_arrays_are_refused_with_the_reason) {
  const auto expect_refused = [](const char* expression) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    EXPECT_EQ(outcome_of<tensor_t<>>(source, true), outcome::refused);
    EXPECT_EQ(outcome_of<tensor_t<const float>>(source, true), outcome::refused);
    const std::string words = message_of<py::type_error>([&] { ndtorch::tensor(source); });
    EXPECT_EQ(message_of<py::type_error>([&] { tensor_t<>::from(source); }), words);
    EXPECT_EQ(message_of<py::type_error>([&] { tensor_t<const float>::from(source); }), words);
  };
  for (const char* expression : test::unsupported_arrays) expect_refused(expression);
  for (const char* expression : test::masked_arrays) expect_refused(expression);
}

TEST(argument, shape_says_every_size_that_is_not_minus_one) {
  expect_outcomes<shape<-1, 3>>({
      {"np.zeros((2, 3))", outcome::shared, outcome::shared},
      {"np.zeros((0, 3), 'i4')", outcome::shared, outcome::shared},
      {"np.zeros((3, 2)).T", outcome::shared, outcome::shared},
      {"np.zeros((4, 3))[::-1]", outcome::refused, outcome::copied},
      {"[[1, 2, 3], [4, 5, 6]]", outcome::refused, outcome::copied},
      {"np.zeros((3, 2))", outcome::refused, outcome::refused,
       "expected shape (*, 3) (got (3, 2)). Got an array of shape (3, 2), strides (16, 8) bytes, "
       "dtype float64. Reshape or slice it first."},
      {"np.zeros((3, 2))[::-1]", outcome::refused, outcome::refused,
       "expected shape (*, 3) (got (3, 2)). Got an array of shape (3, 2), strides (-16, 8) bytes"},
      {"[[1, 2]]", outcome::refused, outcome::refused,
       "expected shape (*, 3) (got (1, 2)). Got a list of shape (1, 2). Reshape or slice it"},
      {"np.zeros(3)", outcome::refused, outcome::refused,
       "expected 2 dimensions (got 1). Got an array of shape (3,), strides (8,) bytes, dtype "
       "float64. Reshape it first."},
      {"np.zeros((2, 3, 1))", outcome::refused, outcome::refused, "expected 2 dimensions (got 3)"},
      {"3", outcome::refused, outcome::refused, "expected 2 dimensions (got 0)"},
  });
  expect_outcomes<shape<>>({
      {"np.array(3.5)", outcome::shared, outcome::shared},
      {"np.float32(3)", outcome::refused, outcome::copied},
      {"3", outcome::refused, outcome::copied},
      {"np.zeros(1)", outcome::refused, outcome::refused, "expected 0 dimensions (got 1)"},
  });
  expect_outcomes<shape<0>>({
      {"np.zeros(0)", outcome::shared, outcome::shared},
      {"[]", outcome::refused, outcome::copied},
      {"np.zeros(1)", outcome::refused, outcome::refused, "expected shape (0,) (got (1,))"},
  });
}

TEST(argument, ndim_says_the_number_of_sizes) {
  expect_outcomes<ndim<1>>({
      {"np.zeros(0)", outcome::shared, outcome::shared},
      {"np.arange(9)[::2]", outcome::shared, outcome::shared},
      {"np.arange(9)[::-2]", outcome::refused, outcome::copied},
      {"[1, 2.5]", outcome::refused, outcome::copied},
      {"np.zeros((1, 1))", outcome::refused, outcome::refused, "expected 1 dimension (got 2)"},
      {"[[1], [2]]", outcome::refused, outcome::refused, "expected 1 dimension (got 2)"},
  });
  expect_outcomes<ndim<64>>({
      {"np.zeros((1,) * 64)", outcome::shared, outcome::shared},
      {"np.zeros(1)", outcome::refused, outcome::refused, "expected 64 dimensions (got 1)"},
  });
}

TEST(argument, c_contig_takes_dense_memory_in_c_order) {
  expect_outcomes<c_contig>({
      {"np.zeros((2, 3))", outcome::shared, outcome::shared},
      {"np.zeros((2, 3))[1:]", outcome::shared, outcome::shared},
      {"np.array(1)", outcome::shared, outcome::shared},
      {"np.zeros((3, 0)).T", outcome::shared, outcome::shared},
      {"np.zeros((2, 1, 3)).swapaxes(1, 0)", outcome::shared, outcome::shared},
      {"np.arange(6.).reshape(3, 2).T", outcome::refused, outcome::copied},
      {"np.arange(12.).reshape(2, 6)[:, ::2]", outcome::refused, outcome::copied},
      {"np.broadcast_to(np.arange(3.), (2, 3))", outcome::refused, outcome::copied},
  });
  const auto copied = load<tensor_t<c_contig>>(eval("np.zeros((4, 3, 2)).T"), true);
  ASSERT_TRUE(copied.has_value());
  EXPECT_EQ(copied->strides(), (std::vector<std::int64_t>{12, 4, 1}));
}

TEST(argument, f_contig_takes_dense_memory_in_fortran_order) {
  expect_outcomes<f_contig>({
      {"np.zeros((2, 3)).T", outcome::shared, outcome::shared},
      {"np.zeros((2, 3), order='F')[:, 1:]", outcome::shared, outcome::shared},
      {"np.zeros(3)", outcome::shared, outcome::shared},
      {"np.zeros((3, 0))", outcome::shared, outcome::shared},
      {"np.arange(6.).reshape(3, 2)", outcome::refused, outcome::copied},
      {"np.arange(12.).reshape(2, 6).T[::2]", outcome::refused, outcome::copied},
      {"[[1, 2], [3, 4]]", outcome::refused, outcome::copied},
      {"torch.arange(6).reshape(2, 3)", outcome::refused, outcome::copied},
  });
  for (const char* source : {"np.zeros((2, 3, 4))", "np.zeros((2, 3, 4)).tolist()",
                             "torch.zeros(2, 3, 4)", "np.zeros((2, 3, 4))[::-1]"}) {
    SCOPED_TRACE(source);
    const auto copied = load<tensor_t<f_contig>>(eval(source), true);
    ASSERT_TRUE(copied.has_value());
    EXPECT_EQ(copied->strides(), (std::vector<std::int64_t>{1, 2, 6}));
  }
}

TEST(argument, an_order_that_is_written_must_be_there) {
  expect_outcomes<double, c_contig>({
      {"np.zeros((2, 3))", outcome::shared, outcome::shared},
      {"np.zeros((2, 3)).T", outcome::refused, outcome::refused,
       "expected memory in C order. Got an array of shape (3, 2), strides (8, 24) bytes, dtype "
       "float64. Copy it first, with np.ascontiguousarray(array). The function writes into that "
       "copy: use it afterwards."},
  });
  expect_outcomes<double, f_contig>({
      {"np.zeros((2, 3)).T", outcome::shared, outcome::shared},
      {"np.zeros((2, 3))", outcome::refused, outcome::refused,
       "expected memory in Fortran order. Got an array of shape (2, 3), strides (24, 8) bytes, "
       "dtype float64. Copy it first, with np.asfortranarray(array). The function writes into that "
       "copy: use it afterwards."},
  });
}

TEST(argument, constraints_hold_together_and_shapes_are_told_first) {
  expect_outcomes<const float, shape<2, -1>, c_contig, device::cpu>({
      {"np.zeros((2, 3), 'f4')", outcome::shared, outcome::shared},
      {"np.zeros((2, 3))", outcome::refused, outcome::copied},
      {"np.zeros((3, 2), 'f4').T", outcome::refused, outcome::copied},
      {"np.zeros((3, 2), '>f8')[::-1].T", outcome::refused, outcome::copied},
      {"torch.zeros(2, 3, dtype=torch.int32)", outcome::refused, outcome::copied},
      {"np.zeros((3, 2)).T[:, ::2]", outcome::refused, outcome::copied},
      {"np.zeros((3, 2))", outcome::refused, outcome::refused, "expected shape (2, *)"},
      {"torch.zeros(2)", outcome::refused, outcome::refused,
       "expected 2 dimensions (got 1). Got a tensor of shape [2], strides [1] elements, dtype "
       "Float, device cpu. Reshape it first."},
  });
}

TEST(argument, other_holders_of_memory_are_shared_where_they_match) {
  expect_outcomes<const std::uint8_t, ndim<1>>({
      {"b'abc'", outcome::shared, outcome::shared},
      {"bytearray(b'abc')", outcome::shared, outcome::shared},
      {"memoryview(b'abcd')[1:3]", outcome::shared, outcome::shared},
      {"torch.arange(3).to(torch.uint8)", outcome::shared, outcome::shared},
      {"memoryview(b'abcd')[::-1]", outcome::refused, outcome::copied},
      {"torch.arange(3) < 1", outcome::refused, outcome::copied},
      {"torch.arange(3)", outcome::refused, outcome::refused, "expected dtype uint8 (got int64)"},
      {"'abc'", outcome::refused, outcome::refused, "can't convert an object of type 'str'"},
      {"None", outcome::refused, outcome::refused, "expected an array (got None)"},
      {"{}", outcome::refused, outcome::refused, "can't convert an object of type 'dict'"},
      {"[1, [2]]", outcome::refused, outcome::refused, "expected a number at dim 1 (got a list)"},
      {"[300]", outcome::refused, outcome::refused,
       "value cannot be converted to type uint8 without overflow. Got 300."},
      {"torch.zeros(2, requires_grad=True)", outcome::refused, outcome::refused,
       "can't take a tensor that requires grad"},
  });
}

TEST(argument, a_device_that_is_not_there_is_a_refusal) {
  // Of the devices that LibTorch can be built for, the one that no test machine has.
  expect_outcomes<const float, device::of<at::kHPU>>({
      {"np.zeros(2, 'f4')", outcome::refused, outcome::refused, "this LibTorch has no device hpu"},
      {"[1, 2]", outcome::refused, outcome::refused, "this LibTorch has no device hpu"},
      {"torch.zeros(2)", outcome::refused, outcome::refused, "this LibTorch has no device hpu"},
  });
  expect_outcomes<float, device::of<at::kHPU>>({
      {"np.zeros(2, 'f4')", outcome::refused, outcome::refused,
       "expected a tensor on hpu (got cpu). Got an array of shape (2,), strides (4,) bytes, "
       "dtype float32. Move it there first, with tensor.to(device)."},
  });
}

TEST(argument, is_on_the_device_that_is_said) {
  const at::Tensor numbers = at::arange(6, at::kFloat);
  const at::Tensor there = numbers.to(at::kPrivateUse1);
  const py::object object = ndtorch::to_dlpack(there);

  const auto shared = load<tensor_t<const float, on_inverted>>(object, false);
  ASSERT_TRUE(shared.has_value());
  EXPECT_EQ(shared->storage().data(), there.storage().data());
  EXPECT_FALSE((load<tensor_t<const float, device::cpu>>(object, false)).has_value());

  const auto fetched = load<tensor_t<const float, device::cpu>>(object, true);
  ASSERT_TRUE(fetched.has_value());
  EXPECT_TRUE(fetched->is_cpu());
  EXPECT_TRUE(fetched->equal(numbers));

  const auto sent = load<tensor_t<const float, on_inverted>>(eval("np.arange(6)"), true);
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->at::Tensor::device(), at::Device(at::kPrivateUse1, 0));
  EXPECT_TRUE(sent->cpu().equal(numbers));

  const auto write = [&] { tensor_t<float, device::cpu>::from(object); };
  EXPECT_CONTAINS(message_of<py::type_error>(write), "expected a tensor on cpu (got inverted:0)");
}

// Each writable element type binds to the caller's memory or not at all.

TEST(written_argument, is_the_callers_memory) {
  for (const char* layout : test::layouts) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    const auto taken = load<tensor_t<double>>(source, true);
    const bool suits = source.writeable() && source.dtype().equal(py::dtype::of<double>());
    ASSERT_EQ(taken.has_value(), suits);
    if (suits) test::expect_writes_go_both_ways(*taken, source);
  }
}

TEST(written_argument, is_never_a_copy) {
  for (const char* layout : test::copied_only) {
    SCOPED_TRACE(layout);
    const py::array source = array(layout);
    EXPECT_EQ(outcome_of<tensor_t<double>>(source, true), outcome::refused);
    EXPECT_EQ(outcome_of<tensor_t<float>>(source, true), outcome::refused);
    EXPECT_EQ(outcome_of<tensor_t<std::int16_t>>(source, true), outcome::refused);
    EXPECT_EQ(outcome_of<tensor_t<std::int64_t>>(source, true), outcome::refused);
  }
}

TEST(written_argument, must_be_writable) {
  constexpr const char* read_only =
      "expected memory that may be written, as the function writes into it. Got ";
  constexpr const char* no_memory =
      "expected an array (got list): the function writes into its memory. Pass one.";
  expect_outcomes<std::uint8_t>({
      {"np.zeros(3, 'u1')", outcome::shared, outcome::shared},
      {"bytearray(b'abc')", outcome::shared, outcome::shared},
      {"memoryview(bytearray(b'abc'))", outcome::shared, outcome::shared},
      {"torch.zeros(3, dtype=torch.uint8)", outcome::shared, outcome::shared},
      {"np.frombuffer(b'abc', 'u1')", outcome::refused, outcome::refused, read_only},
      {"np.broadcast_to(np.uint8(1), 3)", outcome::refused, outcome::refused, read_only},
      {"b'abc'", outcome::refused, outcome::refused, read_only},
      {"memoryview(b'abc')", outcome::refused, outcome::refused, read_only},
      {"[1, 2]", outcome::refused, outcome::refused, no_memory},
      {"np.uint8(1)", outcome::refused, outcome::refused, "expected an array (got numpy.uint8)"},
      {"1", outcome::refused, outcome::refused, "expected an array (got int)"},
      {"np.zeros(3, 'i1')", outcome::refused, outcome::refused, "expected dtype uint8 (got int8)"},
  });
  const auto ask = [] { tensor_t<float>::from(eval("np.broadcast_to(np.float32(1), (2, 3))")); };
  EXPECT_EQ(message_of<py::type_error>(ask),
            "expected memory that may be written, as the function writes into it. Got an array of "
            "shape (2, 3), strides (0, 0) bytes, dtype float32. Pass a copy, array.copy(), and use "
            "it afterwards.");
}

TEST(written_argument, of_another_holder_is_its_memory) {
  const py::object bytes = eval("bytearray(b'abc')");
  load<tensor_t<std::uint8_t>>(bytes, true)->fill_('z');
  EXPECT_EQ(test::text_of(bytes), "bytearray(b'zzz')");

  const py::object torchs = eval("torch.zeros(2)");
  load<tensor_t<float>>(torchs, true)->fill_(7);
  EXPECT_TRUE(is_true("(t == 7).all().item()", py::arg("t") = torchs));
}

TEST(read_argument, of_a_read_only_array_shares_until_it_is_written) {
  const py::array source = array("np.broadcast_to(np.arange(3.), (2, 3))");
  const auto taken = load<tensor_t<const double, ndim<2>>>(source, false);
  ASSERT_TRUE(taken.has_value());
  test::expect_view(*taken, source);
  test::expect_writes_stay(taken->slice(0, 0, 1), array("s[:1].copy()", py::arg("s") = source));
  EXPECT_NE(taken->storage().data(), source.data()) << "the write has left the array's memory";
}

TEST(from, is_the_argument_that_a_function_would_get) {
  const py::array source = array("np.arange(6.)");
  const Py_ssize_t before = references(source);
  {
    const tensor_t<double, ndim<1>> shared = tensor_t<double, ndim<1>>::from(source);
    EXPECT_EQ(references(source), before + 1);
    test::expect_writes_go_both_ways(shared, source);
  }
  EXPECT_EQ(references(source), before);
  const auto copied = tensor_t<const float, shape<6>>::from(source);
  EXPECT_EQ(copied.scalar_type(), at::kFloat);
  test::expect_writes_stay(copied, source);
  EXPECT_EQ(references(source), before);
}

TEST(from, converts_only_where_it_may) {
  const auto exact = [](const char* object) {
    return message_of<py::type_error>(
        [&] { tensor_t<const float, c_contig>::from(eval(object), /*convert=*/false); });
  };
  EXPECT_EQ(exact("np.zeros(2)"),
            "expected dtype float32 (got float64). Got an array of shape (2,), strides (8,) bytes, "
            "dtype float64. Cast it first, for example with array.astype('float32').");
  EXPECT_EQ(exact("[1, 2]"),
            "expected an array (got list). Convert it first, with np.asarray(data).");
  EXPECT_CONTAINS(exact("np.zeros((2, 3), 'f4').T"), "expected memory in C order");
  EXPECT_EQ((tensor_t<const float, c_contig>::from(eval("[1, 2]")).numel()), 2);
}

TEST(from, refuses_a_null_handle) {
  EXPECT_EQ(message_of<py::type_error>([] { tensor_t<>::from(py::handle()); }),
            "expected an array (got a null handle)");
}

TEST(argument, a_null_handle_is_a_refusal) {
  EXPECT_FALSE(load<tensor_t<const float>>(py::handle(), true).has_value());
}

// So that the next overload is tried, whatever an object raises.
TEST(argument, an_exception_without_a_text_is_a_refusal_too) {
  const py::dict names = test::exec(R"(
class broken(Exception):
  def __str__(self): raise ValueError('no text')
class raising:
  def __init__(self, error): self.error = error
  def __dlpack_device__(self): raise self.error
  def __dlpack__(self, **_): pass
objects = [raising(broken()), raising(FileNotFoundError('\udcff.bin'))]
)");
  std::vector<std::string> texts;
  for (const py::handle object : py::list(names["objects"])) {
    EXPECT_FALSE(load<tensor_t<const float>>(object, true).has_value());
    texts.push_back(message_of<py::type_error>([&] { tensor_t<const float>::from(object); }));
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"a broken without a text", "\\udcff.bin"}));
}

// ----- tensors that are not what their memory says, or have none

TEST(checked_tensor, with_an_element_type_has_memory_that_says_what_it_means) {
  const at::Tensor numbers = at::complex(at::ones({2}), at::ones({2}));
  using complex64 = c10::complex<float>;
  for (const at::Tensor& lazy :
       {numbers.conj(), at::_efficientzerotensor({2}, at::kComplexFloat)}) {
    EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<const complex64>{lazy}; }),
                    "expected memory that says what the tensor means");
    EXPECT_EQ(tensor_t<>(lazy).numel(), 2) << "LibTorch's own functions know what it means";
  }
  message_of<py::type_error>([&] { tensor_t<const float>{at::imag(numbers.conj())}; });
  EXPECT_EQ(tensor_t<const complex64>(numbers.conj().resolve_conj()).numel(), 2);
}

TEST(checked_tensor, with_an_element_type_has_memory) {
  const at::Tensor none = at::ones({2});
  none.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr());
  for (const at::Tensor& tensor : {none, at::empty({2}, at::kMeta)}) {
    EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<const float>{tensor}; }),
                    "expected a tensor with memory of its own");
    EXPECT_EQ(tensor_t<>(tensor).numel(), 2);
  }
  EXPECT_EQ((tensor_t<float, ndtorch::device::of<at::kMeta>>(at::empty({2}, at::kMeta)).numel()),
            2);
  EXPECT_EQ(tensor_t<float>(at::empty({0})).numel(), 0);
}

TEST(from, lets_interrupts_through) {
  const py::object sequence = test::exec(R"(
class Interrupting:
  def __len__(self): return 1
  def __getitem__(self, index): raise KeyboardInterrupt
interrupting = Interrupting()
)")["interrupting"];
  const auto raised = test::raised_by([&] { tensor_t<const float>::from(sequence); });
  EXPECT_EQ(raised.type, "KeyboardInterrupt");
}

}  // namespace
