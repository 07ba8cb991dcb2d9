// Who keeps whose memory alive: arrays and tensors that go in any order and on any thread.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>
#include <ndtorch/ndtorch.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::base_of;
using test::eval;
using test::on_thread_without_gil;
using test::references;
using test::watched;

// Whether a tensor's storage is still there, without keeping it.
class watched_storage {
 public:
  explicit watched_storage(const at::Tensor& tensor)
      : storage_(c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(
            tensor.storage().unsafeGetStorageImpl())) {}
  bool is_alive() const { return !storage_.expired(); }

 private:
  c10::weak_intrusive_ptr<c10::StorageImpl> storage_;
};

// ----- array -> tensor

struct sharing_function {
  const char* name;
  at::Tensor (*call)(py::handle);
};

const sharing_function sharing_functions[] = {
    {"from_numpy", [](py::handle a) { return ndtorch::from_numpy(a); }},
    {"from_numpy_of_T", [](py::handle a) { return ndtorch::from_numpy<double>(a); }},
    {"as_tensor", [](py::handle a) { return ndtorch::as_tensor(a); }},
};

class shared_array : public testing::TestWithParam<sharing_function> {
 protected:
  static at::Tensor share(py::handle array) { return GetParam().call(array); }
};

INSTANTIATE_TEST_SUITE_P(lifetime, shared_array, testing::ValuesIn(sharing_functions),
                         [](const auto& one) { return one.param.name; });

TEST_P(shared_array, outlives_its_name_in_python) {
  py::object source = array("np.arange(6.)");
  const watched original(source);
  EXPECT_EQ(references(source), 1);
  at::Tensor tensor = share(source);
  EXPECT_EQ(references(source), 2);
  source.release().dec_ref();
  EXPECT_TRUE(original.is_alive());
  EXPECT_EQ(tensor.sum().item<double>(), 15);
  tensor.fill_(2);
  EXPECT_EQ(tensor.sum().item<double>(), 12);
  tensor.reset();
  EXPECT_FALSE(original.is_alive());
}

TEST_P(shared_array, stays_as_it_is_when_the_tensor_goes) {
  const py::array source = array("np.arange(6.)");
  at::Tensor tensor = share(source);
  tensor[1] = 7;
  tensor.reset();
  EXPECT_EQ(references(source), 1);
  EXPECT_TRUE(test::same_elements(source, array("np.array([0., 7, 2, 3, 4, 5])")));
}

TEST_P(shared_array, is_kept_by_a_slice_of_the_tensor) {
  py::object source = array("np.arange(6.)");
  const watched original(source);
  at::Tensor tensor = share(source);
  at::Tensor slice = tensor.slice(0, 4, 6).view({2, 1});
  at::Tensor detached = slice.detach();
  source.release().dec_ref();
  tensor.reset();
  slice.reset();
  EXPECT_TRUE(original.is_alive());
  EXPECT_EQ(detached.sum().item<double>(), 9);
  detached.reset();
  EXPECT_FALSE(original.is_alive());
}

TEST_P(shared_array, is_kept_with_what_it_is_a_view_of) {
  py::object whole = array("np.arange(6.)");
  const watched original(whole);
  at::Tensor tensor = share(whole[py::slice(4, 6, 1)]);
  whole.release().dec_ref();
  EXPECT_TRUE(original.is_alive());
  EXPECT_EQ(tensor.sum().item<double>(), 9);
  tensor.reset();
  EXPECT_FALSE(original.is_alive());
}

TEST_P(shared_array, is_kept_by_the_graph_of_autograd) {
  py::object source = array("np.arange(3.)");
  const watched original(source);
  const at::Tensor weight = at::ones({3}, at::kDouble).set_requires_grad(true);
  at::Tensor loss = weight.mul(share(source)).sum();
  source.release().dec_ref();
  EXPECT_TRUE(original.is_alive());
  on_thread_without_gil([&] { loss.backward(); });
  EXPECT_EQ(weight.grad().sum().item<double>(), 3);
  loss.reset();
  EXPECT_FALSE(original.is_alive());
}

