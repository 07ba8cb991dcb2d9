// Bools whose bytes are not 0 or 1, which NumPy has and C++ doesn't know: copies have none, and typed
// access meets none.
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/to_numpy_async.h>
#include <ndtorch/typed.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/private_use1.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::c_contig;
using ndtorch::f_contig;
using ndtorch::ndim;
using ndtorch::tensor_t;
using test::array;
using test::eval;
using test::is_true;
using test::message_of;

// Bools that are true by bytes of all kinds, in memory of every layout.
const char* const arrays[] = {
    "np.array([255, 255, 0, 7], 'u1').view(bool)",
    "np.array(255, 'u1').view(bool)",
    "np.arange(256, dtype='u1').view(bool)",
    "np.arange(250, dtype='u1')[3:].view(bool)",
    "np.arange(24, dtype='u1').view(bool).reshape(2, 3, 4).T",
    "np.arange(24, dtype='u1').view(bool).reshape(2, 3, 4).transpose(1, 0, 2)",
    "np.arange(24, dtype='u1').view(bool)[::3]",
    "np.arange(24, dtype='u1').view(bool)[::-1]",
    "np.arange(24, dtype='u1').view(bool).reshape(4, 6)[::-2, 1::2]",
    "np.broadcast_to(np.array([0, 2, 4], 'u1').view(bool), (2, 3))",
    "np.lib.stride_tricks.as_strided(np.arange(9, dtype='u1').view(bool), (5, 5), (1, 1))",
    "np.frombuffer(bytes([0, 1, 2, 3]), bool)",
    "(np.arange(600000) % 251).astype('u1').view(bool)",
    "(np.arange(600000) % 251).astype('u1').view(bool).reshape(1000, 600).T",
    "np.zeros((0, 3), bool)",
};

// What a byte of a bool says: a copy is compared by its bytes, not by what somebody reads from them.
void expect_bools_of(const at::Tensor& tensor, const py::object& source) {
  ASSERT_EQ(tensor.scalar_type(), at::kBool);
  const py::object bytes = eval(
      "(np.array(a).view('u1') if a.ndim else np.array(a).reshape(1).view("
      "'u1').reshape(())).astype(bool)",
      py::arg("a") = source);
  const py::array got = test::elements(tensor.cpu());
  EXPECT_TRUE(is_true("g.view('u1').tolist() == (b != 0).astype('u1').tolist()", py::arg("g") = got,
                      py::arg("b") = bytes))
      << py::str(got).cast<std::string>();
}

void expect_numbers_of(const at::Tensor& tensor, const py::object& source) {
  const py::array got = test::elements(tensor);
  EXPECT_TRUE(is_true(
      "g.tolist() == (np.array(a) * 1).tolist()", py::arg("g") = got,
      py::arg("a") = eval("np.array(a.tolist(), bool).reshape(a.shape)", py::arg("a") = source)))
      << py::str(got).cast<std::string>();
}

// Copies of arrays.

const at::TensorOptions as_bool = at::TensorOptions(at::kBool);
const std::vector<std::function<at::Tensor(const py::object&)>> copies = {
    [](const py::object& a) { return ndtorch::tensor(a); },
    [](const py::object& a) { return ndtorch::tensor<bool>(a); },
    [](const py::object& a) { return ndtorch::tensor(a, as_bool); },
    [](const py::object& a) { return ndtorch::tensor(py::make_tuple(a, a))[0]; },
    [](const py::object& a) { return ndtorch::tensor(py::make_tuple(a, a), as_bool)[1]; },
    // Of others than arrays.
    [](const py::object& a) {
      return ndtorch::tensor(eval("torch.as_tensor(a.copy())", py::arg("a") = a));
    },
    [](const py::object& a) {
      const py::object torchs = eval("torch.as_tensor(a.copy())", py::arg("a") = a);
      return ndtorch::tensor(py::make_tuple(torchs))[0];
    },
    [](const py::object& a) { return ndtorch::tensor(eval("memoryview(a)", py::arg("a") = a)); },
};

TEST(a_copy_of_bools, holds_bytes_of_0_and_1) {
  for (const char* const expression : arrays) {
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    for (std::size_t i = 0; i < copies.size(); ++i) {
      SCOPED_TRACE(i);
      expect_bools_of(copies[i](source), source);
    }
  }
}

TEST(a_copy_of_bools, is_made_by_as_tensor_where_a_view_is_refused) {
  for (const char* const expression :
       {"np.arange(24, dtype='u1').view(bool)[::-1]",
        "np.arange(24, dtype='u1').view(bool).reshape(4, 6)[:, ::-1].T"}) {
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    expect_bools_of(ndtorch::as_tensor(source), source);
    expect_bools_of(ndtorch::as_tensor(py::make_tuple(source))[0], source);
  }
}

