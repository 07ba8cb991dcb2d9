// Several translation units and two extension modules in one process, and this program as a third user
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include <string>
#include <utility>
#include <vector>

#include "modules/tensor_capsule.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::eval;
using test::is_true;
using test::raised_by;
using test::references;
using test::unwrap;
using test::wrap;

class modules : public testing::Test {
 protected:
  // Before any test imports torch.
  static void SetUpTestSuite() {
    static const bool needed = [] {
      py::module_::import("plain_module");
      py::module_::import("numpy_module");
      return py::module_::import("sys").attr("modules").contains("torch");
    }();
    needed_torch = needed;
  }

  const py::module_ plain = py::module_::import("plain_module");
  const py::module_ numpy = py::module_::import("numpy_module");
  const std::vector<py::module_> both = {plain, numpy};
  static inline bool needed_torch = true;
};

TEST_F(modules, import_without_importing_torch) { EXPECT_FALSE(needed_torch); }

TEST_F(modules, an_array_through_one_comes_out_of_the_other_with_the_original_as_its_base) {
  for (const py::module_& first : both) {
    for (const py::module_& second : both) {
      SCOPED_TRACE(py::str(py::make_tuple(first, second)).cast<std::string>());
      const py::array original = array("np.arange(6.).reshape(2, 3)");
      const Py_ssize_t before = references(original);
      {
        const py::object tensor = first.attr("from_numpy")(original);
        for (const char* function : {"numpy", "to_numpy"}) {
          const py::array result = second.attr(function)(tensor);
          EXPECT_EQ(result.base().ptr(), original.ptr());
          EXPECT_EQ(result.data(), original.data());
        }
        const py::object again = second.attr("from_numpy")(second.attr("numpy")(tensor));
        EXPECT_TRUE(test::base_of(first.attr("numpy")(again)).is(original)) << "back again";
      }
      EXPECT_EQ(references(original), before);
    }
  }
}

TEST_F(modules, this_program_knows_their_arrays_and_they_know_its) {
  const py::array original = array("np.arange(3.)");
  const Py_ssize_t before = references(original);
  for (const py::module_& module : both) {
    const py::object theirs = module.attr("from_numpy")(original);
    EXPECT_EQ(ndtorch::numpy(unwrap(theirs)).base().ptr(), original.ptr());
    const py::capsule ours = wrap(ndtorch::from_numpy(original));
    EXPECT_TRUE(test::base_of(module.attr("numpy")(ours)).is(original));
  }
  EXPECT_EQ(references(original), before);
}

// One may export a tensor of the other's at any time.
TEST_F(modules, wait_for_each_others_first_writes) {
  const char* name = "lock_of_first_writes";
  EXPECT_TRUE(plain.attr(name)().equal(numpy.attr(name)()));
}

// What dies without the GIL is dropped in order, whoever made it.
TEST_F(modules, have_one_queue_for_what_dies_without_the_gil) {
  EXPECT_TRUE(plain.attr("waiting_references")().equal(numpy.attr("waiting_references")()));
  const auto ours = [] {
    ndtorch::detail::object_deleter();
    return reinterpret_cast<std::uintptr_t>(ndtorch::detail::known_waiting_references().load());
  };
  EXPECT_EQ(plain.attr("waiting_references")().cast<std::uintptr_t>(), ours());
}

TEST_F(modules, share_one_memory) {
  const py::array original = array("np.zeros(3)");
  const py::object tensor = plain.attr("from_numpy")(original);
  const py::object result = numpy.attr("numpy")(tensor);
  test::exec("a[0] = 5", py::dict(py::arg("a") = original));
  numpy.attr("add_one")(tensor);
  EXPECT_TRUE(is_true("a.tolist() == b.tolist() == [6, 1, 1]", py::arg("a") = original,
                      py::arg("b") = result));
}

TEST_F(modules, a_tensor_of_one_module_dies_on_a_thread_without_the_gil) {
  for (const py::module_& module : both) {
    const py::array original = array("np.arange(3.)");
    const Py_ssize_t before = references(original);
    at::Tensor tensor;
    {
      const py::object capsule = module.attr("from_numpy")(original);
      tensor = unwrap(capsule);
    }
    EXPECT_EQ(references(original), before + 1);
    test::on_thread_without_gil([&] { tensor.reset(); });
    EXPECT_EQ(references(original), before);
  }
}

