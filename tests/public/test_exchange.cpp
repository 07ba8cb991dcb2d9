// to_torch and to_dlpack, of ndtorch/exchange.h, and who can read what these give
#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <ATen/ops/_efficientzerotensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/ones.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/exports.h"
#include "support/oracle.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::address_of;
using test::array;
using test::eval;
using test::facts_of;
using test::import_replaced;
using test::is_true;
using test::message_of;
using test::python_error;
using test::raised_by;
using test::references;

// ----- to_torch

// Of every dtype, order, and from every kind of memory.
std::vector<at::Tensor> tensors() {
  std::vector<at::Tensor> made = {
      at::arange(24).view({2, 3, 4}),
      at::arange(24).view({2, 3, 4}).transpose(0, 2),
      at::arange(24, at::kFloat).view({2, 3, 4}).slice(1, 1).slice(2, 0, 4, 2),
      at::ones({3}).expand({2, 3}),
      at::ones({}),
      at::empty({2, 0}),
      at::ones(std::vector<std::int64_t>(64, 1)),
      ndtorch::from_numpy(array("np.arange(6.).reshape(2, 3).T")),
      ndtorch::as_tensor(eval("bytearray(b'abc')")),
      ndtorch::as_tensor(eval("torch.arange(6.)[2:]")),
      ndtorch::frombuffer(eval("bytearray(8)"), at::kInt),
  };
  for (const ndtorch::detail::dtype_entry& entry : ndtorch::detail::dtypes) {
    made.push_back(at::arange(6).to(entry.scalar_type).view({2, 3}));
  }
  return made;
}

TEST(to_torch, is_the_same_tensor_on_the_same_memory) {
  for (const at::Tensor& tensor : tensors()) {
    SCOPED_TRACE(ndtorch::detail::describe(tensor));
    const py::object theirs = ndtorch::to_torch(tensor);
    EXPECT_TRUE(is_true("type(x) is __import__('torch').Tensor", theirs));
    EXPECT_EQ(facts_of(tensor), facts_of(theirs));
    EXPECT_EQ(address_of(theirs), address_of(tensor));
    if (tensor.numel() == 0) continue;
    theirs.attr("zero_")();
    EXPECT_TRUE(is_true("not any(x.tobytes())", test::elements(tensor)));
  }
}

TEST(to_torch, of_as_tensor_is_the_same_memory_again) {
  for (const char* expression : {"torch.arange(6.).view(2, 3).t()", "torch.ones(2).bfloat16()",
                                 "torch.tensor(3)", "torch.arange(6.)[4:]"}) {
    SCOPED_TRACE(expression);
    const py::object theirs = eval(expression);
    const py::object again = ndtorch::to_torch(ndtorch::as_tensor(theirs));
    EXPECT_EQ(facts_of(again), facts_of(theirs));
    EXPECT_EQ(address_of(again), address_of(theirs));
    theirs.attr("zero_")();
    EXPECT_TRUE(is_true("not x.any()", again));
  }
}

TEST(to_torch, gives_read_only_memory_a_copy) {
  test::import_torch();
  const py::array source = array("np.broadcast_to(np.arange(3.), (1, 3))[0]");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  const py::object theirs = ndtorch::to_torch(tensor);
  theirs.attr("add_")(1);
  EXPECT_TRUE(is_true("x.tolist() == [0, 1, 2]", source));
  EXPECT_EQ(tensor.sum().item<double>(), 6) << "still one memory with Python's";
}

// As module.to(dtype) does with the parameters of a model.
TEST(to_torch, keeps_the_memory_of_a_tensor_that_gets_another_one) {
  test::import_torch();
  at::Tensor tensor = at::ones({1000});
  const py::object theirs = ndtorch::to_torch(tensor);
  const py::object offered = ndtorch::to_dlpack(tensor);
  const py::object capsule = offered.attr("__dlpack__")(py::arg("max_version") = eval("(1, 0)"));
  const py::object array = eval("np.from_dlpack(x)", py::arg("x") = offered);
  const c10::weak_intrusive_ptr<c10::StorageImpl> memory(
      c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(tensor.storage().unsafeGetStorageImpl()));
  tensor.set_data(at::arange(4));
  EXPECT_FALSE(memory.expired());
  EXPECT_TRUE(is_true("x.sum() == 1000", theirs));
  EXPECT_TRUE(is_true("x.sum() == 1000", array));
}

