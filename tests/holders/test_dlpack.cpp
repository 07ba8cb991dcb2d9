// as_tensor and tensor of objects with __dlpack__: what they say is taken, checked and given back
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/typed.h>

#include <cstdint>

#include "support/dlpack.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::eval;
using test::foreign_memory;
using test::is_true;
using test::message_of;
using test::old_producer;
using test::raised_by;
using test::references;
using test::versioned_producer;

// The ways that memory can come: each makes an object that gives `memory` away.
struct way {
  const char* name;
  py::object (*object_on)(foreign_memory& memory);
};

// The C functions of the type that the third way makes; they know one memory at a time.
namespace table {

foreign_memory* current = nullptr;

int give(void*, DLManagedTensorVersioned** out) {
  *out = current->give<DLManagedTensorVersioned>();
  return 0;
}

DLPackExchangeAPI functions{};

py::object object_on(foreign_memory& memory, DLPackManagedTensorFromPyObjectNoSync function) {
  current = &memory;
  functions.header = {{DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION}, nullptr};
  functions.managed_tensor_from_py_object_no_sync = function;
  py::object object = versioned_producer(memory);
  py::type::of(object).attr("__dlpack_c_exchange_api__") =
      py::capsule(&functions, "dlpack_exchange_api");
  return object;
}

}  // namespace table

const way ways[] = {
    {"versioned", &versioned_producer},
    {"old", &old_producer},
    {"table", [](foreign_memory& memory) { return table::object_on(memory, &table::give); }},
};

class dlpack : public testing::TestWithParam<way> {
 protected:
  dlpack() : object_(GetParam().object_on(memory_)) {}

  // Every test's end: all that was given away was deleted, once, and nothing holds the object.
  void TearDown() override {
    EXPECT_EQ(memory_.deleted, memory_.has_deleter ? memory_.made : 0);
    EXPECT_EQ(references(object_), 1);
  }

  int alive() const { return memory_.made - memory_.deleted; }

  foreign_memory memory_;
  py::object object_;
};

INSTANTIATE_TEST_SUITE_P(ways, dlpack, testing::ValuesIn(ways),
                         [](const auto& one) { return one.param.name; });

TEST_P(dlpack, shares_memory_both_ways) {
  const at::Tensor tensor = ndtorch::as_tensor(object_);
  EXPECT_EQ(tensor.scalar_type(), at::kDouble);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 3}));
  EXPECT_EQ(tensor.strides(), at::IntArrayRef({3, 1}));
  EXPECT_TRUE(tensor.device().is_cpu());
  EXPECT_EQ(tensor.const_data_ptr(), memory_.data.data());
  memory_.data[4] = 40;
  EXPECT_EQ(tensor[1][1].item<double>(), 40);
  tensor.neg_();
  EXPECT_EQ(memory_.data[4], -40);
  EXPECT_EQ(memory_.made, 1);
}

TEST_P(dlpack, is_kept_as_long_as_any_tensor_on_it) {
  at::Tensor tensor = ndtorch::as_tensor(object_);
  at::Tensor slice = tensor[1].view({3, 1});
  tensor.reset();
  EXPECT_EQ(alive(), 1);
  EXPECT_EQ(slice.sum().item<double>(), 12);
  slice.reset();
  EXPECT_EQ(alive(), 0);
}

TEST_P(dlpack, is_let_go_by_a_thread_without_the_gil) {
  at::Tensor tensor = ndtorch::as_tensor(object_);
  test::on_thread_without_gil([&] { tensor.reset(); });
  EXPECT_EQ(alive(), 0);
}

TEST_P(dlpack, is_let_go_at_once_by_a_copy) {
  const at::Tensor copies[] = {ndtorch::tensor(object_), ndtorch::as_tensor(object_, at::kFloat),
                               ndtorch::Tensor(object_)};
  EXPECT_EQ(alive(), 0);
  EXPECT_EQ(memory_.made, 3);
  memory_.data.fill(0);
  EXPECT_EQ(copies[0].scalar_type(), at::kDouble);
  EXPECT_EQ(copies[1].scalar_type(), at::kFloat);
  EXPECT_EQ(copies[2].scalar_type(), at::kFloat);
  for (const at::Tensor& copy : copies) EXPECT_EQ(copy.sum().item<double>(), 15);
}

TEST_P(dlpack, may_lack_a_deleter) {
  memory_.has_deleter = false;
  const at::Tensor tensor = ndtorch::as_tensor(object_);
  EXPECT_EQ(tensor.sum().item<double>(), 15);
}

