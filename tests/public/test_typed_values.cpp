// ndtorch/typed.h: a tensor_t's elements, tensor_t from at::Tensor, and results in Python
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/to_sparse.h>
#include <ATen/ops/to_sparse_csr.h>
#include <ATen/ops/zeros.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/typed.h>
#include <pybind11/stl.h>

#include <complex>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "support/arrays.h"
#include "support/exports.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::c_contig;
using ndtorch::f_contig;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;
using policy = py::return_value_policy;
using test::array;
using test::eval;
using test::is_true;
using test::message_of;
using test::python_function;
using test::repr_of;
using test::same_elements;

// Element access

TEST(view, reads_and_writes_each_element_of_a_strided_array) {
  const py::array source = array("np.arange(24, dtype='f4').reshape(4, 6)[1:, ::2].T");
  const auto tensor = tensor_t<float, shape<3, -1>>::from(source);
  const auto elements = tensor.view();
  static_assert(std::is_same_v<decltype(elements), const at::TensorAccessor<float, 2>>);
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) {
      EXPECT_EQ(elements[i][j], py::cast<float>(source[py::make_tuple(i, j)]));
    }
  }
  tensor.accessor()[2][0] = -1;
  EXPECT_EQ(py::cast<float>(source[py::make_tuple(2, 0)]), -1);
}

TEST(view, of_const_elements_keeps_read_only_memory_shared) {
  const py::array source = array("np.broadcast_to(np.arange(3.), (2, 3))");
  const auto tensor = tensor_t<const double, ndim<2>>::from(source);
  const auto elements = tensor.view();
  static_assert(std::is_same_v<decltype(elements), const at::TensorAccessor<const double, 2>>);
  EXPECT_EQ(elements[1][2], 2);
  EXPECT_EQ(&elements[0][0], source.data());
  static_assert(std::is_same_v<decltype(tensor.data_ptr()), const double*>);
  EXPECT_EQ(tensor.data_ptr(), source.data());
  EXPECT_EQ(tensor.storage().data(), source.data()) << "reading has copied the memory";
}

TEST(view, of_elements_to_write_moves_off_read_only_memory) {
  const py::array source = array("np.broadcast_to(np.arange(3.), (2, 3))");
  const tensor_t<double, ndim<2>> tensor(ndtorch::from_numpy(source));
  tensor.view()[0][1] = 7;
  EXPECT_NE(tensor.storage().data(), source.data());
  EXPECT_EQ(py::cast<double>(source[py::make_tuple(0, 1)]), 1);
}

TEST(view, works_for_every_kind_of_element) {
  const auto first = [](auto element, const char* source) {
    using T = decltype(element);
    const auto tensor = tensor_t<const T, ndim<1>>::from(eval(source));
    return tensor.view()[0];
  };
  EXPECT_EQ(first(bool(), "[True]"), true);
  EXPECT_EQ(first(std::int64_t(), "[2**62]"), std::int64_t{1} << 62);
  EXPECT_EQ(first(std::uint64_t(), "np.array([2**63], 'u8')"), std::uint64_t{1} << 63);
  EXPECT_EQ(first(c10::Half(), "np.array([0.5], 'f2')"), c10::Half(0.5F));
  EXPECT_EQ(first(c10::BFloat16(), "np.array([0.5], ml_dtypes.bfloat16)"), c10::BFloat16(0.5F));
  EXPECT_EQ(first(c10::complex<float>(), "[1 + 2j]"), c10::complex<float>(1, 2));
  EXPECT_EQ(first(std::complex<double>(), "[1 + 2j]"), std::complex<double>(1, 2));
}