TEST(to_torch, keeps_the_memory_wherever_it_dies) {
  test::import_torch();
  const py::array source = array("np.arange(6.)");
  for (const bool with_gil : {true, false}) {
    at::Tensor tensor = ndtorch::from_numpy(source);
    py::object theirs = ndtorch::to_torch(tensor);
    tensor.reset();
    EXPECT_EQ(references(source), 2);
    EXPECT_TRUE(is_true("x.sum() == 15", theirs));
    // A second tensor in C++ on Python's memory, to die without the GIL.
    tensor = ndtorch::as_tensor(theirs);
    theirs = py::none();
    EXPECT_EQ(references(source), 2);
    test::drop(tensor, with_gil);
    test::wait_for_drops();  // PyTorch gives the GIL up where a torch.Tensor dies
    EXPECT_EQ(references(source), 1);
  }
}

TEST(to_torch, does_not_carry_autograd) {
  test::import_torch();
  const at::Tensor tensor = at::ones({2}).requires_grad_();
  EXPECT_EQ(message_of<py::buffer_error>([&] { ndtorch::to_torch(tensor); }),
            "Can't export tensors that require gradient, use tensor.detach()");
  const py::object theirs = ndtorch::to_torch(tensor.detach());
  EXPECT_TRUE(is_true("x.is_leaf and not x.requires_grad", theirs));
}

TEST(to_torch, says_where_there_is_no_torch) {
  const at::Tensor tensor = at::ones({2});
  const std::size_t before = tensor.use_count();
  const import_replaced missing("torch", py::none());
  const python_error raised = raised_by([&] { ndtorch::to_torch(tensor); });
  EXPECT_EQ(raised.type, "ImportError");
  EXPECT_EQ(raised.text,
            "ndtorch::to_torch makes a torch.Tensor, and this Python has no torch. Install it (pip "
            "install torch), or return a NumPy array with ndtorch::numpy.");
  EXPECT_EQ(tensor.use_count(), before);
}

TEST(to_torch, raises_what_a_broken_torch_raises) {
  const import_replaced broken("torch", eval("type(np)('torch')"));
  EXPECT_EQ(raised_by([] { ndtorch::to_torch(at::ones({2})); }).type, "AttributeError");
}

// Before PyTorch 2.10.
TEST(to_torch, asks_a_torch_without_the_table_by_from_dlpack) {
  const at::Tensor tensor = at::arange(3);
  const py::object from_dlpack = eval("torch.from_dlpack");
  const import_replaced old(
      "torch", eval("type('torch', (), dict(Tensor=type('Tensor', (), {}), from_dlpack=f))",
                    py::arg("f") = from_dlpack));
  EXPECT_EQ(address_of(ndtorch::to_torch(tensor)), address_of(tensor));
}

// ----- to_dlpack

TEST(to_dlpack, is_read_by_numpy_and_torch) {
  for (const at::Tensor& tensor : tensors()) {
    SCOPED_TRACE(ndtorch::detail::describe(tensor));
    const py::object offer = ndtorch::to_dlpack(tensor);
    const py::object torchs = eval("torch.from_dlpack(x)", py::arg("x") = offer);
    EXPECT_EQ(facts_of(torchs), facts_of(tensor));
    EXPECT_EQ(address_of(torchs), address_of(tensor));

    if (!ndtorch::detail::find_dtype(tensor.scalar_type())->is_built_in()) continue;
    const py::array numpys = array("np.from_dlpack(x)", py::arg("x") = offer);
    EXPECT_TRUE(test::same_elements(numpys, test::elements(tensor)));
    EXPECT_TRUE(numpys.writeable());
    if (tensor.numel() == 0) continue;
    EXPECT_EQ(numpys.data(), tensor.const_data_ptr());
    numpys[py::ellipsis()] = py::int_(0);
    EXPECT_TRUE(is_true("not any(x.tobytes())", test::elements(tensor)));
  }
}

