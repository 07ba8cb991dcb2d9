// What the pages show of C++, and what they say that it does. A block of a page is lines of this file.
#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/core/ScalarType.h>
#include <gtest/gtest.h>
#include <ndtorch/explain.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::tensor_t;

// ---- docs/memory.md

namespace no_owner {
// Nobody keeps the array: the tensor reads memory that others may have by now.
at::Tensor first_rows(const py::array_t<float>& table, std::int64_t count) {
  const std::int64_t columns = table.shape(1);
  return at::from_blob(const_cast<float*>(table.data()), {count, columns}, at::kFloat);
}
}  // namespace no_owner

namespace owner {
at::Tensor first_rows(const py::array_t<float>& table, std::int64_t count) {
  return ndtorch::from_numpy(table).slice(0, 0, count);
}
}  // namespace owner

TEST(memory_page, a_slice_keeps_the_array_alive) {
  at::Tensor rows;
  {
    const py::array_t<float> table(test::array("np.arange(6, dtype='f4').reshape(3, 2)"));
    rows = owner::first_rows(table, 2);
    EXPECT_EQ(rows.const_data_ptr(), table.data());
    EXPECT_EQ(no_owner::first_rows(table, 2).const_data_ptr(), table.data());
  }
  EXPECT_EQ(rows.sum().item<float>(), 6);
}

namespace writes_through {
// Scales the caller's own array, too.
py::array doubled(py::handle array) { return ndtorch::numpy(ndtorch::from_numpy(array).mul_(2)); }
}  // namespace writes_through

namespace leaves_alone {
py::array doubled(py::handle array) { return ndtorch::numpy(ndtorch::from_numpy(array).mul(2)); }
}  // namespace leaves_alone

TEST(memory_page, in_place_functions_write_into_the_array) {
  const py::array array = test::array("np.ones(3)");
  leaves_alone::doubled(array);
  EXPECT_TRUE(test::same_elements(array, test::array("np.ones(3)")));
  writes_through::doubled(array);
  EXPECT_TRUE(test::same_elements(array, test::array("np.full(3, 2.)")));
}

namespace into_a_copy {
// Clips a copy where the array is of another dtype: the caller sees nothing of it.
void clip(py::handle array) { ndtorch::as_tensor(array, at::kFloat).clamp_(0, 1); }
}  // namespace into_a_copy

namespace into_the_array {
void clip(py::handle array) { ndtorch::from_numpy<float>(array).clamp_(0, 1); }
}  // namespace into_the_array

TEST(memory_page, only_shared_memory_can_be_written_for_the_caller) {
  const py::array floats = test::array("np.full(3, 5, 'f4')");
  const py::array doubles = test::array("np.full(3, 5.)");
  into_a_copy::clip(doubles);
  EXPECT_TRUE(test::same_elements(doubles, test::array("np.full(3, 5.)")));
  into_the_array::clip(floats);
  EXPECT_TRUE(test::same_elements(floats, test::array("np.ones(3, 'f4')")));
  EXPECT_THROW(into_the_array::clip(doubles), py::type_error);
}

namespace stale {
// The first write moves the tensor of a read-only array: `first` still points into the array.
float first_after_increment(py::handle read_only_array) {
  const at::Tensor tensor = ndtorch::from_numpy<float>(read_only_array);
  const auto* const first = tensor.const_data_ptr<float>();
  tensor.add_(1);
  return *first;
}
}  // namespace stale

namespace fresh {
float first_after_increment(py::handle read_only_array) {
  const at::Tensor tensor = ndtorch::from_numpy<float>(read_only_array);
  tensor.add_(1);
  return *tensor.const_data_ptr<float>();
}
}  // namespace fresh

TEST(memory_page, a_pointer_grows_stale_with_the_first_write) {
  const py::object array = test::exec("x = np.zeros(3, 'f4'); x.flags.writeable = False")["x"];
  EXPECT_EQ(stale::first_after_increment(array), 0);
#if __has_include(<c10/core/StorageMaterializer.h>)
  EXPECT_EQ(fresh::first_after_increment(array), 1);
#endif
  EXPECT_EQ(ndtorch::from_numpy<float>(array).sum().item<float>(), 0);
}

namespace scratch {
// Each result is on the same memory: a call changes the arrays of the calls before.
class summer {
 public:
  py::array operator()(py::handle rows) {
    at::sum_out(result_, ndtorch::as_tensor(rows, at::kDouble), 0);
    return ndtorch::numpy(result_);
  }