TEST(copied_array, is_not_kept) {
  const std::function<at::Tensor(py::handle)> copies[] = {
      [](py::handle a) { return ndtorch::tensor(a); },
      [](py::handle a) { return ndtorch::tensor<float>(a); },
      [](py::handle a) { return ndtorch::Tensor(a); },
      [](py::handle a) { return ndtorch::as_tensor(a, at::kFloat); },
      [](py::handle a) { return ndtorch::as_tensor(a.attr("__getitem__")(eval("np.s_[::-1]"))); },
      [](py::handle a) { return ndtorch::tensor(py::make_tuple(a, a)); },
  };
  for (const auto& copy : copies) {
    py::object source = array("np.ones(6)");
    const watched original(source);
    const at::Tensor tensor = copy(source);
    EXPECT_EQ(references(source), 1);
    source.release().dec_ref();
    EXPECT_FALSE(original.is_alive());
    EXPECT_EQ(tensor.mean().item<double>(), 1);
  }
}

// Freed when this program has ended Python: the test is that it doesn't crash.
at::Tensor outliving_python;

TEST(tensor_on_an_array, may_outlive_the_interpreter) {
  outliving_python = ndtorch::from_numpy(array("np.arange(6.)"));
  EXPECT_TRUE(std::atexit([] { outliving_python.reset(); }) == 0);
}

// ----- tensor -> array

TEST(shared_tensor, outlives_its_name_in_cpp) {
  at::Tensor tensor = at::arange(6.);
  const watched_storage original(tensor);
  py::object result = ndtorch::numpy(tensor);
  EXPECT_EQ(tensor.use_count(), 1U);
  tensor.reset();
  EXPECT_TRUE(original.is_alive());
  EXPECT_TRUE(test::same_elements(result, array("np.arange(6, dtype=np.float32)")));
  result[py::int_(0)] = 3;
  EXPECT_EQ(py::cast<float>(result.attr("sum")()), 18);
  result.release().dec_ref();
  EXPECT_FALSE(original.is_alive());
}

TEST(shared_tensor, stays_as_it_is_when_the_array_goes) {
  const at::Tensor tensor = at::arange(6.);
  const auto before = tensor.storage().use_count();
  ndtorch::numpy(tensor)[py::int_(1)] = 7;
  EXPECT_EQ(tensor.storage().use_count(), before);
  EXPECT_EQ(tensor.sum().item<float>(), 21);
}

TEST(shared_tensor, is_kept_by_a_view_of_the_array) {
  at::Tensor tensor = at::arange(6.);
  const watched_storage original(tensor);
  py::object view = ndtorch::to_numpy(tensor)[py::slice(4, 6, 1)].attr("reshape")(2, 1);
  tensor.reset();
  EXPECT_TRUE(original.is_alive());
  EXPECT_EQ(py::cast<float>(view.attr("sum")()), 9);
  view.release().dec_ref();
  EXPECT_FALSE(original.is_alive());
}

TEST(shared_tensor, gives_its_memory_back_once_no_array_is_left) {
  std::array<float, 3> memory = {1, 2, 3};
  int freed = 0;
  at::Tensor tensor = at::from_blob(memory.data(), {3}, [&](void*) { ++freed; });
  py::object first = ndtorch::numpy(tensor);
  py::object second = ndtorch::numpy(tensor.slice(0, 1, 2));
  tensor.reset();
  first.release().dec_ref();
  EXPECT_EQ(freed, 0);
  EXPECT_EQ(py::cast<float>(second[py::int_(0)]), 2);
  second.release().dec_ref();
  EXPECT_EQ(freed, 1);
}