// Nothing is there to be aligned.
TEST(to_dlpack, of_no_elements_at_an_odd_address_is_read_too) {
  const py::array odd = array("np.ndarray((3, 0), 'i8', bytearray(9), 1)");
  ASSERT_NE(reinterpret_cast<std::uintptr_t>(odd.data()) % 8, 0U);
  const at::Tensor tensor = ndtorch::from_numpy(odd);
  const at::Tensor again = ndtorch::as_tensor(ndtorch::to_dlpack(tensor));
  EXPECT_EQ(facts_of(again), facts_of(tensor));
}

TEST(to_dlpack, is_read_by_ndtorch) {
  const at::Tensor tensor = at::arange(6).view({2, 3});
  const at::Tensor again = ndtorch::as_tensor(ndtorch::to_dlpack(tensor));
  EXPECT_EQ(facts_of(again), facts_of(tensor));
  EXPECT_EQ(address_of(again), address_of(tensor));
}

// What the structure in a capsule says; nothing is consumed.
template <class Managed>
const Managed& in_capsule(const py::object& capsule, const char* name) {
  const auto* const managed =
      static_cast<const Managed*>(PyCapsule_GetPointer(capsule.ptr(), name));
  if (managed == nullptr) throw py::error_already_set();
  return *managed;
}

py::object capsule_of(const at::Tensor& tensor, const std::string& arguments) {
  return eval("x.__dlpack__(" + arguments + ")", py::arg("x") = ndtorch::to_dlpack(tensor));
}

const DLManagedTensorVersioned& versioned(const py::object& capsule) {
  return in_capsule<DLManagedTensorVersioned>(capsule, "dltensor_versioned");
}
const DLManagedTensor& old(const py::object& capsule) {
  return in_capsule<DLManagedTensor>(capsule, "dltensor");
}

TEST(to_dlpack, has_the_version_that_was_asked_for) {
  const at::Tensor tensor = at::ones({2});
  for (const char* arguments : {"max_version=(1, 0)", "max_version=(1, 3)", "max_version=(2, 0)"}) {
    SCOPED_TRACE(arguments);
    const py::object capsule = capsule_of(tensor, arguments);
    EXPECT_EQ(versioned(capsule).version.major, 1U);
    EXPECT_EQ(versioned(capsule).flags, 0U);
    EXPECT_EQ(versioned(capsule).dl_tensor.data, tensor.data_ptr());
  }
  for (const char* arguments : {"", "max_version=None", "max_version=(0, 8)"}) {
    SCOPED_TRACE(arguments);
    EXPECT_EQ(old(capsule_of(tensor, arguments)).dl_tensor.data, tensor.data_ptr());
  }
}

TEST(to_dlpack, describes_the_tensor) {
  const at::Tensor tensor = at::arange(24, at::kShort).view({4, 6}).slice(1, 1, 6, 2);
  const py::object capsule = capsule_of(tensor, "");
  const DLTensor& described = old(capsule).dl_tensor;
  EXPECT_EQ(described.data, tensor.data_ptr()) << "where the first element is";
  EXPECT_EQ(described.byte_offset, 0U);
  EXPECT_EQ(described.device.device_type, kDLCPU);
  EXPECT_EQ(described.device.device_id, 0);
  EXPECT_EQ(described.dtype.code, kDLInt);
  EXPECT_EQ(described.dtype.bits, 16);
  EXPECT_EQ(described.dtype.lanes, 1);
  EXPECT_EQ(at::IntArrayRef(described.shape, 2), at::IntArrayRef({4, 3}));
  EXPECT_EQ(at::IntArrayRef(described.strides, 2), at::IntArrayRef({6, 2}));
  const py::object offer = ndtorch::to_dlpack(tensor);
  EXPECT_TRUE(is_true("x.__dlpack_device__() == (1, 0)", offer));
}