TEST(view, leaves_at_tensors_own_functions_alone) {
  const tensor_t<float, ndim<2>> tensor(at::ones({2, 3}));
  EXPECT_EQ(tensor.view({3, 2}).sizes(), (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ((tensor.accessor<float, 2>()[1][2]), 1);
  EXPECT_EQ(tensor.data_ptr<float>(), tensor.data_ptr());
  EXPECT_EQ(tensor_t<>(tensor).data_ptr(), static_cast<void*>(tensor.data_ptr()));
}

// From C++

TEST(construction, shares_the_tensor) {
  const at::Tensor tensor = at::zeros({2, 3});
  const tensor_t<float, shape<2, -1>, c_contig> typed(tensor);
  EXPECT_TRUE(typed.is_same(tensor));
  const tensor_t<const float> looser(typed);
  EXPECT_TRUE(looser.is_same(tensor));
  static_assert(!std::is_convertible_v<at::Tensor, tensor_t<float>>, "a check can fail: say it");
  static_assert(std::is_convertible_v<tensor_t<float>, at::Tensor>);
}

TEST(construction, checks_each_constraint) {
  const at::Tensor tensor = at::zeros({2, 3}).t();
  const auto refused = [&](auto* typed) {
    using T = std::remove_pointer_t<decltype(typed)>;
    return message_of<py::type_error>([&] { T{tensor}; });
  };
  const std::string got =
      ". Got a tensor of shape [3, 2], strides [1, 3] elements, dtype Float, device cpu. ";
  EXPECT_EQ(refused(static_cast<tensor_t<double>*>(nullptr)),
            "expected dtype float64 (got float32)" + got + "Cast it first, with tensor.to(dtype).");
  EXPECT_EQ(refused(static_cast<tensor_t<ndim<3>>*>(nullptr)),
            "expected 3 dimensions (got 2)" + got + "Reshape it first.");
  EXPECT_EQ(refused(static_cast<tensor_t<shape<2, -1>>*>(nullptr)),
            "expected shape (2, *) (got (3, 2))" + got + "Reshape or slice it first.");
  EXPECT_EQ(refused(static_cast<tensor_t<c_contig>*>(nullptr)),
            "expected memory in C order" + got + "Copy it first, with tensor.contiguous().");
  EXPECT_EQ(
      refused(static_cast<tensor_t<ndtorch::device::cuda>*>(nullptr)),
      "expected a tensor on cuda (got cpu)" + got + "Move it there first, with tensor.to(device).");
  EXPECT_EQ((tensor_t<float, shape<3, 2>, f_contig, ndtorch::device::cpu>(tensor).numel()), 6);
  EXPECT_EQ(
      message_of<py::type_error>([] { tensor_t<f_contig>{at::zeros({2, 3})}; }),
      "expected memory in Fortran order. Got a tensor of shape [2, 3], strides [3, 1] elements, "
      "dtype Float, device cpu. Copy it first: reverse its axes with tensor.permute(), call "
      "contiguous(), and reverse them back.");
}

TEST(construction, refuses_an_undefined_tensor) {
  EXPECT_EQ(message_of<py::type_error>([] { tensor_t<>{at::Tensor()}; }),
            "expected a tensor (got an undefined one).");
  EXPECT_FALSE(tensor_t<float>().defined());
}

TEST(construction, refuses_a_nested_tensor) {
  const at::Tensor nested = test::nested();
  EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<>{nested}; }),
                  "expected a dense tensor (got a nested one). Use Tensor.to_padded_tensor(0)");
}

// What mdspan() asks, which few standard libraries have.
TEST(layout_stride, has_axes_that_step_over_those_with_smaller_steps) {
  const auto strides_of = [](const char* expression) {
    const at::Tensor tensor = ndtorch::from_numpy(eval(expression));
    std::vector<std::int64_t> strides(static_cast<std::size_t>(tensor.dim()));
    if (!ndtorch::detail::layout_stride_of(tensor, strides.data())) strides.clear();
    return strides;
  };
  using vector = std::vector<std::int64_t>;
  EXPECT_EQ(strides_of("np.zeros((2, 3, 4))"), (vector{12, 4, 1}));
  EXPECT_EQ(strides_of("np.zeros((2, 3, 4)).T"), (vector{1, 4, 12}));
  EXPECT_EQ(strides_of("np.zeros((2, 6))[:, ::2]"), (vector{6, 2}));
  EXPECT_EQ(strides_of("np.broadcast_to(np.zeros(3), (1, 3))"), (vector{1, 1}));
  EXPECT_EQ(strides_of("np.broadcast_to(np.zeros((0, 1)), (0, 3))"), (vector{3, 1}));
  EXPECT_EQ(strides_of("np.zeros((2, 5))[:, ::2]"), vector()) << "each element has its place";
  EXPECT_EQ(strides_of("np.broadcast_to(np.zeros(3), (2, 3))"), vector());
  EXPECT_EQ(strides_of("np.lib.stride_tricks.sliding_window_view(np.zeros(4), 2)"), vector());
}

TEST(construction, takes_any_layout_where_no_order_is_asked_for) {
  const at::Tensor sparse = at::ones({3}).to_sparse();
  EXPECT_TRUE(tensor_t<float>(sparse).is_sparse());
  EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<c_contig>{sparse}; }),
                  "expected memory in C order");
  // Which LibTorch doesn't even ask for strides.
  const at::Tensor rows = at::ones({3, 2}).to_sparse_csr();
  EXPECT_TRUE((tensor_t<float, shape<3, 2>>(rows).is_sparse_csr()));
  EXPECT_CONTAINS(
      message_of<py::type_error>([&] { tensor_t<c_contig>{rows}; }),
      "expected memory in C order. Got a tensor of shape [3, 2], layout SparseCsr, dtype");
  EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<ndim<1>>{rows}; }),
                  "expected 1 dimension (got 2). Got a tensor of shape [3, 2], layout SparseCsr");
}

