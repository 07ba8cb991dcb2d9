// as_tensor and tensor of buffers and of CUDA arrays
#include <ATen/core/Tensor.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <ndtorch/typed.h>

#include <cstdint>
#include <string>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::tensor_t;
using test::array;
using test::eval;
using test::is_true;
using test::message_of;
using test::python_error;
using test::raised_by;
using test::references;

// ----- buffers

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

// ----- __array__ and __array_interface__

// As a table of pandas: an iteration gives its columns' names.
constexpr const char* tables = R"(
class table:
    def __init__(self, values): self.values = values
    def __array__(self, dtype=None, copy=None): return self.values
    def __len__(self): return len(self.values)
    def __iter__(self): return iter(range(100, 102))
    def __getitem__(self, name): raise KeyError(name)
class image:
    def __init__(self, values): self.values = values
    @property
    def __array_interface__(self): return self.values.__array_interface__
values = np.arange(6, dtype='i2').reshape(3, 2)
objects = [table(values), image(values)]
)";

TEST(as_tensor_of_an_array_like, takes_what_numpy_makes_of_it) {
  const py::dict names = test::exec(tables);
  const py::array values = names["values"];
  for (const py::handle object : py::list(names["objects"])) {
    SCOPED_TRACE(ndtorch::detail::type_name(object));
    test::expect_view(ndtorch::as_tensor(object), values);
    test::expect_elements(ndtorch::tensor(object), values);
    EXPECT_NE(ndtorch::tensor(object).const_data_ptr(), values.data());
    EXPECT_EQ(ndtorch::Tensor(object).scalar_type(), at::kFloat);
    EXPECT_EQ(ndtorch::tensor(py::make_tuple(object, values)).sizes(), at::IntArrayRef({2, 3, 2}));
    EXPECT_EQ(tensor_t<const float>::from(object).sum().item<float>(), 15);
  }
}

// It might be a copy: what is written to that would be lost.
TEST(as_tensor_of_an_array_like, is_no_memory_to_write_to) {
  const py::dict names = test::exec(tables);
  for (const py::handle object : py::list(names["objects"])) {
    SCOPED_TRACE(ndtorch::detail::type_name(object));
    EXPECT_CONTAINS(message_of<py::type_error>([&] { tensor_t<std::int16_t>::from(object); }),
                    "the function writes into its memory");
    message_of<py::type_error>([&] { ndtorch::from_numpy(object); });
    // Who only reads takes it as it is.
    EXPECT_EQ(tensor_t<const std::int16_t>::from(object, false).numel(), 6);
  }
}

TEST(as_tensor_of_an_array_like, may_be_a_proxy_that_only_the_object_knows_of) {
  const py::dict names = test::exec(R"(
import weakref
class proxy:
    def __init__(self, target): self.__dict__['target'] = target
    def __getattr__(self, name): return getattr(self.target, name)
class described: pass
values = np.arange(6, dtype='i2').reshape(3, 2)
its_own = described()
its_own.__array_interface__ = values.__array_interface__
objects = [proxy(values), weakref.proxy(values), its_own]
)");
  const py::array values = names["values"];
  for (const py::handle object : py::list(names["objects"])) {
    SCOPED_TRACE(ndtorch::detail::type_name(object));
    test::expect_view(ndtorch::as_tensor(object), values);
    test::expect_elements(ndtorch::tensor(py::make_tuple(object)),
                          test::array("np.stack([v])", py::arg("v") = values));
  }
  // A class has what its objects have.
  EXPECT_EQ(
      raised_by([] { ndtorch::as_tensor(eval("np.ndarray")); }).text,
      "can't convert an object of type 'type' to a tensor. Pass an array, a number, or a nested "
      "sequence of these.");
}

TEST(as_tensor_of_an_array_like, raises_what_the_object_raises) {
  const py::object object = test::exec(
      "class table:\n"
      "  def __array__(self, dtype=None, copy=None): raise OSError('the file is gone')\n"
      "object = table()")["object"];
  EXPECT_EQ(raised_by([&] { ndtorch::as_tensor(object); }).type, "OSError");
  EXPECT_FALSE(py::detail::make_caster<tensor_t<const float>>().load(object, true));
}