TEST(to_dlpack, copies_only_where_it_is_told_to) {
  const at::Tensor tensor = at::ones({2});
  const py::object shared = capsule_of(tensor, "max_version=(1, 0), copy=False");
  EXPECT_EQ(versioned(shared).dl_tensor.data, tensor.data_ptr());
  EXPECT_EQ(versioned(shared).flags, 0U);
  for (const char* arguments : {"max_version=(1, 0), copy=True",
                                "max_version=(1, 0), copy=True, dl_device=(1, 0), stream=None",
                                "max_version=(1, 0), copy=True, dl_device=(1, 1)",
                                "max_version=(1, 0), copy=True, dl_device=[1, 0]"}) {
    const py::object copied = capsule_of(tensor, arguments);
    EXPECT_NE(versioned(copied).dl_tensor.data, tensor.data_ptr());
    EXPECT_EQ(*static_cast<float*>(versioned(copied).dl_tensor.data), 1);
    EXPECT_EQ(versioned(copied).flags, DLPACK_FLAG_BITMASK_IS_COPIED);
  }
  EXPECT_NE(old(capsule_of(tensor, "copy=True")).dl_tensor.data, tensor.data_ptr());
  EXPECT_NE(old(capsule_of(tensor, "copy=np.True_")).dl_tensor.data, tensor.data_ptr());
  EXPECT_EQ(old(capsule_of(tensor, "copy=np.False_")).dl_tensor.data, tensor.data_ptr());
}

TEST(to_dlpack, asks_again_what_the_tensor_is_when_it_is_read) {
  at::Tensor tensor = at::ones({2});
  const py::object offer = ndtorch::to_dlpack(tensor);
  tensor.requires_grad_(true);
  const python_error raised = raised_by([&] { eval("np.from_dlpack(x)", py::arg("x") = offer); });
  EXPECT_EQ(raised.type, "BufferError");
  EXPECT_CONTAINS(raised.text, "Can't export tensors that require gradient");
}

TEST(to_dlpack, takes_the_arguments_of_the_standard) {
  const at::Tensor tensor = at::ones({2});
  for (const char* arguments :
       {"stream=None", "stream=-1", "dl_device=None", "dl_device=(1, 0)",
        "dl_device=(1, 0), copy=False", "dl_device=(1, 1)", "dl_device=[1, 0], copy=False"}) {
    SCOPED_TRACE(arguments);
    EXPECT_EQ(old(capsule_of(tensor, arguments)).dl_tensor.data, tensor.data_ptr());
  }
  for (const auto& [arguments, type] :
       {std::pair("dl_device=(2, 0)", "BufferError"),
        std::pair("dl_device=(2, 0), copy=True", "BufferError"), std::pair("None", "TypeError"),
        std::pair("max_version=3", "TypeError"), std::pair("other=1", "TypeError")}) {
    SCOPED_TRACE(arguments);
    EXPECT_EQ(raised_by([&, given = arguments] { capsule_of(tensor, given); }).type, type);
  }
  EXPECT_EQ(raised_by([&] { capsule_of(tensor, "dl_device=(2, 0)"); }).text,
            "can't export a tensor on cpu to DLPack device (2, 0). Copy it there first, with "
            "tensor.to(device).");
}

