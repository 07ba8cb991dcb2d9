// Objects that lie, raise or change under a view, through every way in: refused or read as they are,
// and nothing is left behind. The fields of __cuda_array_interface__ are in test_cuda_array.cpp.
#include <ATen/core/Tensor.h>
#include <c10/core/StorageImpl.h>
#include <ndtorch/ndtorch.h>

#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/dlpack.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::tensor_t;
using test::array;
using test::base_of;
using test::eval;
using test::foreign_memory;
using test::is_true;
using test::message_of;
using test::python_error;
using test::raised_by;
using test::references;

// The ways in. Those of tensor_t say no with a TypeError, whatever was wrong.
struct way_in {
  const char* name;
  void (*take)(py::handle object);
  bool is_typed;
};

const way_in ways_in[] = {
    {"as_tensor", [](py::handle x) { ndtorch::as_tensor(x); }, false},
    {"as_tensor to float16", [](py::handle x) { ndtorch::as_tensor(x, at::kHalf); }, false},
    {"tensor", [](py::handle x) { ndtorch::tensor(x); }, false},
    {"tensor<int>", [](py::handle x) { ndtorch::tensor<std::int64_t>(x); }, false},
    {"Tensor", [](py::handle x) { ndtorch::Tensor(x); }, false},
    {"in a tuple", [](py::handle x) { ndtorch::tensor(py::make_tuple(x, x)); }, false},
    {"tensor_t", [](py::handle x) { tensor_t<>::from(x); }, true},
    {"tensor_t to write", [](py::handle x) { tensor_t<double>::from(x); }, true},
    {"tensor_t to read",
     [](py::handle x) { tensor_t<const float, ndtorch::c_contig>::from(x, /*convert=*/true); },
     true},
};

// Whether pybind11 would go on to the next overload.
template <class... Constraints>
void expect_next_overload(py::handle object) {
  for (const bool convert : {false, true}) {
    py::detail::make_caster<tensor_t<Constraints...>> caster;
    EXPECT_FALSE(caster.load(object, convert));
    EXPECT_EQ(PyErr_Occurred(), nullptr);
    PyErr_Clear();
  }
}

void expect_refused(py::handle object, const char* type, const std::string& text) {
  for (const way_in& way : ways_in) {
    SCOPED_TRACE(way.name);
    const Py_ssize_t before = references(object);
    const python_error raised = raised_by([&] { way.take(object); });
    EXPECT_EQ(raised.type, way.is_typed ? "TypeError" : type);
    EXPECT_CONTAINS(raised.text, text);
    EXPECT_EQ(references(object), before);
  }
  expect_next_overload<>(object);
  expect_next_overload<double>(object);
  expect_next_overload<const float, ndtorch::c_contig>(object);
}

// ----- DLPack

TEST(lying_dlpack, is_refused_on_every_way_in_and_given_back) {
  for (const test::dlpack_lie& one : test::dlpack_lies) {
    for (const bool versioned : {false, true}) {
      SCOPED_TRACE(one.name);
      foreign_memory memory;
      one.tell(memory);
      expect_refused(versioned ? test::versioned_producer(memory) : test::old_producer(memory),
                     one.type, one.text);
      EXPECT_GE(memory.made, 9);
      EXPECT_EQ(memory.deleted, memory.made);
    }
  }
}

TEST(lying_dlpack, needs_no_deleter_to_be_refused) {
  for (const test::dlpack_lie& one : test::dlpack_lies) {
    SCOPED_TRACE(one.name);
    foreign_memory memory;
    memory.has_deleter = false;
    one.tell(memory);
    expect_refused(test::versioned_producer(memory), one.type, one.text);
  }
}