TEST(shared_tensor, is_not_kept_where_the_export_is_a_copy) {
  const at::Tensor tensor = at::arange(6.).set_requires_grad(true);
  const auto before = tensor.storage().use_count();
  const py::array copy = ndtorch::to_numpy<double>(tensor);
  EXPECT_EQ(tensor.storage().use_count(), before);
}

// ----- there and back

TEST(round_trip, has_the_original_array_as_its_base) {
  py::object source = array("np.arange(6.)");
  const watched original(source);
  at::Tensor tensor = ndtorch::from_numpy(source);
  py::object result = ndtorch::numpy(tensor);
  py::object part = ndtorch::to_numpy(tensor.slice(0, 2, 4));
  EXPECT_TRUE(base_of(result).is(source));
  EXPECT_TRUE(base_of(part).is(source));
  tensor.reset();
  source.release().dec_ref();
  result.release().dec_ref();
  EXPECT_TRUE(original.is_alive());
  EXPECT_EQ(py::cast<double>(part.attr("sum")()), 5);
  part.release().dec_ref();
  EXPECT_FALSE(original.is_alive());
}

TEST(round_trip, of_a_tensor_keeps_its_storage) {
  at::Tensor tensor = at::arange(6.);
  const watched_storage original(tensor);
  at::Tensor result = ndtorch::from_numpy(ndtorch::numpy(tensor));
  tensor.reset();
  EXPECT_TRUE(original.is_alive());
  EXPECT_EQ(result.sum().item<float>(), 15);
  result.reset();
  EXPECT_FALSE(original.is_alive());
}

int chain_length(py::object array) {
  int length = 0;
  for (; py::hasattr(array, "base") && !base_of(array).is_none(); array = base_of(array)) ++length;
  return length;
}

TEST(round_trip, builds_no_chain_however_often_it_is_made) {
  for (const char* expression : {"np.arange(6.)", "np.arange(6.)[1:]", "np.arange(6.)[::2]",
                                 "np.broadcast_to(1., (2, 3))", "np.matrix([[1., 2.]])"}) {
    SCOPED_TRACE(expression);
    py::object result = array(expression);
    const int before = chain_length(result);
    const watched original(result);
    std::vector<watched> between;
    for (int i = 0; i < 100; ++i) {
      result = ndtorch::numpy(ndtorch::from_numpy(result));
      between.emplace_back(result);
      EXPECT_LE(chain_length(result), before + 2);
    }
    int alive = 0;
    for (const watched& one : between) alive += one.is_alive();
    EXPECT_LE(alive, 2) << "the result, and what a view of it would have been";
    EXPECT_TRUE(test::same_elements(result, array(expression)));
  }
}

// A subclass may give its memory back where it ends. NumPy names it as the base of a plain view, too.
TEST(round_trip, of_a_subclass_has_it_as_its_base_whatever_that_is_a_view_of) {
  const py::dict names = test::exec(
      "class leased(np.ndarray): pass\n"
      "whole = np.arange(10.)\n"
      "lease = whole[2:].view(leased)\n"
      "plain = np.asarray(lease)");
  for (const char* name : {"lease", "plain"}) {
    SCOPED_TRACE(name);
    const py::object original = names[name];
    EXPECT_TRUE(base_of(ndtorch::numpy(ndtorch::from_numpy(original))).is(original));
  }
}

TEST(round_trip, of_a_tensor_builds_no_chain_either) {
  at::Tensor tensor = at::arange(6.);
  const watched_storage original(tensor);
  std::vector<watched_storage> between;
  for (int i = 0; i < 100; ++i) {
    tensor = ndtorch::from_numpy(ndtorch::numpy(tensor));
    between.emplace_back(tensor);
  }
  int alive = 0;
  for (const watched_storage& one : between) alive += one.is_alive();
  EXPECT_EQ(alive, 1);
  EXPECT_TRUE(original.is_alive());
  EXPECT_EQ(tensor.sum().item<float>(), 15);
  tensor.reset();
  EXPECT_FALSE(original.is_alive());
}

}  // namespace
