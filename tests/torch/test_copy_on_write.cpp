// Tensors on read-only arrays: reads share the array's memory, and the first write moves the tensor
// to memory of its own.
#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/add.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>
#include <ndtorch/ndtorch.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::at_the_same_address;
using test::base_of;
using test::eval;
using test::message_of;
using test::references;
using test::same_elements;

// A read-only array with the value of the expression.
py::array read_only(const std::string& expression) {
  py::array result = array(expression);
  result.attr("setflags")(py::arg("write") = false);
  return result;
}

// Runs `function` on another thread while this one waits for it and has the GIL, as LibTorch does
// with its threads in a parallel region. Fails the test where that thread waits for the GIL.
void run_while_the_gil_is_held(std::function<void()> function) {
  std::future<void> done = std::async(std::launch::async, std::move(function));
  EXPECT_EQ(done.wait_for(std::chrono::seconds(60)), std::future_status::ready) << "a deadlock";
  const py::gil_scoped_release without_gil;
  done.get();
}

// ----- reading

TEST(read, shares_the_arrays_memory) {
  const py::array source = read_only("np.arange(6.).reshape(2, 3)");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  const at::Tensor weight = at::ones({2, 3}, at::kDouble).set_requires_grad(true);
  tensor.mul(weight).sum().backward();
  EXPECT_EQ(tensor.sum().item<double>(), 15);
  EXPECT_EQ(tensor[1][2].item<double>(), 5);
  EXPECT_EQ(tensor.const_data_ptr<double>()[1], 1);
  EXPECT_TRUE(at::equal(tensor.t().matmul(tensor), tensor.clone().t().matmul(tensor)));
  EXPECT_EQ(tensor.contiguous().const_data_ptr(), source.data());
  at::ones({2, 3}, at::kDouble).copy_(tensor);
  EXPECT_FALSE(tensor.toString().empty());
  EXPECT_TRUE(at_the_same_address(tensor, source));
  EXPECT_EQ(references(source), 2);
}

#if !__has_include(<c10/core/StorageMaterializer.h>)
TEST(before_libtorch_2_13, a_first_write_throws_and_leaves_the_array_as_it_is) {
  const py::array source = array("np.broadcast_to(np.float32(7), (2, 3))");
  const Py_ssize_t before = references(source);
  {
    at::Tensor tensor = ndtorch::from_numpy(source);
    EXPECT_EQ(tensor[1][2].item<float>(), 7);
    EXPECT_CONTAINS(message_of<c10::Error>([&] { tensor.fill_(1); }), "Cannot access data pointer");
    EXPECT_THROW(tensor.mutable_data_ptr(), c10::Error);
    EXPECT_EQ(tensor[1][2].item<float>(), 7);
  }
  EXPECT_EQ(references(source), before);
}
#endif

TEST(read, sees_what_others_write_to_the_array_until_the_tensor_is_written_to) {
  const py::object memory = array("np.arange(3.)");
  const py::array view = array("np.broadcast_to(a, a.shape)", py::arg("a") = memory);
  const at::Tensor tensor = ndtorch::from_numpy(view);
  memory[py::int_(0)] = 7;
  EXPECT_EQ(tensor[0].item<double>(), 7);
  tensor[1] = 8;
  memory[py::int_(0)] = 9;
  EXPECT_EQ(tensor[0].item<double>(), 7);
  EXPECT_TRUE(same_elements(memory, array("np.array([9., 1, 2])")));
}

// ----- the first write

struct way_to_write {
  const char* name;
  void (*write)(const at::Tensor&);  // to a tensor of shape (2, 3)
};

const way_to_write ways_to_write[] = {
    {"an_in_place_op", [](const at::Tensor& t) { t.add_(1); }},
    {"fill", [](const at::Tensor& t) { t.fill_(9); }},
    {"copy_into_it", [](const at::Tensor& t) { t.copy_(at::ones({2, 3})); }},
    {"an_op_on_itself", [](const at::Tensor& t) { t.add_(t); }},
    {"an_op_on_a_part_of_itself", [](const at::Tensor& t) { t.sub_(t.slice(0, 1, 2).clone()); }},
    {"out",
     [](const at::Tensor& t) {
       at::Tensor result = t;
       at::add_out(result, t, t);
     }},
    {"an_index", [](const at::Tensor& t) { t[1][0] = 9; }},
    {"a_slice", [](const at::Tensor& t) { t.slice(1, 1, 3).zero_(); }},
    {"a_transposed_view", [](const at::Tensor& t) { t.t().mul_(at::arange(6.).view({3, 2})); }},
    {"a_detached_tensor", [](const at::Tensor& t) { t.detach().neg_(); }},
    {"mutable_data_ptr", [](const at::Tensor& t) { t.mutable_data_ptr<double>()[0] = 9; }},
    {"data_ptr", [](const at::Tensor& t) { t.data_ptr<double>()[0] = 9; }},
    {"an_accessor", [](const at::Tensor& t) { t.accessor<double, 2>()[1][1] = 9; }},
    {"the_storage",
     [](const at::Tensor& t) {
       static_cast<double*>(t.storage().mutable_data())[t.storage_offset()] = 9;
     }},
};