TEST(construction, needs_no_gil) {
  const at::Tensor tensor = at::ones({3});
  test::on_thread_without_gil([&] { EXPECT_EQ(*tensor_t<float>(tensor).data_ptr(), 1); });
}

// Arguments and results in pybind11's containers

bool shares_memory(py::handle a, py::handle b) {
  return is_true("np.shares_memory(a, b)", py::arg("a") = a, py::arg("b") = b);
}

TEST(result, is_an_array_on_the_same_memory) {
  const py::array source = array("np.arange(6.).reshape(2, 3).T");
  const auto same = python_function([](const tensor_t<double>& x) { return x; });
  const py::array result = same(source);
  EXPECT_TRUE(same_elements(result, source));
  EXPECT_EQ(result.data(), source.data());
  EXPECT_TRUE(result.base().is(source.base()) || result.base().is(source));
  EXPECT_TRUE(is_true("r.strides == s.strides", py::arg("r") = result, py::arg("s") = source));
}

TEST(result, of_a_read_only_array_is_read_only) {
  const py::array source = array("np.broadcast_to(np.arange(3.), (2, 3))");
  const py::array result =
      python_function([](const tensor_t<const double>& x) { return x; })(source);
  EXPECT_EQ(result.data(), source.data());
  EXPECT_FALSE(result.writeable());
}

TEST(result, that_is_undefined_is_none) {
  EXPECT_TRUE(python_function([] { return tensor_t<>(); })().is_none());
  EXPECT_TRUE(python_function([] { return tensor_t<float>(); }, policy::copy)().is_none());
}

TEST(result, that_requires_grad_is_an_error) {
  const auto with_grad = test::raised_by(
      [] { python_function([] { return tensor_t<float>(at::ones({2}).requires_grad_()); })(); });
  EXPECT_EQ(with_grad.type, "RuntimeError");
  EXPECT_CONTAINS(with_grad.text, "Can't call numpy() on Tensor that requires grad.");
}

TEST(optional, is_none_or_an_array) {
  using optional = std::optional<tensor_t<const float, ndim<1>>>;
  const auto same = python_function([](const optional& x) { return x; });
  const py::array source = array("np.arange(3, dtype='f4')");
  EXPECT_EQ(py::array(same(source)).data(), source.data());
  EXPECT_TRUE(same(py::none()).is_none());
  EXPECT_EQ(repr_of(same(py::make_tuple(1, 2))), "array([1., 2.], dtype=float32)");
  EXPECT_EQ(test::raised_by([&] { same(eval("np.zeros((2, 2))")); }).type, "TypeError");
}

TEST(vector, is_a_sequence_of_arrays) {
  using vector = std::vector<tensor_t<double, ndim<1>>>;
  const auto reversed = python_function([](vector batch) {
    std::reverse(batch.begin(), batch.end());
    for (const auto& one : batch) one.fill_(7);
    return batch;
  });
  const py::list sources = eval("[np.zeros(2), np.zeros(4)[::2]]");
  const py::list results = reversed(sources);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_TRUE(shares_memory(results[0], sources[1]));
  EXPECT_TRUE(shares_memory(results[1], sources[0]));
  EXPECT_EQ(repr_of(sources), "[array([7., 7.]), array([7., 7.])]");
  EXPECT_EQ(py::list(reversed(py::tuple())).size(), 0U);
  const py::object mixed = eval("(np.zeros(2), np.zeros(2, 'f4'))");
  EXPECT_EQ(test::raised_by([&] { reversed(mixed); }).type, "TypeError");
}

TEST(tuple_and_pair, hold_a_tensor_in_each_place) {
  using pair = std::pair<tensor_t<float>, tensor_t<double>>;
  using triple = std::tuple<tensor_t<double>, tensor_t<float>, int>;
  const auto swapped = python_function(
      [](pair both) { return triple(std::move(both.second), std::move(both.first), 3); });
  const py::tuple sources = eval("(np.zeros(2, 'f4'), np.zeros(3))");
  const py::tuple results = swapped(sources);
  EXPECT_TRUE(shares_memory(results[0], sources[1]));
  EXPECT_TRUE(shares_memory(results[1], sources[0]));
  EXPECT_EQ(py::cast<int>(results[2]), 3);
  const py::object other_way = eval("(np.zeros(3), np.zeros(2, 'f4'))");
  EXPECT_EQ(test::raised_by([&] { swapped(other_way); }).type, "TypeError");
}