TEST_P(dlpack, has_its_strides_in_elements) {
  memory_.strides = {1, 2};
  const at::Tensor tensor = ndtorch::as_tensor(object_);
  EXPECT_EQ(tensor.strides(), at::IntArrayRef({1, 2}));
  EXPECT_EQ(tensor[1][2].item<double>(), 5);
}

TEST_P(dlpack, is_in_c_order_without_strides) {
  memory_.tensor.strides = nullptr;
  EXPECT_EQ(ndtorch::as_tensor(object_).strides(), at::IntArrayRef({3, 1}));
}

TEST_P(dlpack, begins_at_its_byte_offset) {
  memory_.tensor.byte_offset = 2 * sizeof(double);
  memory_.sizes = {1, 3};
  const at::Tensor tensor = ndtorch::as_tensor(object_);
  EXPECT_EQ(tensor.const_data_ptr(), &memory_.data[2]);
  EXPECT_EQ(tensor.sum().item<double>(), 9);
}

TEST_P(dlpack, of_no_dimensions_needs_no_shape) {
  memory_.tensor.ndim = 0;
  memory_.tensor.shape = memory_.tensor.strides = nullptr;
  memory_.data[0] = 3;
  EXPECT_EQ(ndtorch::as_tensor(object_).item<double>(), 3);
}

TEST_P(dlpack, without_elements_needs_no_memory_and_no_good_strides) {
  memory_.tensor.data = nullptr;
  memory_.sizes = {2, 0};
  memory_.strides = {-7, -1};
  const at::Tensor tensor = ndtorch::as_tensor(object_);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 0}));
  EXPECT_EQ(tensor.nbytes(), 0U);
}

TEST_P(dlpack, needs_no_good_stride_where_there_is_one_element) {
  memory_.sizes = {1, 3};
  memory_.strides = {-5, 1};
  EXPECT_EQ(ndtorch::as_tensor(object_).sum().item<double>(), 3);
}

TEST_P(dlpack, may_be_the_memory_of_the_host_that_a_gpu_knows) {
  for (const DLDeviceType type : {kDLCUDAHost, kDLROCMHost}) {
    memory_.tensor.device = {type, 0};
    EXPECT_TRUE(ndtorch::as_tensor(object_).device().is_cpu());
  }
}

TEST_P(dlpack, has_the_dtypes_of_the_table) {
  for (const ndtorch::detail::dtype_entry& entry : ndtorch::detail::dtypes) {
    SCOPED_TRACE(entry.name);
    memory_.tensor.dtype = {static_cast<std::uint8_t>(entry.dlpack_code),
                            static_cast<std::uint8_t>(entry.item_size * 8), 1};
    memory_.sizes = {1, 3};
    EXPECT_EQ(ndtorch::as_tensor(object_).scalar_type(), entry.scalar_type);
  }
}

TEST_P(dlpack, that_lies_is_found_out_and_given_back) {
  const auto functions = {+[](py::handle object) { ndtorch::as_tensor(object); },
                          +[](py::handle object) { ndtorch::tensor(object); }};
  for (const test::dlpack_lie& one : test::dlpack_lies) {
    SCOPED_TRACE(one.name);
    foreign_memory memory;
    const py::object liar = GetParam().object_on(memory);
    one.tell(memory);
    for (const auto function : functions) {
      const test::python_error raised = raised_by([&] { function(liar); });
      EXPECT_EQ(raised.type, one.type);
      EXPECT_CONTAINS(raised.text, one.text);
    }
    EXPECT_GE(memory.made, 2);
    EXPECT_EQ(memory.deleted, memory.made);
    EXPECT_EQ(references(liar), 1);
  }
}

// ----- read-only memory

void expect_copy_on_write(foreign_memory& memory, const py::object& object) {
  at::Tensor tensor = ndtorch::as_tensor(object);
  EXPECT_EQ(tensor.const_data_ptr(), memory.data.data());
  const py::array array = ndtorch::numpy(tensor);
  EXPECT_FALSE(array.writeable());
  EXPECT_EQ(array.data(), memory.data.data());
  memory.data[0] = 10;
  EXPECT_EQ(tensor[0][0].item<double>(), 10);

  tensor.add_(1);
  EXPECT_EQ(memory.data[0], 10);
  EXPECT_EQ(tensor[0][0].item<double>(), 11);
  EXPECT_TRUE(ndtorch::numpy(tensor).writeable());
  EXPECT_EQ(memory.deleted, 0) << "the array still reads it";
  EXPECT_TRUE(is_true("a[0, 0] == 10", py::arg("a") = array));
}

TEST_P(dlpack, that_is_read_only_is_copied_by_the_first_write) {
  if (GetParam().object_on == &old_producer)
    GTEST_SKIP() << "a DLPack capsule without a version has no read-only flag";
  memory_.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  expect_copy_on_write(memory_, object_);
}