// The first item was taken already when the second is asked for the same capsule.
TEST(a_used_capsule, is_refused_as_the_second_item_of_a_sequence) {
  foreign_memory memory;
  const py::object object =
      test::producer(memory, "  def __dlpack__(self, **arguments): return self.one\n");
  for (const char* kind : {"versioned", "old"}) {
    object.attr("one") = object.attr(kind)();
    const python_error raised = raised_by([&] { ndtorch::tensor(py::make_tuple(object, object)); });
    EXPECT_EQ(raised.type, "TypeError");
    EXPECT_CONTAINS(raised.text, "(got one named used_dltensor");
    EXPECT_EQ(memory.deleted, memory.made) << "the first was let go";
    EXPECT_EQ(references(object), 1);
  }
}

TEST(a_used_capsule, is_refused_after_numpy_took_it) {
  foreign_memory memory;
  const py::object object =
      test::producer(memory, "  def __dlpack__(self, **arguments): return self.one\n");
  object.attr("one") = object.attr("old")();
  py::object taken = eval("np.from_dlpack(x)", py::arg("x") = object);
  expect_refused(object, "TypeError", "(got one named used_dltensor)");
  EXPECT_EQ(memory.deleted, 0) << "it is NumPy's";
  EXPECT_TRUE(is_true("x.sum() == 15", taken));
  taken = py::none();
  EXPECT_EQ(memory.deleted, 1);
}

TEST(a_table, that_fails_without_an_exception_or_is_empty_does_not_crash) {
  foreign_memory memory;
  const py::object object = test::versioned_producer(memory);
  DLPackExchangeAPI functions{};
  functions.header = {{DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION}, nullptr};
  py::type::of(object).attr("__dlpack_c_exchange_api__") =
      py::capsule(&functions, "dlpack_exchange_api");
  EXPECT_EQ(ndtorch::as_tensor(object).sum().item<double>(), 15) << "__dlpack__ was asked instead";

  functions.managed_tensor_from_py_object_no_sync = [](void*, DLManagedTensorVersioned**) {
    return -1;
  };
  EXPECT_CONTAINS(message_of<std::runtime_error>([&] { ndtorch::as_tensor(object); }),
                  "failed without an exception");
  expect_next_overload<>(object);
  EXPECT_EQ(memory.deleted, memory.made);
  EXPECT_EQ(references(object), 1);
}

TEST(our_dlpack, tells_a_consumer_what_it_asks_for_wrongly) {
  const py::object offer = ndtorch::to_dlpack(ndtorch::tensor(eval("[1., 2.]")));
  for (const auto& [arguments, type] : {
           std::pair("max_version=('1', 0)", "TypeError"),
           std::pair("max_version=(None, 0)", "TypeError"),
           std::pair("max_version=()", "IndexError"),
           std::pair("dl_device=3", "TypeError"),
           std::pair("dl_device=()", "IndexError"),
           std::pair("dl_device=('cpu', 0)", "BufferError"),
       }) {
    SCOPED_TRACE(arguments);
    const std::string call = std::string("x.__dlpack__(") + arguments + ")";
    EXPECT_EQ(raised_by([&] { eval(call, py::arg("x") = offer); }).type, type);
    EXPECT_EQ(references(offer), 1);
  }
  // No int of C++ holds this one, and it is a new enough version all the same.
  EXPECT_TRUE(is_true("'dltensor_versioned' in repr(x.__dlpack__(max_version=(2**70, 0)))", offer));
}

// ----- __cuda_array_interface__

py::object cuda_array(const std::string& body) {
  return test::exec("class on_gpu:\n  @property\n  def __cuda_array_interface__(self):\n    " +
                    body + "\nobject = on_gpu()")["object"];
}

std::string interface_with(const std::string& fields) {
  return "return dict(dict(shape=(2, 3), typestr='<f4', data=(4096, False), version=3), " + fields +
         ")";
}

struct bad_interface {
  std::string body;
  const char* type;
  const char* text;
};