 private:
  at::Tensor result_ = at::zeros({2}, at::kDouble);
};
}  // namespace scratch

namespace own_memory {
class summer {
 public:
  py::array operator()(py::handle rows) {
    return ndtorch::numpy(ndtorch::as_tensor(rows, at::kDouble).sum(0));
  }
};
}  // namespace own_memory

TEST(memory_page, an_array_on_a_reused_tensor_changes_later) {
  const py::object ones = test::eval("np.ones((3, 2))"), zeros = test::eval("np.zeros((3, 2))");
  scratch::summer shared;
  const py::array first = shared(ones);
  shared(zeros);
  EXPECT_TRUE(test::same_elements(first, test::array("np.zeros(2)")));
  own_memory::summer alone;
  const py::array kept = alone(ones);
  alone(zeros);
  EXPECT_TRUE(test::same_elements(kept, test::array("np.full(2, 3.)")));
}

namespace dangling_member {
// The array points into the vector, and may outlive it.
class histogram {
 public:
  py::array counts() { return ndtorch::numpy(at::from_blob(counts_.data(), {8}, at::kLong)); }

 private:
  std::vector<std::int64_t> counts_ = std::vector<std::int64_t>(8);
};
}  // namespace dangling_member

namespace owned_member {
// The array keeps the tensor's memory, whatever becomes of the histogram.
class histogram {
 public:
  py::array counts() { return ndtorch::numpy(counts_); }

 private:
  at::Tensor counts_ = at::zeros({8}, at::kLong);
};
}  // namespace owned_member

TEST(memory_page, an_array_keeps_a_members_memory) {
  py::array counts;
  {
    dangling_member::histogram pointed_into;
    EXPECT_EQ(pointed_into.counts().size(), 8);
    owned_member::histogram held;
    counts = held.counts();
  }
  EXPECT_TRUE(test::same_elements(counts, test::array("np.zeros(8, 'i8')")));
}

// ---- docs/from_blob.md

namespace posted {
at::Tensor to_tensor(py::array array) {
  const std::vector<std::int64_t> sizes(array.shape(), array.shape() + array.ndim());
  return at::from_blob(array.mutable_data(), sizes);
}
}  // namespace posted

namespace posted_with_dtype {
at::Tensor to_tensor(py::array_t<float> array) {
  const std::vector<std::int64_t> sizes(array.shape(), array.shape() + array.ndim());
  return at::from_blob(array.mutable_data(), sizes, at::kFloat);
}
}  // namespace posted_with_dtype

namespace posted_with_deleter {
at::Tensor to_tensor(const py::array_t<float>& array) {
  const std::vector<std::int64_t> sizes(array.shape(), array.shape() + array.ndim());
  void* const data = const_cast<float*>(array.data());
  return at::from_blob(data, sizes, [kept = array](void*) {}, at::kFloat);
}
}  // namespace posted_with_deleter

namespace shared {
at::Tensor to_tensor(py::handle array) { return ndtorch::from_numpy<float>(array); }
}  // namespace shared

namespace copied {
at::Tensor to_tensor(py::handle data) { return ndtorch::as_tensor(data, at::kFloat); }
}  // namespace copied

TEST(from_blob_page, the_posted_code_takes_doubles_for_floats) {
  const py::array doubles = test::array("np.array([1., 2.])");
  EXPECT_NE(posted::to_tensor(doubles).sum().item<float>(), 3);
  EXPECT_THROW(shared::to_tensor(doubles), py::type_error);
  EXPECT_EQ(copied::to_tensor(doubles).sum().item<float>(), 3);
}

TEST(from_blob_page, the_posted_code_ignores_strides) {
  const py::array transposed = test::array("np.arange(4, dtype='f4').reshape(2, 2).T");
  const auto corner = [](const at::Tensor& tensor) { return tensor[0][1].item<float>(); };
  EXPECT_EQ(corner(posted::to_tensor(transposed)), 1);
  EXPECT_EQ(corner(posted_with_dtype::to_tensor(py::array_t<float>(transposed))), 1);
  EXPECT_EQ(corner(posted_with_deleter::to_tensor(py::array_t<float>(transposed))), 1);
  EXPECT_EQ(corner(shared::to_tensor(transposed)), 2);
}