TEST(a_copy_of_bools, casts_each_byte_but_0_to_1) {
  for (const char* const expression : arrays) {
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    expect_numbers_of(ndtorch::tensor(source, at::TensorOptions(at::kFloat)), source);
    expect_numbers_of(ndtorch::as_tensor(source, at::TensorOptions(at::kByte)), source);
    expect_numbers_of(ndtorch::Tensor(source), source);
    expect_numbers_of(ndtorch::tensor<std::int64_t>(py::make_tuple(source))[0], source);
    expect_numbers_of(tensor_t<const double>::from(source), source);
    const py::object torchs = eval("torch.as_tensor(a.copy())", py::arg("a") = source);
    expect_numbers_of(ndtorch::tensor(torchs, at::TensorOptions(at::kFloat)), source);
    expect_numbers_of(ndtorch::tensor(py::make_tuple(torchs), at::TensorOptions(at::kShort))[0],
                      source);
  }
}

TEST(a_copy_of_bools, has_a_picture_of_pils_in_black_and_white) {
  try {
    py::module_::import("PIL.Image");
  } catch (const py::error_already_set&) {
    GTEST_SKIP() << "this Python has no PIL";
  }
  const at::Tensor tensor =
      ndtorch::tensor(eval("__import__('PIL.Image').Image.new('1', (3, 2), 1)"));
  EXPECT_EQ(tensor.sizes(), (std::vector<std::int64_t>{2, 3}));
  for (std::int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(static_cast<const std::uint8_t*>(tensor.const_data_ptr())[i], 1) << i;
  }
}

// What PIL gives for such a picture.
TEST(a_copy_of_bools, has_what_an_array_interface_describes) {
  const py::object picture = eval(
      "type('picture', (), {'__array_interface__': {'version': 3, 'shape': (2, 3), 'typestr': "
      "'|b1', "
      "'data': bytes([255, 255, 0, 255, 7, 0])}})()");
  const py::object expected = eval("np.array([[True, True, False], [True, True, False]])");
  expect_bools_of(ndtorch::tensor(picture), expected);
  expect_bools_of(ndtorch::tensor(py::make_tuple(picture))[0], expected);
  expect_bools_of(tensor_t<const bool>::from(picture), expected);
}

TEST(a_copy_of_bools, keeps_the_order_of_the_axes) {
  const py::object source = eval("np.arange(24, dtype='u1').view(bool).reshape(2, 3, 4).T");
  EXPECT_EQ(ndtorch::tensor(source).strides(), (std::vector<std::int64_t>{1, 4, 12}));
}

TEST(a_view_of_bools, keeps_the_bytes_as_they_are) {
  const py::object source = eval(arrays[0]);
  const at::Tensor tensor = ndtorch::from_numpy(source);
  EXPECT_EQ(static_cast<const std::uint8_t*>(tensor.const_data_ptr())[0], 255);
  EXPECT_EQ(ndtorch::numpy(tensor).data(), tensor.const_data_ptr());
}

// Copies of tensors.

TEST(to_numpy_of_bools, casts_each_byte_but_0_to_1) {
  for (const char* const expression : arrays) {
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    const at::Tensor tensor = ndtorch::as_tensor(source);
    expect_numbers_of(ndtorch::from_numpy(ndtorch::to_numpy<float>(tensor)), source);
    expect_numbers_of(ndtorch::from_numpy(ndtorch::to_numpy<std::uint8_t>(tensor)), source);
  }
}

TEST(a_policy_that_copies, gives_bools_of_0_and_1) {
  const py::object source = eval(arrays[0]);
  const tensor_t<> tensor(ndtorch::from_numpy(source));
  const auto made = py::reinterpret_steal<py::array>(
      py::detail::make_caster<tensor_t<>>::cast(tensor, py::return_value_policy::copy, {}));
  expect_bools_of(ndtorch::from_numpy(made), source);
}

TEST(to_dlpack_of_bools, copies_them_as_0_and_1) {
  const py::object source = eval(arrays[0]);
  const py::object offer = ndtorch::to_dlpack(ndtorch::from_numpy(source));
  const py::object made = eval("np.from_dlpack(o, copy=True)", py::arg("o") = offer);
  expect_bools_of(ndtorch::from_numpy(made), source);
}

// A device.

const at::Device inverted(at::kPrivateUse1, 0);