TEST(a_cuda_array, that_raises_or_lies_is_refused_on_every_way_in) {
  for (const bad_interface& one : {
           bad_interface{"raise OSError('unplugged')", "OSError", "unplugged"},
           bad_interface{"raise AttributeError('gone')", "TypeError", "on_gpu"},
           bad_interface{"return None", "TypeError",
                         "__cuda_array_interface__ of a on_gpu must be a dict (got NoneType)."},
           bad_interface{"return [('shape', (2,))]", "TypeError", "must be a dict (got list)."},
           bad_interface{interface_with("shape=(2, -3)"), "ValueError", "a size is negative."},
           bad_interface{interface_with("shape=(2**63,)"), "OverflowError", "too"},
           bad_interface{interface_with("shape=(2**62, 2**62)"), "ValueError", "spans more bytes"},
           bad_interface{interface_with("shape=(1,) * 65"), "ValueError",
                         "more than 64 dimensions"},
           bad_interface{interface_with("shape=('2', '3')"), "TypeError", "'str' object"},
           bad_interface{interface_with("shape=None"), "TypeError", "'NoneType' object"},
           bad_interface{interface_with("strides=(-12, 4)"), "ValueError", "stride is negative"},
           bad_interface{interface_with("strides=(2**62, 2**62)"), "ValueError",
                         "spans more bytes"},
           bad_interface{interface_with("strides=4"), "TypeError", "'int' object"},
           bad_interface{interface_with("typestr=None"), "ValueError", "typestr must be a string."},
           bad_interface{interface_with("typestr=''"), "TypeError", ""},
           bad_interface{interface_with("data=(0, False)"), "ValueError", "data pointer is null."},
           bad_interface{interface_with("data=(2**64, False)"), "OverflowError", "int too"},
           bad_interface{interface_with("data=(4096., False)"), "TypeError", ""},
           bad_interface{interface_with("data=4096"), "ValueError",
                         "data must be (pointer, read-only flag)"},
           bad_interface{interface_with("data=[4096, False, 0]"), "ValueError",
                         "data must be (pointer, read-only flag)"},
           bad_interface{interface_with("data=(4096, np.zeros(2))"), "ValueError", "truth value"},
           bad_interface{"class one:\n      def __index__(self): raise KeyError('no')\n    " +
                             interface_with("shape=(one(), 3)"),
                         "KeyError", "no"},
       }) {
    SCOPED_TRACE(one.body);
    expect_refused(cuda_array(one.body), one.type, one.text);
  }
}

// As the arrays of a library that has some on a GPU, and others not.
TEST(a_cuda_array, that_says_it_is_none_is_read_as_what_else_it_is) {
  const py::object object = test::exec(
      "class maybe_on_gpu(bytearray):\n"
      "  @property\n"
      "  def __cuda_array_interface__(self): raise AttributeError('not there')\n"
      "object = maybe_on_gpu(b'abc')")["object"];
  const at::Tensor tensor = ndtorch::as_tensor(object);
  object[py::int_(0)] = 7;
  EXPECT_EQ(tensor[0].item<int>(), 7);
}

TEST(a_cuda_array, may_have_any_truth_value_as_its_read_only_flag) {
  for (const auto& [flag, writable] :
       {std::pair("0", true), std::pair("''", true), std::pair("'yes'", false)}) {
    const py::dict interface =
        eval(std::string("dict(shape=(2,), typestr='<f4', data=(4096, ") + flag + "))");
    EXPECT_EQ(ndtorch::detail::read_cuda_array(interface).writable, writable);
  }
}

// ----- what isn't about the object

py::object array_with_mask(const std::string& mask) {
  return eval(
      "np.arange(2.).view(type('odd', (np.ma.MaskedArray,), "
      "{'__array_finalize__': lambda *a: None, '_mask': " +
      mask + "}))");
}

