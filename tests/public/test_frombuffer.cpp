// frombuffer, of ndtorch/exchange.h, with torch.frombuffer as the oracle
#include <ATen/core/Tensor.h>
#include <ndtorch/dtype.h>
#include <ndtorch/exchange.h>
#include <ndtorch/to_numpy.h>

#include <cstdint>
#include <string>

#include "support/arrays.h"
#include "support/oracle.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::caught;
using test::eval;
using test::facts_of;
using test::is_true;
using test::message_of;
using test::outcome;
using test::python_error;
using test::raised_by;
using test::references;

const char* const buffers[] = {
    "b'abcdefghijkl'",
    "bytearray(16)",
    "b''",
    "b'abcdef'",
    "memoryview(b'abcdefgh')",
    "memoryview(bytearray(8)).toreadonly()",
    "np.arange(6.).reshape(2, 3)",
    "__import__('array').array('d', [1, 2])",
    "__import__('mmap').mmap(-1, 16)",
    "(ctypes.c_int * 3)(1, 2, 3)",
    "memoryview(b'abcdefgh')[::2]",
    "np.arange(6.).reshape(2, 3).T",
    "'text'",
    "[1, 2]",
    "None",
    "torch.ones(2)",
};

struct part {
  std::int64_t count, offset;
};

const part parts[] = {{-1, 0}, {0, 0}, {1, 0},   {2, 0},  {3, 0},   {-2, 0},  {-1, 4}, {-1, 3},
                      {1, 4},  {3, 4}, {-1, -1}, {-1, 8}, {-1, 16}, {-1, 17}, {0, 4},  {1, 8}};

TEST(frombuffer, does_and_says_what_torch_does) {
  for (const char* buffer : buffers) {
    for (const auto& [count, offset] : parts) {
      for (const char* dtype : {"uint8", "int32", "float32", "bfloat16"}) {
        const std::string call = std::string("torch.frombuffer(x, dtype=torch.") + dtype +
                                 ", count=" + std::to_string(count) +
                                 ", offset=" + std::to_string(offset) + ")";
        SCOPED_TRACE(buffer + (" in " + call));
        const py::object source = eval(buffer);
        const Py_ssize_t before = references(source);
        const outcome ours = caught([&, n = count, o = offset]() -> outcome {
          const at::ScalarType type = ndtorch::scalar_type(
              eval(dtype == std::string("bfloat16") ? "ml_dtypes.bfloat16"
                                                    : "'" + std::string(dtype) + "'"));
          return {"made", {}, facts_of(ndtorch::frombuffer(source, type, n, o))};
        });
        const outcome theirs = caught(
            [&]() -> outcome { return {"made", {}, facts_of(eval(call, py::arg("x") = source))}; });
        test::expect_same_failure(ours, theirs);
        EXPECT_EQ(ours.tensor.value_or(test::facts()), theirs.tensor.value_or(test::facts()));
        EXPECT_EQ(references(source), before);
      }
    }
  }
}

TEST(frombuffer, shares_memory_both_ways) {
  const py::object source = eval("bytearray(range(16))");
  const at::Tensor tensor = ndtorch::frombuffer(source, at::kShort, 3, 4);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({3}));
  EXPECT_EQ(tensor[0].item<int>(), 0x0504);
  source[py::int_(4)] = 0;
  EXPECT_EQ(tensor[0].item<int>(), 0x0500);
  tensor.fill_(-1);
  EXPECT_TRUE(is_true("x == bytes(range(4)) + b'\\xff' * 6 + bytes(range(10, 16))", source));
}

TEST(frombuffer, reads_every_dtype) {
  const py::object source = eval("bytearray(48)");
  for (const ndtorch::detail::dtype_entry& entry : ndtorch::detail::dtypes) {
    SCOPED_TRACE(entry.name);
    const at::Tensor tensor = ndtorch::frombuffer(source, entry.scalar_type);
    EXPECT_EQ(tensor.scalar_type(), entry.scalar_type);
    EXPECT_EQ(tensor.numel(), 48 / entry.item_size);
  }
}

TEST(frombuffer, leaves_a_read_only_buffer_as_it_is) {
  const py::object source = eval("b'abcd'[:]");
  const at::Tensor tensor = ndtorch::frombuffer(source, at::kByte);
  const py::array view = ndtorch::numpy(tensor);
  EXPECT_FALSE(view.writeable());
  tensor.add_(1);
  EXPECT_TRUE(is_true("x == b'abcd'", source));
  EXPECT_TRUE(is_true("bytes(x) == b'abcd'", view));
  EXPECT_TRUE(is_true("bytes(x) == b'bcde' and x.flags.writeable", ndtorch::numpy(tensor)));
}

// The array is on the bytes' memory, which a write takes from the tensor but not from the array.
TEST(frombuffer, keeps_read_only_memory_for_the_array_that_reads_it) {
  py::object source = eval("b'some bytes of its own'[:-1]");
  const py::handle bytes = source;
  at::Tensor tensor = ndtorch::frombuffer(source, at::kByte);
  py::object view = ndtorch::numpy(tensor);
  tensor.zero_();
  tensor.reset();
  EXPECT_EQ(references(bytes), 2);
  view = py::none();
  EXPECT_EQ(references(bytes), 1);
}

TEST(frombuffer, keeps_the_buffer_exported_as_long_as_the_tensor_lives) {
  const py::object source = eval("bytearray(8)");
  for (const bool with_gil : {true, false}) {
    at::Tensor tensor = ndtorch::frombuffer(source, at::kInt);
    EXPECT_EQ(raised_by([&] { source.attr("append")(1); }).type, "BufferError");
    test::drop(tensor, with_gil);
    source.attr("append")(1);
    source.attr("pop")();
  }
}

// PyTorch makes a tensor whose elements the compiler takes for aligned.
TEST(frombuffer, refuses_misaligned_data) {
  const py::object source = eval("bytearray(16)");
  EXPECT_EQ(message_of<py::value_error>([&] { ndtorch::frombuffer(source, at::kInt, 2, 2); }),
            "the buffer at offset 2 bytes is not aligned for int32. Read it as uint8 and copy it "
            "first, for example with ndtorch::frombuffer(buffer, at::kByte).clone().view(dtype).");
  EXPECT_EQ(references(source), 1);
  const at::Tensor copy =
      ndtorch::frombuffer(source, at::kByte, 8, 2).clone().view(at::ScalarType::Int);
  EXPECT_EQ(copy.numel(), 2) << "the remedy";
}

TEST(frombuffer, refuses_dtypes_outside_the_table) {
  const std::string message =
      message_of<py::type_error>([] { ndtorch::frombuffer(eval("b'ab'"), at::kQUInt8); });
  EXPECT_CONTAINS(message, "Got unsupported ScalarType QUInt8. The only supported types are: ");
}

TEST(frombuffer, refuses_a_null_handle) {
  EXPECT_EQ(message_of<py::value_error>([] { ndtorch::frombuffer(py::handle(), at::kByte); }),
            "object does not implement Python buffer protocol. Got a null handle. Pass bytes, a "
            "bytearray, a memoryview, or the like.");
}

TEST(frombuffer, raises_what_the_buffer_raises) {
  const python_error raised = raised_by(
      [] { ndtorch::frombuffer(eval("[m := memoryview(b'abc'), m.release()][0]"), at::kByte); });
  EXPECT_EQ(raised.type, "ValueError");
  EXPECT_EQ(raised.text, "operation forbidden on released memoryview object");
}

}  // namespace