TEST(bools_of_a_device, are_0_and_1_whichever_way_they_are_copied) {
  for (const char* const expression : arrays) {
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    const auto options = at::TensorOptions(inverted);
    expect_bools_of(ndtorch::tensor(source, options), source);
    expect_bools_of(ndtorch::as_tensor(source, options), source);
    expect_numbers_of(ndtorch::tensor(source, options.dtype(at::kFloat)).cpu(), source);
    const at::Tensor held = ndtorch::as_tensor(source);
    expect_bools_of(ndtorch::detail::copy_to(held, at::kBool, inverted, false), source);
    expect_numbers_of(ndtorch::detail::copy_to(held, at::kFloat, inverted, false).cpu(), source);

    // Bytes that are other than 0 and 1 there too, and the way back.
    const at::Tensor there = held.view(at::kByte).to(inverted).view(at::kBool);
    expect_bools_of(ndtorch::from_numpy(ndtorch::to_numpy(there)), source);
    expect_bools_of(ndtorch::from_numpy(ndtorch::to_numpy_async(there).wait()), source);
    expect_numbers_of(ndtorch::from_numpy(ndtorch::to_numpy<float>(there)), source);
  }
}

// Typed access.

template <class Tensor>
std::int64_t counted(const Tensor& tensor) {
  std::int64_t count = 0;
  for (const bool each : tensor) count += static_cast<std::int64_t>(each);
  return count;
}

TEST(typed_access, counts_each_true_pixel_once) {
  const py::object source = eval(arrays[0]);
  const auto tensor = tensor_t<const bool, ndim<1>>::from(source);
  EXPECT_EQ(counted(tensor), 3);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < 4; ++i) count += static_cast<std::int64_t>(tensor.view()[i]);
  EXPECT_EQ(count, 3);
  EXPECT_EQ(static_cast<const std::uint8_t*>(tensor.const_data_ptr())[0], 1);
  EXPECT_EQ(static_cast<const std::uint8_t*>(py::array(source).data())[0], 255) << "a copy";
}

TEST(typed_access, to_const_bools_shares_an_array_of_0_and_1) {
  for (const char* const expression :
       {"np.array([True, False, True])", "np.ones((30, 40), bool).T[::2, 3:]",
        "np.arange(100, dtype='u1').view(bool)[:2]", "np.zeros(0, bool)", "np.array(True)",
        "np.broadcast_to(np.array([True, False]), (10**6, 2**20, 2))",
        "np.frombuffer(bytes([0, 1, 1]), bool)",
        "np.lib.stride_tricks.as_strided(np.ones(100, bool), (50, 50), (1, 1))",
        // The bytes between the elements are nobody's.
        "np.array([1, 255, 0, 255, 1], 'u1').view(bool)[::2]"}) {
    SCOPED_TRACE(expression);
    const py::array source = array(expression);
    const auto tensor = tensor_t<const bool>::from(source, /*convert=*/false);
    EXPECT_EQ(tensor.storage().data(), source.data());
  }
}

TEST(typed_access, to_const_bools_copies_others_and_only_where_it_may) {
  for (const char* const expression : arrays) {
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    if (is_true("a.size == 0", py::arg("a") = source)) continue;
    expect_bools_of(tensor_t<const bool>::from(source), source);
    expect_bools_of(tensor_t<const bool, c_contig>::from(source), source);
    expect_bools_of(tensor_t<const bool, f_contig>::from(source), source);
    message_of<py::type_error>([&] { tensor_t<const bool>::from(source, false); });
  }
  const std::string text =
      message_of<py::type_error>([] { tensor_t<const bool>::from(eval(arrays[0]), false); });
  EXPECT_CONTAINS(text, "expected bools of 0 and 1, since C++ knows no others (got other bytes)");
  EXPECT_CONTAINS(text, "Copy it first, with array != 0.");
}

TEST(typed_access, to_const_bools_takes_others_memory_by_the_same_rule) {
  const py::object torchs = eval("torch.tensor([255, 0, 7], dtype=torch.uint8).view(torch.bool)");
  EXPECT_EQ(counted(tensor_t<const bool, ndim<1>>::from(torchs)), 2);
  const std::string text =
      message_of<py::type_error>([&] { tensor_t<const bool>::from(torchs, false); });
  EXPECT_CONTAINS(text, "Copy it first, with tensor.view(torch.uint8) != 0.");
  const py::object valid = eval("torch.tensor([True, False])");
  EXPECT_EQ(tensor_t<const bool>::from(valid, false).data_ptr(),
            reinterpret_cast<const bool*>(valid.attr("data_ptr")().cast<std::uintptr_t>()));
}