class first_write : public testing::TestWithParam<way_to_write> {
 protected:
  static void write(const at::Tensor& tensor) { GetParam().write(tensor); }
};

INSTANTIATE_TEST_SUITE_P(through, first_write, testing::ValuesIn(ways_to_write),
                         [](const auto& one) { return one.param.name; });

TEST_P(first_write, leaves_the_array_and_reaches_every_view_of_the_tensor) {
  for (const char* expression :
       {"np.arange(6.).reshape(2, 3)", "np.arange(6.).reshape(3, 2).T",
        "np.arange(24.).reshape(4, 6)[1::2, ::2]", "np.frombuffer(bytes(48)).reshape(2, 3)"}) {
    SCOPED_TRACE(expression);
    const py::array source = read_only(expression);
    const at::Tensor tensor = ndtorch::from_numpy(source);
    const at::Tensor made_before = tensor.slice(1, 1, 3).t();
    const at::Tensor expected = tensor.clone();
    const std::vector<std::int64_t> strides = tensor.strides().vec();
    ASSERT_TRUE(at_the_same_address(tensor, source));

    write(tensor);
    write(expected);
    EXPECT_TRUE(same_elements(source, array(expression)));
    EXPECT_FALSE(at_the_same_address(tensor, source));
    EXPECT_TRUE(at::equal(tensor, expected));
    EXPECT_TRUE(at::equal(made_before, expected.slice(1, 1, 3).t()));
    EXPECT_TRUE(at::equal(tensor[1], expected[1])) << "a view made afterwards";
    EXPECT_EQ(tensor.strides(), at::IntArrayRef(strides));

    const void* const own = tensor.const_data_ptr();
    write(tensor);
    EXPECT_EQ(tensor.const_data_ptr(), own) << "the second write has nothing to move";
    EXPECT_TRUE(same_elements(source, array(expression)));
  }
}

// The operator that writes may be at reading it.
TEST_P(first_write, keeps_the_array_until_the_last_tensor_goes) {
  py::object source = read_only("np.arange(6.).reshape(2, 3)");
  const test::watched original(source);
  at::Tensor tensor = ndtorch::from_numpy(source);
  at::Tensor part = tensor[1];
  write(tensor);
  EXPECT_EQ(references(source), 2);
  source.release().dec_ref();
  tensor.reset();
  EXPECT_TRUE(original.is_alive());
  part.reset();
  EXPECT_FALSE(original.is_alive());
}

TEST(first_write, of_an_operator_that_has_taken_a_pointer_to_read_there) {
  // Large enough to be given back to the system, where a read would end the program.
  const at::Tensor tensor = ndtorch::from_numpy(read_only("np.ones((1000, 2000))"));
  at::Tensor result = tensor;
  at::_softmax_out(result, tensor, 1, false);
  EXPECT_DOUBLE_EQ(tensor[0][0].item<double>(), 1. / 2000);
  EXPECT_DOUBLE_EQ(tensor[999][1999].item<double>(), 1. / 2000);
}

TEST_P(first_write, needs_no_other_holder_of_the_array) {
  const at::Tensor tensor = ndtorch::from_numpy(read_only("np.arange(6.).reshape(2, 3)"));
  const at::Tensor expected = at::arange(6., at::kDouble).view({2, 3});
  write(tensor);
  write(expected);
  EXPECT_TRUE(at::equal(tensor, expected));
}