TEST(from_blob_page, the_posted_code_refuses_read_only_arrays) {
  const py::object array = test::exec("x = np.zeros(3, 'f4'); x.flags.writeable = False")["x"];
  EXPECT_THROW(posted::to_tensor(py::array(array)), std::domain_error);
  EXPECT_EQ(shared::to_tensor(array).sum().item<float>(), 0);
}

TEST(from_blob_page, array_t_converts_without_a_word) {
  const py::array integers = test::array("np.arange(3)");
  EXPECT_NE(static_cast<const void*>(py::array_t<float>(integers).data()), integers.data());
}

// ---- docs/python.md

// def standardize(a):
//     t = torch.as_tensor(a, dtype=torch.float32)
//     t = (t - t.mean(0)) / t.std(0)
//     return t.numpy()
py::array standardize(py::handle a) {
  at::Tensor t = ndtorch::as_tensor(a, at::kFloat);
  t = t.sub(t.mean(0)).div(t.std(0));
  return ndtorch::numpy(t);
}

TEST(python_page, the_function_does_what_pythons_does) {
  test::import_torch();
  const py::object array = test::eval("np.arange(12).reshape(4, 3) ** 2");
  const py::object theirs = test::exec(
      "import torch\n"
      "t = torch.as_tensor(a, dtype=torch.float32)\n"
      "t = ((t - t.mean(0)) / t.std(0)).numpy()",
      py::dict(py::arg("a") = array))["t"];
  EXPECT_TRUE(test::same_elements(standardize(array), theirs));
}

// ---- docs/choose.md

TEST(choose_page, explain_says_what_each_function_makes_of_an_array) {
  const std::string text = ndtorch::explain(test::eval("np.arange(6.)[::-1]"));
  EXPECT_NE(text.find("from_numpy: refuses: At least one stride"), std::string::npos) << text;
  EXPECT_NE(text.find("tensor: copies"), std::string::npos) << text;
}

// ---- docs/dtypes.md

std::string c10_name(std::string type) {
  for (std::size_t at = type.find("at::"); at != std::string::npos; at = type.find("at::")) {
    type.replace(at, 4, "c10::");
  }
  return type;
}

// As LibTorch's list names the types, which says at:: for c10:: in some versions; integers as the
// standard does.
std::string cpp_type(const ndtorch::detail::dtype_entry& entry) {
  if (entry.kind == 'i' || entry.kind == 'u') return std::string("std::") + entry.name + "_t";
  switch (entry.scalar_type) {
#define NDTORCH_NAME(cpp, name) \
  case at::ScalarType::name:    \
    return c10_name(#cpp);
    AT_FORALL_SCALAR_TYPES_WITH_COMPLEX_AND_QINTS(NDTORCH_NAME)
#undef NDTORCH_NAME
    default:
      return "";
  }
}

std::string dtype_table() {
  std::ostringstream table;
  table << "| NumPy's name | LibTorch | C++ | bytes | of the package |\n|---|---|---|--:|---|\n";
  for (const ndtorch::detail::dtype_entry& entry : ndtorch::detail::dtypes) {
    table << "| " << entry.name << " | `at::k" << entry.scalar_type << "` | `" << cpp_type(entry)
          << "` | " << entry.item_size << " | " << (entry.is_built_in() ? "numpy" : "ml_dtypes")
          << " |\n";
  }
  return table.str();
}

// With NDTORCH_UPDATE_DOCS set the page gets the table that the code prints.
TEST(dtypes_page, has_the_table_that_the_code_prints) {
  const std::string path = std::string(NDTORCH_DOCS) + "/dtypes.md";
  const std::string begin = "<!-- printed by docs/snippets/pages.cpp: begin -->\n\n";
  const std::string end = "\n<!-- printed by docs/snippets/pages.cpp: end -->";
  std::ifstream file(path);
  std::string page((std::istreambuf_iterator<char>(file)), {});
  ASSERT_NE(page.find(begin), std::string::npos);
  const std::size_t first = page.find(begin) + begin.size();
  const std::size_t to = page.find(end, first);
  ASSERT_NE(to, std::string::npos);
  if (std::getenv("NDTORCH_UPDATE_DOCS") != nullptr) {
    std::ofstream(path) << page.replace(first, to - first, dtype_table());
    return;
  }
  EXPECT_EQ(page.substr(first, to - first), dtype_table());
}

}  // namespace