TEST(dict, has_tensors_as_values) {
  const auto same = python_function([](std::map<std::string, tensor_t<>> named) { return named; });
  const py::dict sources = eval("dict(a=np.zeros(2), b=np.arange(3))");
  const py::dict results = same(sources);
  EXPECT_EQ(repr_of(results), repr_of(sources));
  EXPECT_TRUE(shares_memory(results["a"], sources["a"]));
  EXPECT_TRUE(shares_memory(results["b"], sources["b"]));
}

TEST(variant, takes_the_alternative_that_matches) {
  using variant = std::variant<tensor_t<const float>, tensor_t<const double>, std::string>;
  const auto which = python_function([](const variant& one) { return one.index(); });
  EXPECT_TRUE(which(eval("np.zeros(2, 'f4')")).equal(py::int_(0)));
  EXPECT_TRUE(which(eval("np.zeros(2)")).equal(py::int_(1)));
  EXPECT_TRUE(which("text").equal(py::int_(2)));
}

// Return value policies

class holder {
 public:
  tensor_t<float> tensor{at::zeros({3})};
  tensor_t<float>& reference() { return tensor; }
};

py::object new_holder() {
  // It stays for good: the interpreter ends before static objects do.
  static const py::object& type = *new py::object(
      py::class_<holder>(py::module_::import("__main__"), "holder", py::module_local())
          .def(py::init<>())
          .def("shared", &holder::reference)
          .def("copied", &holder::reference, policy::copy)
          .def("moved", &holder::reference, policy::move)
          .def("referred", &holder::reference, policy::reference)
          .def("internal", &holder::reference, policy::reference_internal)
          .def(
              "pointer", [](holder& self) { return &self.tensor; }, policy::reference)
          .def_readwrite("member", &holder::tensor)
          .def("__call__", [](holder& self) { return self.tensor[0].item<float>(); }));
  return type();
}

TEST(policy_copy, gives_memory_of_its_own) {
  const py::object owner = new_holder();
  const py::array copy = owner.attr("copied")();
  copy[py::int_(0)] = 1;
  EXPECT_TRUE(owner().equal(py::float_(0.0)));
  EXPECT_TRUE(copy.writeable());
}

TEST(policy_of_every_other_kind, shares_the_memory) {
  for (const char* method : {"shared", "moved", "referred", "internal", "pointer"}) {
    SCOPED_TRACE(method);
    const py::object owner = new_holder();
    const py::array result = owner.attr(method)();
    result[py::int_(0)] = 1;
    EXPECT_TRUE(owner().equal(py::float_(1.0)));
  }
}

TEST(policy_reference_internal, checks_the_tensor_as_numpy_does) {
  const py::object owner = new_holder();
  py::cast<holder&>(owner).tensor = tensor_t<float>(at::ones({2}).requires_grad_());
  EXPECT_EQ(test::raised_by([&] { owner.attr("internal")(); }).type, "RuntimeError");
}

TEST(policy_of_every_kind, gives_none_for_an_undefined_tensor) {
  const py::object owner = new_holder();
  py::cast<holder&>(owner).tensor = {};
  for (const char* method : {"shared", "copied", "moved", "referred", "internal", "pointer"}) {
    SCOPED_TRACE(method);
    EXPECT_TRUE(owner.attr(method)().is_none());
  }
}

TEST(policy_of_every_other_kind, lets_the_parent_go_and_keeps_the_memory) {
  for (const char* method : {"shared", "referred", "pointer", "internal"}) {
    SCOPED_TRACE(method);
    py::object owner = new_holder();
    const test::watched watched(owner);
    const py::array result = owner.attr(method)();
    owner = py::object();
    EXPECT_FALSE(watched.is_alive());
    EXPECT_EQ(repr_of(result), "array([0., 0., 0.], dtype=float32)");
  }
}

TEST(policy_default, of_a_member_that_is_set_takes_the_callers_array) {
  const py::object owner = new_holder();
  const py::array source = array("np.zeros(2, 'f4')");
  owner.attr("member") = source;
  source[py::int_(0)] = 5;
  EXPECT_TRUE(owner().equal(py::float_(5.0)));
  EXPECT_EQ(test::raised_by([&] { owner.attr("member") = 3; }).type, "TypeError");
}

TEST(policy_take_ownership, deletes_what_the_pointer_points_to) {
  for (const policy how : {policy::automatic, policy::take_ownership}) {
    const at::Tensor tensor = at::ones({3});
    const auto give = python_function([&] { return new tensor_t<>(tensor); }, how);
    const auto uses = tensor.use_count();
    EXPECT_EQ(repr_of(give()), "array([1., 1., 1.], dtype=float32)");
    EXPECT_EQ(tensor.use_count(), uses);
  }
  const auto nothing = python_function([]() -> tensor_t<>* { return nullptr; });
  EXPECT_TRUE(nothing().is_none());
}

}  // namespace