TEST_P(first_write, works_on_a_thread_without_the_gil) {
  py::object source = read_only("np.arange(6.).reshape(2, 3)");
  const test::watched original(source);
  at::Tensor tensor = ndtorch::from_numpy(source);
  const at::Tensor expected = tensor.clone();
  write(expected);
  test::on_thread_without_gil([&] { write(tensor); });
  EXPECT_TRUE(at::equal(tensor, expected));
  EXPECT_TRUE(same_elements(source, array("np.arange(6.).reshape(2, 3)")));
  source.release().dec_ref();
  test::on_thread_without_gil([&] { tensor.reset(); });
  EXPECT_FALSE(original.is_alive());
}

TEST_P(first_write, waits_for_no_gil) {
  const py::array source = read_only("np.arange(6.).reshape(2, 3)");
  {
    const at::Tensor tensor = ndtorch::from_numpy(source);
    run_while_the_gil_is_held([&] { write(tensor); });
    EXPECT_TRUE(same_elements(source, array("np.arange(6.).reshape(2, 3)")));
  }
  EXPECT_EQ(references(source), 1);
}

TEST(first_write, of_another_tensor_leaves_this_one_sharing) {
  const py::array source = read_only("np.arange(3.)");
  const at::Tensor written = ndtorch::from_numpy(source);
  const at::Tensor other = ndtorch::as_tensor(source);
  written.zero_();
  EXPECT_TRUE(at_the_same_address(other, source));
  EXPECT_EQ(other.sum().item<double>(), 3);
}

TEST(first_write, leaves_a_file_as_it_is) {
  // To write to these pages would end the program.
  const py::dict python = test::exec(R"(
import tempfile
file = tempfile.NamedTemporaryFile()
np.arange(6.).tofile(file.name)
a = np.memmap(file.name, float, 'r')
)");
  const at::Tensor tensor = ndtorch::from_numpy(python["a"]);
  tensor.mul_(2);
  EXPECT_EQ(tensor.sum().item<double>(), 30);
  EXPECT_TRUE(same_elements(eval("np.fromfile(f.name)", py::arg("f") = python["file"]),
                            array("np.arange(6.)")));
}

// ----- many elements, many threads, many tensors

constexpr std::int64_t large = std::int64_t{1} << 20;  // LibTorch shares the work among its threads

TEST(large_array, is_left_by_an_op_that_runs_in_parallel) {
  const py::array source = read_only("np.zeros(2**20)");
  const at::Tensor with_gil = ndtorch::from_numpy(source);
  with_gil.add_(1);
  const at::Tensor without_gil = ndtorch::from_numpy(source);
  test::on_thread_without_gil([&] { without_gil.add_(1); });
  const at::Tensor on_a_thread = ndtorch::from_numpy(source);
  run_while_the_gil_is_held([&] { on_a_thread.add_(1); });
  for (const at::Tensor& tensor : {with_gil, without_gil, on_a_thread}) {
    EXPECT_EQ(tensor.sum().item<double>(), static_cast<double>(large));
  }
  EXPECT_FALSE(py::cast<bool>(source.attr("any")()));
}

TEST(threads, may_make_the_first_write_at_once) {
  const py::array source = read_only("np.zeros(2**16)");
  for (int round = 0; round < 100; ++round) {
    const at::Tensor tensor = ndtorch::from_numpy(source);
    run_while_the_gil_is_held([&] {
      std::vector<std::thread> threads;
      for (std::int64_t i = 0; i < 4; ++i) {
        threads.emplace_back([&tensor, i] { tensor.mutable_data_ptr<double>()[i] = 1; });
      }
      for (std::thread& thread : threads) thread.join();
    });
    EXPECT_EQ(tensor.sum().item<double>(), 4);
  }
  EXPECT_FALSE(py::cast<bool>(source.attr("any")()));
  EXPECT_EQ(references(source), 1);
}

TEST(many_tensors, may_be_written_to_while_the_gil_is_held) {
  const py::array source = read_only("np.zeros(3)");
  std::vector<at::Tensor> tensors;
  for (int i = 0; i < 200; ++i) tensors.push_back(ndtorch::from_numpy(source));
  run_while_the_gil_is_held([&] {
    for (const at::Tensor& tensor : tensors) tensor.add_(1);
  });
  for (const at::Tensor& tensor : tensors) EXPECT_EQ(tensor.sum().item<double>(), 3);
  tensors.clear();
  EXPECT_EQ(references(source), 1);
}

// ----- export