TEST(typed_access, to_const_bools_in_a_capsule_follows_the_same_rule) {
  const char* const capsule = "np.array([255, 0, 7], 'u1').view(bool).__dlpack__()";
  using bools = tensor_t<const bool, ndim<1>>;
  const bools copied = bools::from(eval(capsule));
  EXPECT_EQ(counted(copied), 2);
  EXPECT_EQ(static_cast<const std::uint8_t*>(copied.const_data_ptr())[0], 1);
  EXPECT_CONTAINS(message_of<py::type_error>([&] { bools::from(eval(capsule), false); }),
                  "expected bools of 0 and 1");
}

TEST(typed_access, without_bools_takes_their_bytes_as_they_are) {
  const py::array source = array(arrays[0]);
  EXPECT_EQ(tensor_t<>::from(source, false).const_data_ptr(), source.data());
  EXPECT_EQ(tensor_t<c_contig>::from(source, false).const_data_ptr(), source.data());
}

TEST(typed_access, makes_bools_that_may_be_written_0_and_1_where_they_are) {
  for (const char* const expression : arrays) {
    if (std::string(expression).find("broadcast_to") != std::string::npos ||
        std::string(expression).find("frombuffer") != std::string::npos ||
        std::string(expression).find("::-") != std::string::npos) {
      continue;  // read-only, or no view
    }
    SCOPED_TRACE(expression);
    const py::object source = eval(expression);
    const py::object before =
        eval("np.array(a.tolist(), bool).reshape(a.shape)", py::arg("a") = source);
    const auto tensor = tensor_t<bool>::from(source, /*convert=*/false);
    EXPECT_EQ(tensor.storage().data(), py::array(source).data());
    expect_bools_of(tensor, before);
    EXPECT_TRUE(test::same_elements(source, before));
  }
  const py::array gaps = array("np.array([7, 255, 0, 255, 7], 'u1').view(bool)[::2]");
  EXPECT_EQ(counted(tensor_t<bool, ndim<1>>::from(gaps)), 2);
  EXPECT_TRUE(is_true("a.base.tolist() == [1, 255, 0, 255, 1]", py::arg("a") = gaps));
}

TEST(typed_access, writes_only_into_the_arguments_of_the_overload_that_is_called) {
  auto module = test::new_module();
  module.def("f", [](const tensor_t<bool>&, const py::str&) { return 1; });
  module.def("f", [](const tensor_t<const std::uint8_t>&, const py::object&) { return 2; });
  module.def("f", [](const tensor_t<bool, ndim<1>>& mask, int) { return counted(mask); });
  const py::object bytes = eval("np.array([255, 0, 7], 'u1')");
  const py::object mask = bytes.attr("view")("bool");
  EXPECT_EQ(module.attr("f")(mask, py::none()).cast<int>(), 2);
  EXPECT_TRUE(is_true("b.tolist() == [255, 0, 7]", py::arg("b") = bytes));
  EXPECT_EQ(module.attr("f")(mask, 1).cast<int>(), 2) << "counted";
  EXPECT_TRUE(is_true("b.tolist() == [1, 0, 1]", py::arg("b") = bytes));
}

TEST(typed_access, to_a_tensor_of_libtorchs_follows_the_same_rules) {
  std::uint8_t bytes[] = {255, 0, 7};
  const at::Tensor tensor = at::from_blob(bytes, {3}, at::TensorOptions(at::kBool));
  const std::string text = message_of<py::type_error>([&] { tensor_t<const bool>{tensor}; });
  EXPECT_CONTAINS(text, "expected bools of 0 and 1");
  EXPECT_EQ(bytes[0], 255);
  EXPECT_EQ(counted(tensor_t<bool, ndim<1>>(tensor)), 2);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[2], 1);
  EXPECT_EQ(tensor_t<const bool>(tensor).data_ptr(), reinterpret_cast<const bool*>(bytes));
  // Memory that nobody has written yet.
  EXPECT_TRUE(tensor_t<bool>(at::empty({100}, at::kBool)).defined());
}

TEST(typed_access, leaves_a_read_only_array_as_it_is) {
  const py::object source = eval("np.frombuffer(bytes([255, 0, 7]), bool)");
  const tensor_t<bool, ndim<1>> tensor(ndtorch::from_numpy(source));
  EXPECT_EQ(counted(tensor), 2);
  EXPECT_EQ(static_cast<const std::uint8_t*>(py::array(source).data())[0], 255);
}

}  // namespace