// The same as PyTorch raises.
TEST(to_dlpack, refuses_a_stream_that_can_not_be) {
  const at::Tensor tensor = at::ones({2});
  const py::object offer = ndtorch::to_dlpack(tensor);
  for (const char* stream :
       {"0", "1", "7", "-2", "2**70", "'x'", "2.5", "True", "(1,)", "np.int64(1)"}) {
    SCOPED_TRACE(stream);
    const python_error expected =
        test::raised_by_python(std::string("torch.ones(2).__dlpack__(stream=") + stream + ")");
    const python_error raised =
        raised_by([&] { capsule_of(tensor, std::string("stream=") + stream); });
    EXPECT_EQ(raised.type, expected.type);
    EXPECT_EQ(raised.text.rfind(expected.text.substr(0, expected.text.size() - 1), 0), 0U)
        << raised.text;
    EXPECT_EQ(references(offer), 1);
  }
}

TEST(to_dlpack, says_that_memory_is_read_only_to_those_who_can_hear_it) {
  const py::object source = eval("b'abcd'[:]");
  const at::Tensor tensor = ndtorch::as_tensor(source);
  const void* const shared = tensor.const_data_ptr();
  for (const char* arguments : {"max_version=(1, 0)", "max_version=(1, 0), copy=False"}) {
    const py::object capsule = capsule_of(tensor, arguments);
    EXPECT_EQ(versioned(capsule).flags, DLPACK_FLAG_BITMASK_READ_ONLY);
    EXPECT_EQ(versioned(capsule).dl_tensor.data, shared);
  }
  EXPECT_FALSE(is_true("np.from_dlpack(x).flags.writeable", ndtorch::to_dlpack(tensor)));

  const python_error raised = raised_by([&] { capsule_of(tensor, "copy=False"); });
  EXPECT_EQ(raised.type, "BufferError");
  EXPECT_CONTAINS(raised.text, "can't export a tensor on read-only memory without a copy");
  EXPECT_EQ(tensor.const_data_ptr(), shared);

  const py::object capsule = capsule_of(tensor, "");
  EXPECT_NE(old(capsule).dl_tensor.data, shared);
  EXPECT_EQ(old(capsule).dl_tensor.data, tensor.const_data_ptr());
  static_cast<char*>(old(capsule).dl_tensor.data)[0] = 'x';
  EXPECT_TRUE(is_true("x == b'abcd'", source));
}

// A write takes the memory from the tensor, but not from who reads it.
TEST(to_dlpack, keeps_read_only_memory_for_the_consumer) {
  py::object bytes = eval("b'some bytes of its own'[:-1]");
  const py::handle source = bytes;
  for (const bool from_array : {true, false}) {
    at::Tensor tensor =
        from_array ? ndtorch::as_tensor(bytes) : ndtorch::frombuffer(bytes, at::kByte);
    py::object reader = eval("np.from_dlpack(x)", py::arg("x") = ndtorch::to_dlpack(tensor));
    tensor.zero_();
    tensor.reset();
    EXPECT_EQ(references(source), 2);
    EXPECT_TRUE(is_true("bytes(x[:4]) == b'some'", reader));
    reader = py::none();
    EXPECT_EQ(references(source), 1);
  }
}

TEST(to_dlpack, keeps_the_memory_until_the_last_of_its_consumers_goes) {
  const py::array source = array("np.arange(6.)");
  at::Tensor tensor = ndtorch::from_numpy(source);
  py::object offer = ndtorch::to_dlpack(tensor);
  tensor.reset();
  py::object first = eval("np.from_dlpack(x)", py::arg("x") = offer);
  py::object second = eval("torch.from_dlpack(x)", py::arg("x") = offer);
  for (py::object* const holder : {&offer, &first, &second}) {
    EXPECT_EQ(references(source), 2);
    *holder = py::none();
  }
  test::wait_for_drops();  // PyTorch gives the GIL up where a torch.Tensor dies
  EXPECT_EQ(references(source), 1);
}

TEST(to_dlpack, gives_the_memory_back_with_a_capsule_that_nobody_consumed) {
  const py::array source = array("np.arange(6.)");
  for (const char* arguments : {"", "max_version=(1, 0)"}) {
    py::object capsule = capsule_of(ndtorch::from_numpy(source), arguments);
    EXPECT_EQ(references(source), 2);
    capsule = py::none();
    EXPECT_EQ(references(source), 1);
  }
}