TEST(export_before_the_first_write, shares_and_is_read_only) {
  const py::array source = read_only("np.arange(6.)");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  for (const py::array& result : {ndtorch::numpy(tensor), ndtorch::to_numpy(tensor)}) {
    EXPECT_EQ(result.data(), source.data());
    EXPECT_TRUE(base_of(result).is(source));
    EXPECT_FALSE(result.writeable());
    EXPECT_CONTAINS(message_of<py::error_already_set>([&] { result[py::int_(0)] = 1; }),
                    "read-only");
    message_of<py::error_already_set>([&] { result.attr("setflags")(py::arg("write") = true); });
  }
  EXPECT_TRUE(at_the_same_address(tensor, source));
}

TEST(export_before_the_first_write, keeps_the_old_content) {
  const py::array source = read_only("np.arange(6.)");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  const py::array before = ndtorch::numpy(tensor);
  tensor.zero_();
  EXPECT_TRUE(same_elements(before, source));
  EXPECT_EQ(before.data(), source.data());
}

// The tensor copies on write, as was decided when it was made: the export is of the copy, and holds
// that, but not the array, which the tensor does for as long as it lives.
TEST(export_before_the_first_write, of_an_array_that_became_writable_is_of_the_tensors_own_memory) {
  for (const bool keeps_array : {true, false}) {
    py::object source = eval("np.arange(1000.)");
    source.attr("flags").attr("writeable") = false;
    at::Tensor tensor = ndtorch::from_numpy(source);
    source.attr("flags").attr("writeable") = true;
    if (!keeps_array) source = py::none();

    const py::array exported = ndtorch::numpy(tensor);
    EXPECT_TRUE(at_the_same_address(tensor, exported));
    EXPECT_TRUE(exported.writeable());
    tensor.add_(1);
    EXPECT_EQ(exported.attr("sum")().cast<double>(), 500500);
    tensor.reset();
    EXPECT_EQ(exported.attr("sum")().cast<double>(), 500500);
    if (keeps_array) {
      EXPECT_EQ(references(source), 1);
      EXPECT_EQ(source.attr("sum")().cast<double>(), 499500);
    }
  }
}

#if __has_include(<c10/core/StorageMaterializer.h>)

// Whose the memory is, is read in one piece with where it is: not while a first write changes both.
TEST(export_before_the_first_write, waits_for_one_that_is_under_way_and_not_with_the_gil) {
  const py::array source = read_only("np.arange(6.)");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  for (const bool as_array : {true, false}) {
    std::promise<void> begun;
    std::atomic<bool> is_over{false};
    std::thread writer([&] {
      const std::scoped_lock lock(ndtorch::detail::moving());
      begun.set_value();
      const py::gil_scoped_acquire gil;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      is_over = true;
    });
    begun.get_future().wait();
    if (as_array) {
      ndtorch::numpy(tensor);
    } else {
      ndtorch::detail::offer_dlpack<DLManagedTensorVersioned>(tensor);
    }
    EXPECT_TRUE(is_over);
    const py::gil_scoped_release without_gil;
    writer.join();
  }
}

#endif

TEST(export_before_the_first_write, may_meet_the_first_write_of_another_thread) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "LibTorch's hook is looked at without a lock";
#endif
  const py::array source = read_only("np.arange(6.)");
  const py::object before = eval("x.tolist()", py::arg("x") = source);
  for (int i = 0; i < 2000; ++i) {
    const at::Tensor tensor = ndtorch::from_numpy(source);
    std::atomic<bool> is_there{false};
    std::thread writer([&] {
      is_there = true;
      tensor.mutable_data_ptr();
    });
    while (!is_there) std::this_thread::yield();
    const py::array exported = ndtorch::numpy(tensor);
    const auto offered = ndtorch::detail::offer_dlpack<DLManagedTensorVersioned>(tensor);
    const bool is_shared = exported.data() == source.data();
    ASSERT_EQ(base_of(exported).is(source), is_shared);
    ASSERT_EQ(exported.writeable(), !is_shared);
    ASSERT_EQ((offered->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0,
              offered->dl_tensor.data == source.data());
    {
      const py::gil_scoped_release without_gil;
      writer.join();
    }
    ASSERT_TRUE(before.equal(exported.attr("tolist")()));
  }
  EXPECT_EQ(references(source), 1);
}

TEST(export_after_the_first_write, is_writable_and_does_not_share_with_the_array) {
  const py::array source = read_only("np.arange(6.)");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  const at::Tensor part = tensor.slice(0, 2, 4);
  tensor[3] = 9;
  for (const at::Tensor& one : {tensor, part}) {
    const py::array result = ndtorch::numpy(one);
    EXPECT_TRUE(result.writeable());
    EXPECT_EQ(result.data(), one.const_data_ptr());
    EXPECT_FALSE(py::isinstance<py::array>(base_of(result)));
  }
  ndtorch::numpy(part)[py::int_(0)] = 7;
  EXPECT_EQ(tensor[2].item<double>(), 7);
  EXPECT_TRUE(same_elements(source, array("np.arange(6.)")));
}