TEST(an_interrupt, goes_through_every_way_in) {
  foreign_memory memory;
  const py::object objects[] = {
      cuda_array("raise KeyboardInterrupt"),
      test::producer(memory, "  def __dlpack__(self, **arguments): raise KeyboardInterrupt\n"),
      array_with_mask("property(lambda self: (_ for _ in ()).throw(KeyboardInterrupt))"),
  };
  for (const py::object& object : objects) {
    for (const way_in& way : ways_in) {
      SCOPED_TRACE(way.name);
      const Py_ssize_t before = references(object);
      EXPECT_EQ(raised_by([&] { way.take(object); }).type, "KeyboardInterrupt");
      EXPECT_EQ(references(object), before);
    }
  }
}

// ----- arrays

// What a subclass says of itself plays no part; its memory does.
const char* const lying_subclasses =
    "def no(*arguments, **names): raise KeyError('asked')\n"
    "class raising(np.ndarray):\n"
    "  __array_finalize__ = __array_wrap__ = __array__ = __dlpack__ = __dlpack_device__ = no\n"
    "  __array_ufunc__ = __array_function__ = __len__ = __getitem__ = __iter__ = no\n"
    "  copy = astype = item = tolist = no\n"
    "  shape = strides = dtype = flags = data = base = ndim = size = property(no)\n"
    "  __array_interface__ = __array_struct__ = __cuda_array_interface__ = property(no)\n"
    "class lying(np.ndarray):\n"
    "  shape = (1000000, 1000000)\n"
    "  strides = (-1, -1)\n"
    "  dtype = np.dtype('O')\n"
    "  ndim = 77\n"
    "  flags = None\n"
    "  __array_interface__ = __cuda_array_interface__ = dict(\n"
    "    shape=(9,) * 9, typestr='<f8', data=(0, False), version=3)\n"
    "def made(type, array):\n"
    "  finalize = type.__dict__.get('__array_finalize__')\n"
    "  if finalize: del type.__array_finalize__\n"
    "  view = array.view(type)\n"
    "  if finalize: type.__array_finalize__ = finalize\n"
    "  return view\n"
    "plain = np.arange(6, dtype='f4').reshape(2, 3)\n"
    "objects = [made(raising, plain), made(lying, plain)]\n";

TEST(a_subclass, is_read_by_its_memory_whatever_it_says) {
  const py::dict names = test::exec(lying_subclasses);
  const py::array plain = names["plain"];
  for (const py::handle object : py::list(names["objects"])) {
    SCOPED_TRACE(ndtorch::detail::type_name(object));
    const Py_ssize_t before = references(object);
    {
      const at::Tensor shared[] = {ndtorch::from_numpy(object), ndtorch::as_tensor(object),
                                   ndtorch::from_numpy<float>(object),
                                   tensor_t<float, ndtorch::shape<2, 3>>::from(object)};
      for (const at::Tensor& tensor : shared) {
        test::expect_view(tensor, plain);
        const py::array exported = ndtorch::numpy(tensor);
        EXPECT_TRUE(test::same_elements(exported, plain));
        EXPECT_TRUE(is_true("type(x) is np.ndarray", exported));
      }
      EXPECT_EQ(references(object), before + 4);
      test::expect_elements(ndtorch::tensor(object), plain);
      test::expect_elements(ndtorch::Tensor(object), plain);
      test::expect_elements(ndtorch::frombuffer(object, at::kFloat).view({2, 3}), plain);
      const at::Tensor two = ndtorch::tensor(py::make_tuple(object, object));
      for (const int i : {0, 1}) test::expect_elements(two[i], plain);
    }
    EXPECT_EQ(references(object), before);
    EXPECT_EQ(PyErr_Occurred(), nullptr);
  }
}