// As pandas, whose numbers that may be missing are objects to NumPy, also where none is.
TEST(as_tensor_of_an_array_like, of_objects_is_refused_with_what_pandas_has_for_it) {
  const py::dict names = test::exec(R"(
class DataFrame:
    def __array__(self, dtype=None, copy=None): return np.array([[1., 2.]], dtype=object)
    def to_numpy(self, dtype=None, copy=False, na_value=None):
        return np.asarray(self.__array__(), dtype)
class other:
    def __array__(self, dtype=None, copy=None): return np.array([[1., 2.]], dtype=object)
table, other = DataFrame(), other()
)");
  const py::object table = names["table"];
  for (const auto function : {+[](py::handle x) { ndtorch::as_tensor(x); },
                              +[](py::handle x) { ndtorch::tensor(x, at::kFloat); },
                              +[](py::handle x) { ndtorch::tensor(py::make_tuple(x)); },
                              +[](py::handle x) { tensor_t<const float>::from(x); }}) {
    const std::string message = message_of<py::type_error>([&] { function(table); });
    EXPECT_CONTAINS(message,
                    "can't convert a DataFrame, of which np.asarray() makes an array of dtype "
                    "object. The only supported types are: float64,");
    EXPECT_CONTAINS(message,
                    "Convert it to one of these first, in pandas with "
                    "data.to_numpy(dtype='float32', na_value=np.nan).");
    EXPECT_EQ(references(table), 2);
  }
  test::expect_elements(ndtorch::as_tensor(eval("x.to_numpy(dtype='float32', na_value=np.nan)",
                                                py::arg("x") = table)),
                        array("np.array([[1, 2]], 'f4')"));
  // Dates have that method, too, and become no numbers by it.
  table.attr("__class__").attr("__array__") = eval("lambda self, **k: np.zeros(2, 'M8[s]')");
  EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::as_tensor(table); }),
                  "of type numpy.datetime64.");
  EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::as_tensor(names["other"]); }),
                  "of type numpy.object_.");
}

// ----- __cuda_array_interface__

TEST(read_cuda_array, reads_the_interface) {
  struct expected {
    const char* interface;
    at::ScalarType dtype;
    std::vector<std::int64_t> sizes, strides;
    std::size_t nbytes;
    bool writable;
  };
  for (const expected& one : {
           expected{"dict(shape=(2, 3), typestr='<f4', data=(4096, False), version=3)",
                    at::kFloat,
                    {2, 3},
                    {3, 1},
                    24,
                    true},
           expected{"dict(shape=(2, 3), typestr='<i8', data=(4096, True), strides=(8, 16))",
                    at::kLong,
                    {2, 3},
                    {1, 2},
                    48,
                    false},
           expected{"dict(shape=(2, 3), typestr='|b1', data=(4096, 0), strides=None, stream=1)",
                    at::kBool,
                    {2, 3},
                    {3, 1},
                    6,
                    true},
           expected{"dict(shape=(), typestr='<c16', data=(4096, False), mask=None)",
                    at::kComplexDouble,
                    {},
                    {},
                    16,
                    true},
           expected{"dict(shape=[0, 3], typestr='<f2', data=[0, False], descr=[('', '<f2')])",
                    at::kHalf,
                    {0, 3},
                    {3, 1},
                    0,
                    true},
           expected{"dict(shape=(1, 2), typestr='<u2', data=(4096, False), strides=(-3, 4))",
                    at::kUInt16,
                    {1, 2},
                    {1, 2},
                    6,
                    true},
       }) {
    SCOPED_TRACE(one.interface);
    const ndtorch::detail::strided_view view =
        ndtorch::detail::read_cuda_array(eval(one.interface).cast<py::dict>());
    EXPECT_EQ(view.dtype, one.dtype);
    EXPECT_EQ(ndtorch::detail::array_ref(view.sizes()), one.sizes);
    EXPECT_EQ(ndtorch::detail::array_ref(view.strides()), one.strides);
    EXPECT_EQ(view.nbytes, one.nbytes);
    EXPECT_EQ(view.writable, one.writable);
    EXPECT_EQ(view.data, reinterpret_cast<void*>(one.nbytes > 0 ? 4096 : 0));
    EXPECT_EQ(view.device, at::kCUDA);
  }
}

