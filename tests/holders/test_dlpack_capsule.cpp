// DLPack's capsules that are passed as they are: taken once, and not by who refuses them
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/typed.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/dlpack.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::eval;
using test::foreign_memory;
using test::message_of;
using test::raised_by;
using test::references;

struct capsule_kind {
  const char* name;
  py::object (foreign_memory::*make)();
  const char* text;  // of its name, and of that afterwards
};

class dlpack_capsule : public testing::TestWithParam<capsule_kind> {
 protected:
  dlpack_capsule() : capsule_((memory_.*GetParam().make)()) {}

  void TearDown() override {
    EXPECT_EQ(references(capsule_), 1);
    capsule_ = py::none();
    EXPECT_EQ(memory_.deleted, memory_.has_deleter ? memory_.made : 0);
  }

  // Whether somebody took what was in it.
  bool is_used() const {
    return std::string(PyCapsule_GetName(capsule_.ptr())) == std::string("used_") + GetParam().text;
  }

  foreign_memory memory_;
  py::object capsule_;
};

INSTANTIATE_TEST_SUITE_P(
    kinds, dlpack_capsule,
    testing::Values(capsule_kind{"versioned", &foreign_memory::capsule<DLManagedTensorVersioned>,
                                 "dltensor_versioned"},
                    capsule_kind{"old", &foreign_memory::capsule<DLManagedTensor>, "dltensor"}),
    [](const auto& one) { return one.param.name; });

TEST_P(dlpack_capsule, shares_memory_both_ways) {
  {
    const at::Tensor tensor = ndtorch::as_tensor(capsule_);
    EXPECT_TRUE(is_used());
    EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 3}));
    EXPECT_EQ(tensor.const_data_ptr(), memory_.data.data());
    memory_.data[4] = 40;
    EXPECT_EQ(tensor[1][1].item<double>(), 40);
    tensor.neg_();
    EXPECT_EQ(memory_.data[4], -40);
    EXPECT_EQ(memory_.deleted, 0);
  }
  EXPECT_EQ(memory_.deleted, 1);
}

TEST_P(dlpack_capsule, is_let_go_by_a_thread_without_the_gil) {
  at::Tensor tensor = ndtorch::as_tensor(capsule_);
  test::on_thread_without_gil([&] { tensor.reset(); });
  EXPECT_EQ(memory_.deleted, 1);
}

TEST_P(dlpack_capsule, is_taken_by_every_way_in_and_only_once) {
  using ndtorch::tensor_t;
  for (const auto function :
       {+[](py::handle x) { return ndtorch::as_tensor(x); },
        +[](py::handle x) { return ndtorch::as_tensor(x, at::kFloat); },
        +[](py::handle x) { return ndtorch::tensor(x); },
        +[](py::handle x) { return ndtorch::Tensor(x); },
        +[](py::handle x) { return ndtorch::tensor(py::make_tuple(x))[0]; },
        +[](py::handle x) { return at::Tensor(tensor_t<>::from(x)); },
        +[](py::handle x) { return at::Tensor(tensor_t<double>::from(x)); },
        +[](py::handle x) { return at::Tensor(tensor_t<const double>::from(x, false)); },
        +[](py::handle x) { return at::Tensor(tensor_t<const float>::from(x)); }}) {
    capsule_ = (memory_.*GetParam().make)();
    EXPECT_EQ(function(capsule_).sum().item<double>(), 15);
    EXPECT_TRUE(is_used());
    EXPECT_EQ(memory_.deleted, memory_.made);
    const std::string message = message_of<py::type_error>([&] { function(capsule_); });
    EXPECT_EQ(message,
              std::string("expected a capsule named dltensor or dltensor_versioned (got one "
                          "named used_") +
                  GetParam().text +
                  "). A capsule can be consumed only once: make a new one, with "
                  "object.__dlpack__().");
  }
}