// The question whether there is a mask runs Python code: nothing may be read before.
TEST(a_subclass, that_changes_while_it_is_asked_is_read_as_it_is_then) {
  py::module_::import("numpy.ma");
  const py::dict names = test::exec(R"(
def restless(change, *shape):
    class restless(np.ndarray):
        @property
        def __class__(self):
            change(self)
            return restless
    array = restless(shape)
    array[...] = 1
    return array
grown = restless(lambda array: np.ndarray.resize(array, (100_000,), refcheck=False), 8)
flattened = restless(lambda array: np.ndarray.shape.__set__(array, (8,)), 2, 2, 2)
)");
  for (const auto& [name, size] : {std::pair("grown", 100'000), std::pair("flattened", 8)}) {
    SCOPED_TRACE(name);
    const at::Tensor copy = ndtorch::tensor(names[name]);
    EXPECT_EQ(copy.sizes(), at::IntArrayRef({size}));
    EXPECT_EQ(copy.sum().item<double>(), 8);
  }
}

TEST(a_masked_array, whose_mask_raises_is_refused) {
  for (const auto& [mask, type] : {
           std::pair("property(lambda self: {}['no'])", "KeyError"),
           std::pair("3", "AttributeError"),  // no .any()
       }) {
    SCOPED_TRACE(mask);
    const py::object object = array_with_mask(mask);
    expect_refused(object, type, type == std::string("KeyError") ? "no" : "any");
    EXPECT_EQ(raised_by([&] { ndtorch::from_numpy(object); }).type, type);
    EXPECT_EQ(references(object), 1);
  }
}

TEST(an_array, of_no_memory_but_huge_strides_is_refused) {
  const py::array huge_span =
      array("np.lib.stride_tricks.as_strided(np.zeros(1), (2, 2), (2**62, 2**62))");
  for (const way_in& way : ways_in) {
    SCOPED_TRACE(way.name);
    const python_error raised = raised_by([&] { way.take(huge_span); });
    EXPECT_EQ(raised.type, way.is_typed ? "TypeError" : "ValueError");
    EXPECT_CONTAINS(raised.text, "given numpy array spans more bytes than a tensor can address.");
  }
  EXPECT_EQ(raised_by([&] { ndtorch::from_numpy(huge_span); }).type, "ValueError");
  expect_next_overload<double>(huge_span);
  EXPECT_EQ(references(huge_span), 1);
}

TEST(a_broadcast_array, of_more_elements_than_fit_can_be_a_view_but_no_copy) {
  const py::array vast = array("np.broadcast_to(np.array(True), (2**61,))");
  const at::Tensor view = ndtorch::from_numpy(vast);
  EXPECT_EQ(view.numel(), std::int64_t{1} << 61);
  EXPECT_EQ(view.storage().nbytes(), 1U);
  const Py_ssize_t before = references(vast);
  const std::string message = message_of<std::runtime_error>(
      [&] { ndtorch::tensor(vast, at::TensorOptions(at::kComplexDouble)); });
  EXPECT_CONTAINS(message, "overflow");
  EXPECT_EQ(references(vast), before);
}

// ----- what changes under a tensor

TEST(a_memoryview, may_be_released_under_a_tensor) {
  const py::object memory = eval("bytearray(b'abc')");
  const py::object view = eval("memoryview(x)", py::arg("x") = memory);
  at::Tensor tensor = ndtorch::as_tensor(view);
  at::Tensor bytes = ndtorch::frombuffer(view, at::kByte);
  view.attr("release")();
  EXPECT_EQ(raised_by([&] { ndtorch::as_tensor(view); }).type, "ValueError");

  tensor[0].fill_('x');
  EXPECT_TRUE(is_true("x == b'xbc'", memory));
  EXPECT_EQ(bytes[0].item<int>(), 'x');
  for (at::Tensor* const last : {&tensor, &bytes}) {
    EXPECT_EQ(raised_by([&] { memory.attr("append")(1); }).type, "BufferError");
    last->reset();
  }
  EXPECT_NO_THROW(memory.attr("append")(1));
}

TEST(an_array, can_not_be_resized_under_a_tensor) {
  const py::object object = eval("np.arange(4.)");
  at::Tensor tensor = ndtorch::from_numpy(object);
  const python_error raised = raised_by([&] { object.attr("resize")(1000); });
  EXPECT_EQ(raised.type, "ValueError");
  EXPECT_CONTAINS(raised.text, "cannot resize an array that references or is referenced");
  EXPECT_EQ(tensor.sum().item<double>(), 6);
  tensor.reset();
  object.attr("resize")(1000);
  EXPECT_TRUE(is_true("x.size == 1000", object));
}

TEST(an_array, that_gets_another_shape_and_dtype_leaves_the_tensor_as_it_was) {
  const py::object object = eval("np.arange(6.)");
  const at::Tensor tensor = ndtorch::from_numpy(object);
  test::exec("import warnings\nwarnings.simplefilter('ignore')\nx.shape = (2, 3)\nx.dtype = 'u1'\n",
             py::dict(py::arg("x") = object));
  EXPECT_EQ(tensor.scalar_type(), at::kDouble);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({6}));
  EXPECT_EQ(tensor.sum().item<double>(), 15);
  const py::array exported = ndtorch::numpy(tensor);
  EXPECT_TRUE(is_true("x.dtype == 'f8' and x.shape == (6,)", exported));
  EXPECT_TRUE(base_of(exported).is(object));
}

// As NumPy makes it for code that asks for another dtype or order of an array that it writes to.
TEST(an_array, that_is_to_be_written_back_is_itself_the_base_of_its_export) {
  py::object iterator = eval(
      "np.nditer(np.arange(6.)[1:], op_flags=[['readwrite', 'updateifcopy']], "
      "op_dtypes=['float32'], casting='unsafe')");
  py::object object = iterator.attr("operands")[py::int_(0)];
  ASSERT_TRUE(is_true("x.flags.writebackifcopy and x.base is not None", object));
  const py::array exported = ndtorch::numpy(ndtorch::from_numpy(object));
  EXPECT_TRUE(base_of(exported).is(object));
  iterator.attr("close")();
  iterator = py::none();
  object = py::none();
  EXPECT_TRUE(is_true("x.tolist() == [1, 2, 3, 4, 5]", exported));
}

// Another thread may be importing it just now.
TEST(a_subclass, is_an_array_where_numpy_ma_is_imported_only_in_part) {
  const py::object subclass = eval("np.zeros(3).view(type('subclass', (np.ndarray,), {}))");
  const py::dict modules = py::module_::import("sys").attr("modules");
  const py::object ma = py::module_::import("numpy.ma");
  modules["numpy.ma"] = eval("type(np)('numpy.ma')");
  const auto is_taken = [&] { return ndtorch::from_numpy(subclass).numel() == 3; };
  EXPECT_NO_THROW(EXPECT_TRUE(is_taken()));
  modules["numpy.ma"] = ma;
}

TEST(a_writable_array, that_becomes_read_only_under_a_tensor_is_exported_as_such) {
  const py::object object = eval("np.arange(4.)");
  const at::Tensor tensor = ndtorch::from_numpy(object);
  object.attr("flags").attr("writeable") = false;
  const py::array exported = ndtorch::numpy(tensor);
  EXPECT_FALSE(exported.writeable());
  EXPECT_TRUE(base_of(exported).is(object));
  EXPECT_EQ(exported.data(), py::array(object).data());
}

// LibTorch's own exception for what Python raised is known to libtorch_python only: without it, what was
// raised is pending when that exception comes.
TEST(an_exception_of_libtorchs, that_leaves_a_python_error_pending_is_thrown_as_that_error) {
  const auto raise = [] {
    PyErr_SetString(PyExc_ZeroDivisionError, "no mul");
    throw std::exception();  // its text is empty, as that of python_error
  };
  const test::python_error raised =
      test::raised_by([&] { ndtorch::detail::with_python_errors(raise); });
  EXPECT_EQ(raised.type, "ZeroDivisionError");
  EXPECT_EQ(raised.text, "no mul");
  EXPECT_EQ(PyErr_Occurred(), nullptr);
}

}  // namespace
