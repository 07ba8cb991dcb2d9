// as_tensor and tensor of buffers
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::eval;
using test::is_true;
using test::message_of;
using test::python_error;
using test::raised_by;
using test::references;

struct buffer {
  const char* expression;
  const char* array;  // NumPy's reading of the same
};

const buffer writable_buffers[] = {
    {"bytearray(b'abc')", "np.array([97, 98, 99], 'u1')"},
    {"memoryview(bytearray(range(6)))[1::2]", "np.array([1, 3, 5], 'u1')"},
    {"memoryview(bytearray(range(6))).cast('B', (2, 3))", "np.arange(6, dtype='u1').reshape(2, 3)"},
    {"memoryview(bytearray(8)).cast('d')", "np.zeros(1)"},
    {"memoryview(bytearray(2)).cast('?')", "np.zeros(2, '?')"},
    {"memoryview(np.arange(6.).reshape(2, 3).T)", "np.arange(6.).reshape(2, 3).T"},
    {"memoryview(np.arange(4, dtype='c8'))", "np.arange(4, dtype='c8')"},
    {"memoryview(np.arange(4, dtype='f2'))", "np.arange(4, dtype='f2')"},
    {"__import__('array').array('d', [1, 2])", "np.array([1., 2])"},
    {"__import__('array').array('H', [1, 2])", "np.array([1, 2], 'u2')"},
    {"__import__('array').array('q')", "np.zeros(0, 'i8')"},
    {"__import__('mmap').mmap(-1, 16)", "np.zeros(16, 'u1')"},
    {"(ctypes.c_int * 3)(1, 2, 3)", "np.array([1, 2, 3], 'i4')"},
    {"((ctypes.c_float * 2) * 3)()", "np.zeros((3, 2), 'f4')"},
    {"ctypes.c_double(3)", "np.array(3.)"},
    {"bytearray()", "np.zeros(0, 'u1')"},
    // C's chars are the items of bytes.
    {"(ctypes.c_char * 3)(b'a', b'b', b'\\xff')", "np.array([97, 98, 255], 'u1')"},
    {"ctypes.create_string_buffer(b'ab')", "np.array([97, 98, 0], 'u1')"},
    {"((ctypes.c_char * 2) * 3)()", "np.zeros((3, 2), 'u1')"},
    {"ctypes.c_char(b'a')", "np.array(97, 'u1')"},
    {"memoryview(bytearray(range(6))).cast('c')[::2]", "np.array([0, 2, 4], 'u1')"},
};

const buffer read_only_buffers[] = {
    {"b'abc'", "np.array([97, 98, 99], 'u1')"},
    {"memoryview(b'abcdef')[::2]", "np.array([97, 99, 101], 'u1')"},
    {"memoryview(b'abcd').cast('h')", "np.frombuffer(b'abcd', 'i2')"},
    {"memoryview(bytearray(3)).toreadonly()", "np.zeros(3, 'u1')"},
    {"memoryview(np.arange(6.).reshape(2, 3).T).toreadonly()", "np.arange(6.).reshape(2, 3).T"},
    {"__import__('mmap').mmap(-1, 16, prot=1)", "np.zeros(16, 'u1')"},
    {"memoryview(np.float32(3))", "np.array(3, 'f4')"},
    {"memoryview(b'abc').cast('c')", "np.array([97, 98, 99], 'u1')"},
};

// NumPy's view of a buffer, whose chars are numbers as those of bytes are.
py::array bytes_as_numbers(py::handle source) {
  return array("(lambda a: a.view('u1') if a.dtype == 'S1' else a)(np.asarray(memoryview(x)))",
               py::arg("x") = source);
}

TEST(as_tensor_of_a_buffer, shares_memory_both_ways) {
  for (const buffer& one : writable_buffers) {
    SCOPED_TRACE(one.expression);
    const py::object source = eval(one.expression);
    const py::array view = bytes_as_numbers(source);
    const at::Tensor tensor = ndtorch::as_tensor(source);
    EXPECT_TRUE(test::same_elements(test::elements(tensor), array(one.array)));
    EXPECT_EQ(tensor.storage().data(), view.data());
    for (py::ssize_t i = 0; i < view.ndim(); ++i) {
      EXPECT_EQ(tensor.stride(i) * view.itemsize(), view.strides(i));
    }
    tensor.fill_(1);
    EXPECT_TRUE(is_true("bool((x == 1).all())", view));
  }
}

TEST(as_tensor_of_a_buffer, shares_read_only_memory_until_the_first_write) {
  for (const buffer& one : read_only_buffers) {
    SCOPED_TRACE(one.expression);
    const py::object source = eval(one.expression);
    const py::array view = bytes_as_numbers(source);
    const at::Tensor tensor = ndtorch::as_tensor(source);
    EXPECT_EQ(tensor.storage().data(), view.data());
    EXPECT_FALSE(ndtorch::numpy(tensor).writeable());
    EXPECT_TRUE(test::same_elements(test::elements(tensor), array(one.array)));
    tensor.add_(1);
    EXPECT_TRUE(test::same_elements(view, array(one.array)));
    EXPECT_TRUE(
        is_true("bool((x[0] == x[1] + 1).all())", py::make_tuple(ndtorch::numpy(tensor), view)));
  }
}