TEST(to_dlpack, may_be_deleted_by_a_consumer_without_the_gil) {
  const py::array source = array("np.arange(6.)");
  const py::object capsule = capsule_of(ndtorch::from_numpy(source), "");
  auto& managed = const_cast<DLManagedTensor&>(old(capsule));
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  test::on_thread_without_gil([&] { managed.deleter(&managed); });
  EXPECT_EQ(references(source), 1);
}

TEST(to_dlpack, fixes_the_size_of_the_memory) {
  const at::Tensor tensor = at::ones({2});
  const py::object capsule = capsule_of(tensor, "");
  EXPECT_FALSE(tensor.storage().resizable());
}

TEST(to_dlpack, describes_the_tensor_as_it_was) {
  at::Tensor tensor = at::ones({2, 3});
  const py::object capsule = capsule_of(tensor, "");
  tensor.squeeze_().unsqueeze_(0).transpose_(0, 2);
  EXPECT_EQ(at::IntArrayRef(old(capsule).dl_tensor.shape, 2), at::IntArrayRef({2, 3}));
}

TEST(to_dlpack, is_read_by_jax) {
  try {
    test::import_package("jax");
  } catch (const py::error_already_set&) {
    GTEST_SKIP() << "no JAX";
  }
  const at::Tensor tensor = at::arange(6, at::kFloat).view({2, 3});
  const py::object theirs =
      eval("__import__('jax').numpy.from_dlpack(x)", py::arg("x") = ndtorch::to_dlpack(tensor));
  EXPECT_EQ(theirs.attr("unsafe_buffer_pointer")().cast<std::uintptr_t>(), address_of(tensor));
  EXPECT_TRUE(is_true("x.tolist() == [[0, 1, 2], [3, 4, 5]]", theirs));

  // JAX's arrays are immutable, and are shared as such.
  const at::Tensor ours = ndtorch::as_tensor(theirs);
  EXPECT_EQ(address_of(ours), address_of(tensor));
  ours.zero_();
  EXPECT_TRUE(is_true("x.tolist() == [[0, 1, 2], [3, 4, 5]]", theirs));
}

// ----- to_dlpack's object as a buffer

TEST(to_dlpack_as_a_buffer, is_read_by_memoryview_and_numpy) {
  for (const at::Tensor& tensor : tensors()) {
    SCOPED_TRACE(ndtorch::detail::describe(tensor));
    if (!ndtorch::detail::find_dtype(tensor.scalar_type())->is_built_in()) continue;
    const py::object offer = ndtorch::to_dlpack(tensor);
    const py::array expected = ndtorch::numpy(tensor);
    const py::object view = eval("memoryview(x)", py::arg("x") = offer);
    for (const char* name : {"shape", "strides", "format", "itemsize", "nbytes", "readonly"}) {
      EXPECT_TRUE(view.attr(name).equal(eval("memoryview(x)", py::arg("x") = expected).attr(name)))
          << name;
    }
    const py::array read = array("np.asarray(x)", py::arg("x") = offer);
    EXPECT_TRUE(test::same_elements(read, test::elements(tensor)));
    EXPECT_EQ(read.writeable(), expected.writeable());
    if (tensor.numel() == 0 || !read.writeable()) continue;
    EXPECT_EQ(read.data(), tensor.const_data_ptr());
    read[py::ellipsis()] = py::int_(0);
    EXPECT_TRUE(is_true("not any(x.tobytes())", test::elements(tensor)));
  }
}