TEST_P(dlpack_capsule, that_is_refused_stays_as_it_was) {
  const auto functions = {+[](py::handle object) { ndtorch::as_tensor(object); },
                          +[](py::handle object) { ndtorch::tensor(object); },
                          +[](py::handle object) { ndtorch::tensor(py::make_tuple(object)); }};
  for (const test::dlpack_lie& one : test::dlpack_lies) {
    SCOPED_TRACE(one.name);
    foreign_memory memory;
    one.tell(memory);
    py::object liar = (memory.*GetParam().make)();
    for (const auto function : functions) {
      const test::python_error raised = raised_by([&] { function(liar); });
      EXPECT_EQ(raised.type, one.type);
      EXPECT_CONTAINS(raised.text, one.text);
      EXPECT_EQ(references(liar), 1);
    }
    EXPECT_STREQ(PyCapsule_GetName(liar.ptr()), GetParam().text);
    EXPECT_EQ(memory.deleted, 0);
    liar = py::none();
    EXPECT_EQ(memory.deleted, 1);
  }
}

// No pass and no overload that refuses it may use it up: the next one would find nothing in it.
TEST_P(dlpack_capsule, stays_as_it_was_where_an_argument_refuses_it) {
  using namespace ndtorch;
  const auto refuses = [&](auto caster, bool convert) {
    EXPECT_FALSE(caster.load(capsule_, convert));
    EXPECT_FALSE(is_used());
    EXPECT_EQ(PyErr_Occurred(), nullptr);
  };
  for (const bool convert : {false, true}) {
    refuses(py::detail::make_caster<tensor_t<float>>(), convert);
    refuses(py::detail::make_caster<tensor_t<const double, ndim<1>>>(), convert);
    refuses(py::detail::make_caster<tensor_t<shape<2, 4>>>(), convert);
    refuses(py::detail::make_caster<tensor_t<double, f_contig>>(), convert);
  }
  refuses(py::detail::make_caster<tensor_t<const float>>(), false);
  refuses(py::detail::make_caster<tensor_t<f_contig>>(), false);
  EXPECT_CONTAINS(
      message_of<py::type_error>([&] { tensor_t<const float>::from(capsule_, false); }),
      "expected dtype float32 (got float64). Got a DLPack tensor of 2 dimensions, shape (2, 3)");
  // Inside of a sequence, too.
  EXPECT_CONTAINS(message_of<py::value_error>(
                      [&] { ndtorch::tensor(py::make_tuple(capsule_, eval("[[1, 2]]"))); }),
                  "the parts of a tensor must be of the same shape");
  EXPECT_EQ(test::raised_by([&] {
              ndtorch::tensor<std::int8_t>(py::make_tuple(capsule_, eval("[[300] * 3] * 2")));
            }).type,
            "RuntimeError");
  EXPECT_FALSE(is_used());
  EXPECT_EQ(tensor_t<double>::from(capsule_).sum().item<double>(), 15);
}

TEST_P(dlpack_capsule, is_taken_when_the_function_is_called_with_it) {
  using ndtorch::tensor_t;
  auto module = test::new_module();
  // Each of the first two takes the capsule, and refuses what comes with it.
  module.def("f", [](const tensor_t<>&, const tensor_t<float>&) { return 1; });
  module.def("f", [](const tensor_t<const float>&, int) { return 2; });
  module.def("f", [](const tensor_t<const double>& x, const std::string&) {
    return x.sum().item<double>();
  });
  module.def("g", [](const tensor_t<>& x, const tensor_t<>&) { return x.dim(); });
  module.def(
      "h", [](const tensor_t<const double>& x) { return x.sum().item<double>(); },
      py::call_guard<py::gil_scoped_release>());
  EXPECT_EQ(module.attr("f")(capsule_, "x").cast<double>(), 15);
  EXPECT_TRUE(is_used());
  capsule_ = (memory_.*GetParam().make)();
  EXPECT_EQ(module.attr("h")(capsule_).cast<double>(), 15);
  EXPECT_TRUE(is_used());
  capsule_ = (memory_.*GetParam().make)();
  // As two arguments it would be two tensors that both give the memory back.
  EXPECT_CONTAINS(message_of<py::error_already_set>([&] { module.attr("g")(capsule_, capsule_); }),
                  "A capsule can be consumed only once");
  EXPECT_EQ(memory_.deleted, memory_.made);
}