TEST(as_tensor_of_a_buffer, copies_what_no_tensor_can_describe) {
  for (const buffer& one : {
           buffer{"memoryview(b'abcd')[::-1]", "np.array([100, 99, 98, 97], 'u1')"},
           buffer{"memoryview(np.arange(3, dtype='>i4'))", "np.arange(3, dtype='i4')"},
           buffer{"(ctypes.c_int.__ctype_be__ * 3)(1, 2, 3)", "np.array([1, 2, 3], 'i4')"},
           buffer{"memoryview(np.zeros(9, 'u1')[1:].view('f8'))", "np.zeros(1)"},
       }) {
    SCOPED_TRACE(one.expression);
    const py::object source = eval(one.expression);
    const Py_ssize_t before = references(source);
    const at::Tensor tensor = ndtorch::as_tensor(source);
    EXPECT_TRUE(test::same_elements(test::elements(tensor), array(one.array)));
    EXPECT_EQ(references(source), before);
  }
}

TEST(tensor_of_a_buffer, always_copies) {
  for (const buffer& one : writable_buffers) {
    SCOPED_TRACE(one.expression);
    const py::object source = eval(one.expression);
    const Py_ssize_t before = references(source);
    const at::Tensor tensor = ndtorch::tensor(source);
    EXPECT_TRUE(test::same_elements(test::elements(tensor), array(one.array)));
    EXPECT_EQ(references(source), before);
  }
}

struct refused_buffer {
  const char* expression;
  const char* text;
};

TEST(as_tensor_of_a_buffer, refuses_elements_that_are_no_numbers) {
  for (const refused_buffer& one : {
           refused_buffer{"__import__('array').array('u', 'abc')",
                          "can't convert np.ndarray of type numpy.str_."},
           refused_buffer{"memoryview(np.array([b'a', b'b']))", "of type numpy.bytes_."},
           refused_buffer{"memoryview(np.zeros(2, 'f4,i4'))", "of type numpy.void."},
           refused_buffer{"memoryview(np.array([None]))", "of type numpy.object_."},
           refused_buffer{"memoryview(np.zeros(2, 'g'))", "of type numpy.longdouble."},
           refused_buffer{"(type('pair', (ctypes.Structure,), {'_fields_': [('x', ctypes.c_int)]}) "
                          "* 2)()",
                          "of type numpy.void."},
           refused_buffer{"(ctypes.c_void_p * 2)()",
                          "can't convert the buffer of a c_void_p_Array_2 of format '<P' and shape "
                          "(2,). '<P' is not a valid PEP 3118 buffer format string"},
       }) {
    SCOPED_TRACE(one.expression);
    const py::object source = eval(one.expression);
    const Py_ssize_t before = references(source);
    EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::as_tensor(source); }), one.text);
    EXPECT_EQ(references(source), before);
  }
}

TEST(as_tensor_of_a_buffer, raises_what_the_object_raises) {
  const python_error raised =
      raised_by([] { ndtorch::as_tensor(eval("[m := memoryview(b'abc'), m.release()][0]")); });
  EXPECT_EQ(raised.type, "ValueError");
  EXPECT_EQ(raised.text, "operation forbidden on released memoryview object");
}

// A bytearray can't be resized, nor a mmap closed, while a tensor is on its memory.
TEST(as_tensor_of_a_buffer, keeps_the_buffer_exported) {
  for (const bool with_gil : {true, false}) {
    for (const auto& [expression, change] :
         {std::pair("bytearray(b'abc')", "x.extend(b'd')"),
          std::pair("__import__('array').array('b', b'abc')", "x.append(1)"),
          std::pair("__import__('mmap').mmap(-1, 16)", "x.close()")}) {
      SCOPED_TRACE(expression);
      const py::object source = eval(expression);
      at::Tensor tensor = ndtorch::as_tensor(source);
      const auto changes = [&, code = change] { eval(code, py::arg("x") = source); };
      EXPECT_EQ(raised_by(changes).type, "BufferError");
      test::drop(tensor, with_gil);
      EXPECT_NO_THROW(changes());
    }
  }
}

TEST(as_tensor_of_a_buffer, keeps_the_memory) {
  py::object source = eval("b'some bytes of its own'[:-1]");
  const py::handle name = source;
  const at::Tensor tensor = ndtorch::as_tensor(source);
  const Py_ssize_t held = references(name);
  source.release().dec_ref();
  EXPECT_EQ(references(name), held - 1);
  EXPECT_EQ(tensor[0].item<int>(), 's');
}

// The array that numpy() gives is on the bytes, wherever the tensor goes.
TEST(as_tensor_of_a_buffer, that_was_exported_outlives_the_tensors_first_write) {
  py::object bytes = eval("b'some bytes of its own'[:-1]");
  const py::handle name = bytes;
  at::Tensor tensor = ndtorch::as_tensor(bytes);
  py::array exported = ndtorch::numpy(tensor);
  tensor.zero_();
  tensor.reset();
  EXPECT_EQ(references(name), 2);
  EXPECT_TRUE(is_true("bytes(x[:4]) == b'some'", exported));
  exported.release().dec_ref();
  EXPECT_EQ(references(name), 1);
}

}  // namespace