TEST(to_dlpack_as_a_buffer, may_not_be_written_where_the_memory_may_not) {
  const py::object source = eval("b'abcd'[:]");
  const at::Tensor tensor = ndtorch::as_tensor(source);
  const py::object offer = ndtorch::to_dlpack(tensor);
  EXPECT_TRUE(is_true("memoryview(x).readonly and not np.asarray(x).flags.writeable", offer));
  EXPECT_EQ(array("np.asarray(x)", py::arg("x") = offer).data(), tensor.const_data_ptr());
  EXPECT_TRUE(is_true("memoryview(x).readonly", ndtorch::to_dlpack(at::ones({3}).expand({2, 3}))));
  // Who asks for memory to write to.
  const python_error raised =
      raised_by([&] { eval("open('/dev/null', 'rb').readinto(x)", py::arg("x") = offer); });
  EXPECT_EQ(raised.type, "TypeError");
  EXPECT_EQ(references(offer), 1);
}

TEST(to_dlpack_as_a_buffer, holds_the_memory_as_long_as_it_is_exported) {
  const py::array source = array("np.arange(6.)");
  py::object view =
      eval("memoryview(x)", py::arg("x") = ndtorch::to_dlpack(ndtorch::from_numpy(source)));
  EXPECT_EQ(references(source), 2);
  EXPECT_TRUE(is_true("x.tolist() == [0, 1, 2, 3, 4, 5]", view));
  view.attr("release")();
  EXPECT_EQ(references(source), 1);

  // Whatever becomes of the tensor.
  at::Tensor tensor = at::ones({1000});
  view = eval("memoryview(x)", py::arg("x") = ndtorch::to_dlpack(tensor));
  EXPECT_FALSE(tensor.storage().resizable());
  tensor.set_data(at::arange(4));
  EXPECT_TRUE(is_true("sum(x.tolist()) == 1000", view));
}

// What a consumer asks for with PyBUF's flags.
TEST(to_dlpack_as_a_buffer, gives_what_is_asked_for_or_a_buffer_error) {
  const py::array read_only = array("np.arange(3.)");
  read_only.attr("flags").attr("writeable") = false;
  struct request {
    at::Tensor tensor;
    int flags;
    bool given;
  };
  const at::Tensor row = at::arange(6), matrix = at::arange(6).view({2, 3});
  for (const auto& [tensor, flags, given] : {
           request{row, PyBUF_SIMPLE, true},
           request{row, PyBUF_WRITABLE, true},
           request{row.slice(0, 0, 6, 2), PyBUF_SIMPLE, false},
           request{row.slice(0, 0, 6, 2), PyBUF_ND, false},
           request{row.slice(0, 0, 6, 2), PyBUF_STRIDES, true},
           request{row.slice(0, 0, 6, 2), PyBUF_ANY_CONTIGUOUS, false},
           request{matrix, PyBUF_C_CONTIGUOUS, true},
           request{matrix, PyBUF_F_CONTIGUOUS, false},
           request{matrix.t(), PyBUF_F_CONTIGUOUS, true},
           request{matrix.t(), PyBUF_C_CONTIGUOUS, false},
           request{ndtorch::from_numpy(read_only), PyBUF_WRITABLE, false},
           request{ndtorch::from_numpy(read_only), PyBUF_FULL_RO, true},
       }) {
    SCOPED_TRACE(flags);
    const py::object offer = ndtorch::to_dlpack(tensor);
    Py_buffer buffer{};
    const int result = PyObject_GetBuffer(offer.ptr(), &buffer, flags);
    EXPECT_EQ(result == 0, given);
    if (result == 0) {
      EXPECT_EQ(buffer.buf, tensor.const_data_ptr());
      EXPECT_EQ(buffer.len, static_cast<Py_ssize_t>(tensor.nbytes()));
      EXPECT_EQ(buffer.format != nullptr, (flags & PyBUF_FORMAT) != 0);
      EXPECT_EQ(buffer.strides != nullptr, (flags & PyBUF_STRIDES) == PyBUF_STRIDES);
      PyBuffer_Release(&buffer);
    } else {
      EXPECT_TRUE(PyErr_ExceptionMatches(PyExc_BufferError));
      EXPECT_EQ(buffer.obj, nullptr);
      PyErr_Clear();
    }
    EXPECT_EQ(references(offer), 1);
  }
}