TEST_P(dlpack_capsule, is_left_by_a_call_that_fails_and_says_why) {
  auto module = test::new_module();
  module.def("f", [](const ndtorch::tensor_t<float>&) {});
  module.def("f", [](const ndtorch::tensor_t<const double, ndtorch::ndim<2>>&, int) {});
  ndtorch::explain_mismatches(module, "f");
  const std::string message =
      message_of<py::error_already_set>([&] { module.attr("f")(capsule_, "x"); });
  EXPECT_CONTAINS(message, "f(): incompatible function arguments");
  EXPECT_FALSE(is_used());
  EXPECT_CONTAINS(message_of<py::error_already_set>([&] { module.attr("f")(capsule_); }),
                  "expected dtype float32 (got float64). Got a DLPack tensor of 2 dimensions");
  EXPECT_FALSE(is_used());
}

TEST_P(dlpack_capsule, is_taken_by_one_thread_of_several) {
  for (int round = 0; round < 20; ++round) {
    capsule_ = (memory_.*GetParam().make)();
    std::atomic<int> taken{0}, refused{0};
    {
      const py::gil_scoped_release without_gil;
      std::vector<std::thread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
          const py::gil_scoped_acquire gil;
          try {
            taken += ndtorch::tensor(capsule_).sum().item<double>() == 15 ? 1 : 0;
          } catch (const py::type_error&) {
            ++refused;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
    EXPECT_EQ(taken, 1);
    EXPECT_EQ(refused, 3);
    EXPECT_EQ(memory_.deleted, memory_.made);
  }
}

TEST_P(dlpack_capsule, may_be_several_items_of_a_sequence) {
  foreign_memory second;
  second.data.fill(7);
  py::object other = (second.*GetParam().make)();
  const at::Tensor tensor =
      ndtorch::tensor(py::make_tuple(capsule_, eval("np.ones((2, 3))"), other), at::kFloat);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({3, 2, 3}));
  EXPECT_EQ(tensor[0].sum().item<double>(), 15);
  EXPECT_EQ(tensor[1].sum().item<double>(), 6);
  EXPECT_EQ(tensor[2].sum().item<double>(), 42);
  EXPECT_EQ(memory_.deleted + second.deleted, 2);
  EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::tensor(py::make_tuple(other)); }),
                  "A capsule can be consumed only once");
}

TEST(any_other_capsule, is_refused) {
  foreign_memory memory;
  for (const auto& [capsule, name] :
       {std::pair(eval("__import__('datetime').datetime_CAPI"), "one named datetime.datetime_CAPI"),
        std::pair(py::object(py::capsule(&memory)), "PyCapsule")}) {
    const py::object object = capsule;
    const Py_ssize_t before = references(object);
    for (const auto function : {+[](py::handle x) { ndtorch::as_tensor(x); },
                                +[](py::handle x) { ndtorch::tensor(py::make_tuple(x)); },
                                +[](py::handle x) { ndtorch::tensor_t<>::from(x); }}) {
      EXPECT_CONTAINS(message_of<py::type_error>([&] { function(object); }),
                      std::string("expected a capsule named dltensor or dltensor_versioned (got ") +
                          name + ").");
    }
    EXPECT_EQ(references(object), before);
  }
}

TEST(a_capsule_of_torch, is_read_without_torch_knowing_of_ndtorch) {
  test::import_torch();
  const py::object theirs = eval("torch.arange(6.)");
  for (const char* call : {"x.__dlpack__()", "x.__dlpack__(max_version=(1, 0))",
                           "__import__('torch.utils.dlpack').utils.dlpack.to_dlpack(x)"}) {
    SCOPED_TRACE(call);
    const at::Tensor tensor = ndtorch::as_tensor(eval(call, py::arg("x") = theirs));
    tensor.add_(1);
  }
  EXPECT_EQ(theirs.attr("sum")().attr("item")().cast<double>(), 15 + 3 * 6);
}

}  // namespace