TEST(export_before_the_first_write, comes_back_as_a_tensor_that_copies_on_write) {
  const py::array source = read_only("np.arange(6.)");
  const at::Tensor first = ndtorch::from_numpy(source);
  const at::Tensor second = ndtorch::from_numpy(ndtorch::numpy(first));
  EXPECT_TRUE(at_the_same_address(second, source));
  second.zero_();
  EXPECT_TRUE(at_the_same_address(first, source));
  EXPECT_TRUE(same_elements(source, array("np.arange(6.)")));
}

// ----- gradients

TEST(leaf_that_requires_grad, is_refused_the_write_and_stays_shared) {
  const py::array source = read_only("np.ones(3)");
  const at::Tensor leaf = ndtorch::as_tensor(source, at::TensorOptions().requires_grad(true));
  EXPECT_THROW(leaf.add_(1), c10::Error);
  EXPECT_TRUE(at_the_same_address(leaf, source));
  EXPECT_TRUE(same_elements(source, array("np.ones(3)")));
}

TEST(leaf_that_requires_grad, may_be_trained_and_leaves_the_array) {
  const py::array source = read_only("np.ones(3)");
  const at::Tensor leaf = ndtorch::as_tensor(source, at::TensorOptions().requires_grad(true));
  leaf.mul(leaf).sum().backward();
  EXPECT_TRUE(at_the_same_address(leaf, source));
  {
    const c10::AutoGradMode no_grad(false);
    leaf.sub_(leaf.grad());
  }
  EXPECT_EQ(leaf.sum().item<double>(), -3);
  EXPECT_EQ(leaf.detach().sum().item<double>(), -3);
  EXPECT_TRUE(leaf.requires_grad());
  EXPECT_TRUE(same_elements(source, array("np.ones(3)")));
}

TEST(leaf_that_requires_grad, keeps_autograds_count_of_writes) {
  const at::Tensor input = ndtorch::from_numpy(read_only("np.ones(3)"));
  const at::Tensor weight = at::ones({3}, at::kDouble).set_requires_grad(true);
  const at::Tensor loss = weight.mul(input).sum();
  input.zero_();
  EXPECT_THROW(loss.backward(), c10::Error) << "what was saved for it has been written to";
}

// ----- memory that is less than it seems

TEST(empty_array, may_be_written_to) {
  for (const char* expression :
       {"np.zeros(0)", "np.zeros((2, 0, 3))", "np.zeros((0, 3))[:, ::2]"}) {
    SCOPED_TRACE(expression);
    const py::array source = read_only(expression);
    const at::Tensor tensor = ndtorch::from_numpy(source);
    EXPECT_FALSE(ndtorch::numpy(tensor).writeable());
    tensor.fill_(1);
    tensor.mutable_data_ptr();
    tensor.storage().mutable_data();
    EXPECT_EQ(tensor.numel(), 0);
    EXPECT_TRUE(ndtorch::numpy(tensor).writeable());
  }
}

TEST(broadcast_array, is_refused_the_write_of_an_op_and_stays_shared) {
  const py::array source = array("np.broadcast_to(np.arange(3.), (2, 3))");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  EXPECT_EQ(tensor.storage().nbytes(), 24U);
  EXPECT_THROW(tensor.add_(1), c10::Error) << "elements share memory";
  EXPECT_TRUE(at_the_same_address(tensor, source));
  EXPECT_TRUE(same_elements(source, array("np.broadcast_to(np.arange(3.), (2, 3))")));
}

TEST(broadcast_array, is_left_by_a_write_to_one_row) {
  const py::array source = array("np.broadcast_to(np.arange(3.), (2, 3))");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  tensor[0].add_(1);
  EXPECT_EQ(tensor.sum().item<double>(), 12) << "the rows are one";
  EXPECT_EQ(tensor.strides(), at::IntArrayRef({0, 1}));
  EXPECT_FALSE(ndtorch::numpy(tensor).writeable()) << "elements overlap still";
  EXPECT_TRUE(same_elements(source, array("np.broadcast_to(np.arange(3.), (2, 3))")));
}

}  // namespace