TEST_F(modules, a_read_only_array_keeps_its_content_when_the_other_module_writes) {
  for (const auto& [first, second] : {std::pair(plain, numpy), std::pair(numpy, plain)}) {
    const py::array original = array("np.broadcast_to(np.arange(3.), (1, 3))[0]");
    const Py_ssize_t before = references(original);
    {
      const py::object tensor = first.attr("from_numpy")(original);
      const py::array shared = second.attr("numpy")(tensor);
      EXPECT_FALSE(shared.writeable());
      EXPECT_EQ(shared.data(), original.data());

      second.attr("add_one")(tensor);
      EXPECT_TRUE(is_true("a.tolist() == [0, 1, 2]", py::arg("a") = original));
      const py::array written = first.attr("numpy")(tensor);
      EXPECT_TRUE(is_true("a.tolist() == [1, 2, 3]", py::arg("a") = written));
      EXPECT_TRUE(written.writeable());
      EXPECT_NE(written.base().ptr(), original.ptr());
    }
    EXPECT_EQ(references(original), before);
  }
}

TEST_F(modules, load_one_table_of_numpys_api_for_all_their_files) {
  for (const py::module_& module : both) {
    EXPECT_EQ(module.attr("api_in_import")().cast<std::uintptr_t>(),
              module.attr("api_in_export")().cast<std::uintptr_t>());
  }
}

TEST_F(modules, numpys_own_api_works_beside_ndtorch) {
  EXPECT_TRUE(numpy.attr("same_memory")().cast<bool>());
  const py::object tensor = numpy.attr("tensor")(eval("[[1, 2], [3, 4]]"));
  EXPECT_EQ(numpy.attr("sum")(tensor).cast<double>(), 10);
  EXPECT_EQ(numpy.attr("sum")(plain.attr("tensor")(eval("[1.5, 2]"))).cast<double>(), 3.5);
}

TEST_F(modules, raise_the_same_python_exceptions) {
  const py::object requires_grad = wrap(at::ones({3}).requires_grad_());
  const py::object sparse = wrap(at::ones({3}).to_sparse());
  const py::object deep = wrap(at::ones(std::vector<std::int64_t>(65, 1)));
  const py::object meta = wrap(at::empty({3}, at::kMeta));
  const py::object backwards = eval("np.arange(3)[::-1]");
  struct failure {
    const char* function;
    py::object argument;
    const char* type;
    const char* text;
  };
  const std::vector<failure> failures = {
      {"from_numpy", eval("[1, 2]"), "TypeError", "expected np.ndarray (got list)"},
      {"from_numpy", eval("np.array(['a'])"), "TypeError", "can't convert np.ndarray of type"},
      {"from_numpy", backwards, "ValueError", "negative"},
      {"numpy", requires_grad, "RuntimeError", "requires grad"},
      {"numpy", sparse, "TypeError", "can't convert Sparse layout tensor to numpy"},
      {"numpy", deep, "ValueError", "number of dimensions must be within [0, 64]"},
      {"to_numpy", meta, "NotImplementedError", "Cannot copy out of meta tensor; no data!"},
  };
  for (const failure& one : failures) {
    const Py_ssize_t before = references(one.argument);
    for (const py::module_& module : both) {
      SCOPED_TRACE(one.function);
      const auto raised = raised_by([&] { module.attr(one.function)(one.argument); });
      EXPECT_EQ(raised.type, one.type);
      EXPECT_CONTAINS(raised.text, one.text);
    }
    EXPECT_EQ(references(one.argument), before);
  }
}

TEST_F(modules, catch_each_others_exceptions_in_cpp) {
  const py::object is_type_error = numpy.attr("is_type_error");
  for (const py::module_& module : both) {
    const py::object from_numpy = module.attr("from_numpy");
    EXPECT_TRUE(is_type_error(from_numpy, py::list()).cast<bool>());
    EXPECT_FALSE(is_type_error(from_numpy, eval("np.arange(3)[::-1]")).cast<bool>());
    EXPECT_FALSE(is_type_error(from_numpy, eval("np.arange(3)")).cast<bool>());
  }
}

TEST_F(modules, work_beside_pythons_torch) {
  const py::array original = array("np.arange(3.)");
  const py::object tensor = plain.attr("from_numpy")(original);
  const py::object theirs = eval("torch.from_numpy(a)", py::arg("a") = numpy.attr("numpy")(tensor));
  theirs.attr("add_")(1);
  EXPECT_TRUE(is_true("a.tolist() == [1, 2, 3]", py::arg("a") = original));
}

}  // namespace