TEST(to_dlpack_as_a_buffer, is_refused_for_what_has_no_format) {
  at::Tensor tensor = at::ones({2});
  const auto raised_for = [](const py::object& offer) {
    return raised_by([&] { eval("memoryview(x)", py::arg("x") = offer); });
  };
  python_error raised = raised_for(ndtorch::to_dlpack(tensor.to(at::kBFloat16)));
  EXPECT_EQ(raised.type, "BufferError");
  EXPECT_EQ(raised.text,
            "the buffer protocol has no format for BFloat16: cast the tensor first, or read its "
            "bytes, with tensor.view(at::kByte).");
  EXPECT_TRUE(is_true("memoryview(x).nbytes == 4",
                      ndtorch::to_dlpack(tensor.to(at::kBFloat16).view(at::kByte))));
  // It is asked again what the tensor is.
  const py::object offer = ndtorch::to_dlpack(tensor);
  tensor.requires_grad_();
  raised = raised_for(offer);
  EXPECT_EQ(raised.type, "BufferError");
  EXPECT_CONTAINS(raised.text, "Can't export tensors that require gradient");
}

// ----- both

struct refused_tensor {
  const char* name;
  at::Tensor (*make)();
  const char* text;
};

const refused_tensor refused_tensors[] = {
    {"requires grad", [] { return at::ones({2}).requires_grad_(); },
     "Can't export tensors that require gradient, use tensor.detach()"},
    {"conj", [] { return at::complex(at::ones({2}), at::ones({2})).conj(); },
     "Can't export tensors with the conjugate bit set. Use tensor.resolve_conj() first."},
    {"neg", [] { return at::imag(at::complex(at::ones({2}), at::ones({2})).conj()); },
     "Can't export tensors with the negative bit set. Use tensor.resolve_neg() first."},
    {"sparse", [] { return at::ones({2}).to_sparse(); },
     "Can't export tensors with layout other than torch.strided. Got layout Sparse: use "
     "Tensor.to_dense() first."},
    {"nested", [] { return test::nested(); },
     "Can't export nested tensors. Use Tensor.to_padded_tensor(0) or Tensor.unbind() first."},
    {"zero", [] { return at::_efficientzerotensor({2}); },
     "Can't export a ZeroTensor, which has no memory. Use tensor.clone() first."},
    {"quantized", [] { return test::quantized(); },
     "Got unsupported ScalarType QInt8. DLPack has no such dtype: call tensor.dequantize() or "
     "tensor.int_repr() first."},
    {"of half bytes", [] { return at::ones({2}, at::kByte).view(at::ScalarType::UInt4); },
     "Got unsupported ScalarType UInt4. DLPack has no such dtype: read its bytes, with "
     "tensor.view(at::kByte)."},
    {"meta", [] { return at::empty({2}, at::kMeta); },
     "Cannot pack tensors on meta, which have no data. Make one on a real device first, for "
     "example "
     "with at::empty_like(tensor, at::kCPU)."},
};

using exporter = py::object (*)(const at::Tensor&);

TEST(exporting, refuses_what_dlpack_can_not_say) {
  for (const refused_tensor& one : refused_tensors) {
    SCOPED_TRACE(one.name);
    const at::Tensor tensor = one.make();
    const std::size_t before = tensor.use_count();
    for (const exporter function : {exporter(&ndtorch::to_torch), exporter(&ndtorch::to_dlpack)}) {
      EXPECT_CONTAINS(message_of<py::buffer_error>([&] { function(tensor); }), one.text);
      EXPECT_EQ(tensor.use_count(), before);
    }
  }
  for (const exporter function : {exporter(&ndtorch::to_torch), exporter(&ndtorch::to_dlpack)}) {
    EXPECT_EQ(message_of<py::type_error>([&] { function(at::Tensor()); }),
              "can't export an undefined tensor. Give it a value first; at::Tensor() has none.");
  }
}

}  // namespace