TEST(read_cuda_array, refuses_what_can_not_be) {
  struct refused {
    const char* interface;
    const char* type;
    const char* text;
  };
  const std::string start = "can't share this __cuda_array_interface__: ";
  for (const refused& one : {
           refused{"{}", "ValueError", "it lacks one of shape, typestr and data. Got {}."},
           refused{"dict(shape=(2,), typestr='<f4')", "ValueError", "it lacks one of"},
           refused{"d | dict(mask=3)", "ValueError", "its mask would be lost."},
           refused{"d | dict(typestr='>f4')", "ValueError",
                   "its byte order is not the native one."},
           refused{"d | dict(data=(1,))", "ValueError", "data must be (pointer, read-only flag)."},
           refused{"d | dict(data='ab')", "ValueError", "data must be (pointer, read-only flag)."},
           refused{"d | dict(data=(0, False))", "ValueError", "its data pointer is null."},
           refused{"d | dict(shape=(1,) * 65)", "ValueError", "it has more than 64 dimensions."},
           refused{"d | dict(shape=(2, -3))", "ValueError", "a size is negative."},
           refused{"d | dict(shape=(2**62, 4))", "ValueError",
                   "it spans more bytes than there can"},
           refused{"d | dict(shape=(0, 2**62, 4))", "ValueError", "it spans more bytes than there"},
           refused{"d | dict(strides=(4,))", "ValueError", "of different lengths."},
           refused{"d | dict(strides=(12, -4))", "ValueError", "At least one stride is negative"},
           refused{"d | dict(strides=(12, 5))", "ValueError", "no multiple of the item size."},
           refused{"d | dict(strides=(2**62, 2**62))", "ValueError", "it spans more bytes than"},
           refused{"d | dict(typestr='<U4')", "TypeError", "can't convert np.ndarray of type"},
           refused{"d | dict(typestr='what')", "TypeError", "what"},
           refused{"d | dict(data=('x', False))", "TypeError", "int"},
           refused{"d | dict(shape=(2.5, 3))", "TypeError", "'float' object"},
           refused{"d | dict(shape=3)", "TypeError", "'int' object is not iterable"},
       }) {
    SCOPED_TRACE(one.interface);
    const py::dict interface =
        eval(one.interface,
             py::arg("d") = eval("dict(shape=(2, 3), typestr='<f4', data=(4096, False))"));
    const python_error raised = raised_by([&] { ndtorch::detail::read_cuda_array(interface); });
    EXPECT_EQ(raised.type, one.type);
    EXPECT_CONTAINS(raised.text, one.text);
    if (raised.type == "ValueError") {
      EXPECT_CONTAINS(raised.text, start);
    }
    EXPECT_EQ(references(interface), 1);
  }
}

TEST(as_tensor_of_a_cuda_array, says_that_there_is_no_cuda) {
  if (c10::impl::device_guard_impl_registry[static_cast<std::size_t>(at::kCUDA)].load() !=
      nullptr) {
    GTEST_SKIP() << "this LibTorch has CUDA";
  }
  const py::object source = test::exec(
      "class on_gpu:\n"
      "  __cuda_array_interface__ = dict(shape=(2,), typestr='<f4', data=(4096, False))\n"
      "source = on_gpu()")["source"];
  EXPECT_CONTAINS(message_of<std::runtime_error>([&] { ndtorch::as_tensor(source); }),
                  "Torch not compiled with CUDA enabled: this LibTorch has no device cuda.");
  EXPECT_EQ(references(source), 1);
}

}  // namespace