TEST_P(dlpack, may_be_a_copy_that_was_made_for_us) {
  memory_.flags = DLPACK_FLAG_BITMASK_IS_COPIED;
  const at::Tensor tensor = ndtorch::as_tensor(object_);
  tensor.zero_();
  EXPECT_EQ(memory_.data[5], 0);
}

// Only a structure with a version can say so.
TEST_P(dlpack, that_is_a_copy_is_no_memory_to_write_into) {
  memory_.flags = DLPACK_FLAG_BITMASK_IS_COPIED;
  if (GetParam().object_on == &old_producer) {
    EXPECT_EQ(ndtorch::tensor_t<double>::from(object_).const_data_ptr(), memory_.data.data());
    return;
  }
  EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::tensor_t<double>::from(object_); }),
                  "expected memory that may be written, as the function writes into it");
  EXPECT_EQ(ndtorch::tensor_t<const double>::from(object_, false).const_data_ptr(),
            memory_.data.data());
}

// As JAX: immutable arrays, whose capsules can't say so.
TEST(old_dlpack, is_read_only_where_the_object_gives_no_buffer_to_write) {
  for (const bool writable : {false, true}) {
    foreign_memory memory;
    {
      const py::object made = old_producer(memory);
      const py::object object =
          eval("type('with_buffer', (base,), dict(vars(type(o))))(8)", py::arg("o") = made,
               py::arg("base") = eval(writable ? "bytearray" : "bytes"));
      if (writable) {
        ndtorch::as_tensor(object).zero_();
        EXPECT_EQ(memory.data[5], 0);
      } else {
        expect_copy_on_write(memory, object);
      }
      EXPECT_EQ(references(object), 1);
    }
    EXPECT_EQ(memory.deleted, memory.made);
  }
}

// ----- the table of C functions

TEST(dlpack_table, spares_the_call_of_dlpack) {
  foreign_memory memory;
  const py::object object = table::object_on(memory, &table::give);
  ndtorch::as_tensor(object);
  EXPECT_EQ(py::len(object.attr("calls")), 0U);
}

TEST(dlpack_table, that_gives_nothing_leaves_it_to_dlpack) {
  foreign_memory memory;
  const auto nothing = [](void*, DLManagedTensorVersioned**) { return 0; };
  const py::object object = table::object_on(memory, nothing);
  EXPECT_EQ(ndtorch::as_tensor(object).const_data_ptr(), memory.data.data());
  EXPECT_EQ(py::len(object.attr("calls")), 1U);
}

TEST(dlpack_table, of_another_major_version_leads_to_the_one_that_is_known) {
  foreign_memory memory;
  const py::object object = table::object_on(memory, &table::give);
  DLPackExchangeAPIHeader newer{{DLPACK_MAJOR_VERSION + 1, 0}, nullptr};
  py::type::of(object).attr("__dlpack_c_exchange_api__") =
      py::capsule(&newer, "dlpack_exchange_api");
  ndtorch::as_tensor(object);
  EXPECT_EQ(py::len(object.attr("calls")), 1U) << "there is no other";
  newer.prev_api = &table::functions.header;
  ndtorch::as_tensor(object);
  EXPECT_EQ(py::len(object.attr("calls")), 1U);
  EXPECT_EQ(memory.deleted, 2);
}

TEST(dlpack_table, of_another_name_is_none) {
  foreign_memory memory;
  const py::object object = versioned_producer(memory);
  for (const py::object& other : {eval("3"), py::object(py::capsule(&memory, "other"))}) {
    py::type::of(object).attr("__dlpack_c_exchange_api__") = other;
    EXPECT_EQ(ndtorch::as_tensor(object).sum().item<double>(), 15);
  }
}

TEST(dlpack_table, raises_what_its_function_raised) {
  foreign_memory memory;
  py::object object = table::object_on(memory, [](void*, DLManagedTensorVersioned**) {
    PyErr_SetString(PyExc_BufferError, "not this one");
    return -1;
  });
  test::python_error raised = test::raised_by([&] { ndtorch::as_tensor(object); });
  EXPECT_EQ(raised.type, "BufferError");
  EXPECT_EQ(raised.text, "not this one");

  object = table::object_on(memory, [](void*, DLManagedTensorVersioned**) {
    PyErr_SetString(PyExc_RuntimeError, "as torch\nException raised from f at g.cpp:1\nframe #0");
    return -1;
  });
  raised = test::raised_by([&] { ndtorch::as_tensor(object); });
  EXPECT_EQ(raised.type, "RuntimeError");
  EXPECT_EQ(raised.text, "as torch");
  EXPECT_EQ(memory.made, 0);
  EXPECT_EQ(references(object), 1);
}

}  // namespace
