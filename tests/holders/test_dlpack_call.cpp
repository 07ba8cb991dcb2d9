// as_tensor of objects with __dlpack__: how they are asked, and what becomes of a call that fails
#include <ATen/core/Tensor.h>
#include <ndtorch/from_numpy.h>

#include <string>
#include <utility>

#include "support/dlpack.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::eval;
using test::foreign_memory;
using test::message_of;
using test::old_producer;
using test::producer;
using test::references;
using test::text_of;
using test::versioned_producer;

TEST(dlpack_call, names_the_newest_version_that_is_known) {
  foreign_memory memory;
  const py::object object = versioned_producer(memory);
  ndtorch::as_tensor(object);
  EXPECT_EQ(text_of(object.attr("calls")), "[{'max_version': (1, 3)}]");
}

TEST(dlpack_call, asks_again_without_a_version_where_that_is_no_argument) {
  foreign_memory memory;
  const py::object object = old_producer(memory);
  ndtorch::as_tensor(object);
  EXPECT_EQ(text_of(object.attr("calls")), "[None]");
}

TEST(dlpack_call, takes_an_old_capsule_from_those_who_know_versions) {
  foreign_memory memory;
  const py::object object =
      producer(memory, "  def __dlpack__(self, **arguments): return self.old()\n");
  EXPECT_EQ(ndtorch::as_tensor(object).const_data_ptr(), memory.data.data());
  EXPECT_EQ(memory.deleted, 1);
}

TEST(dlpack_call, names_the_default_stream_of_cuda_and_rocm) {
  foreign_memory memory;
  const py::object object = versioned_producer(memory);
  const py::type type = py::type::of(object);
  for (const auto& [code, stream] : {std::pair(2, 1), std::pair(13, 1), std::pair(10, 0)}) {
    type.attr("__dlpack_device__") = eval("lambda self: (code, 0)", py::arg("code") = code);
    ndtorch::as_tensor(object);
    const py::object expected = eval("dict(stream=s, max_version=(1, 3))", py::arg("s") = stream);
    EXPECT_TRUE(object.attr("calls").attr("pop")().equal(expected));
  }
}

// As NumPy, which asks for nothing else.
TEST(dlpack_call, takes_a_device_that_is_missing_for_the_cpu) {
  foreign_memory memory;
  const py::object object = versioned_producer(memory);
  const py::object base = test::exec(
      "class without:\n"
      "  calls = []\n"
      "  def __init__(self, made): self.made = made\n"
      "  def __dlpack__(self, **arguments):\n"
      "    self.calls.append(arguments)\n"
      "    return self.made.versioned()\n",
      py::dict())["without"];
  const py::object without = base(object);
  EXPECT_EQ(ndtorch::as_tensor(without).const_data_ptr(), memory.data.data());
  EXPECT_EQ(text_of(without.attr("calls")), "[{'max_version': (1, 3)}]");
  EXPECT_EQ(memory.deleted, 1);
}

TEST(dlpack_call, reads_a_device_in_every_form_that_has_ints) {
  foreign_memory memory;
  for (const char* device :
       {"[1, 0]", "(np.int32(1), np.int64(0))", "[np.uint8(1), 0]", "np.array([1, 0])",
        "(np.array(1), 0)", "(True, 0)", "(__import__('enum').IntEnum('kind', 'CPU').CPU, 0)"}) {
    SCOPED_TRACE(device);
    const py::object object = versioned_producer(memory);
    py::type::of(object).attr("__dlpack_device__") =
        eval("lambda self: device", py::arg("device") = eval(device));
    EXPECT_EQ(ndtorch::as_tensor(object).const_data_ptr(), memory.data.data());
    EXPECT_EQ(references(object), 1);
  }
}

TEST(dlpack_call, consumes_a_capsule_only_once) {
  foreign_memory memory;
  const py::object object =
      producer(memory, "  def __dlpack__(self, **arguments): return self.one\n");
  for (const char* kind : {"versioned", "old"}) {
    SCOPED_TRACE(kind);
    object.attr("one") = object.attr(kind)();
    const at::Tensor tensor = ndtorch::as_tensor(object);
    const std::string message = message_of<py::type_error>([&] { ndtorch::as_tensor(object); });
    EXPECT_CONTAINS(message, "got one named used_dltensor");
    EXPECT_CONTAINS(message, "A capsule can be consumed only once");
    EXPECT_EQ(tensor.sum().item<double>(), 15) << "the first is not harmed";
  }
  object.attr("one") = py::none();
  EXPECT_EQ(memory.made, 2);
  EXPECT_EQ(memory.deleted, 2);
}

struct failing_producer {
  const char* python;  // the body of its class
  const char* type;    // what Python gets
  const char* text;
};

const failing_producer failing_producers[] = {
    {"  def __dlpack_device__(self): raise OSError('off')\n", "OSError", "off"},
    {"  def __dlpack__(self, **arguments): raise KeyError('no')\n", "KeyError", "no"},
    {"  def __dlpack__(self, **arguments): raise KeyboardInterrupt\n", "KeyboardInterrupt", ""},
    {"  def __dlpack__(self, **arguments): raise TypeError(f'with {len(arguments)}')\n",
     "TypeError", "with 0"},
    {"  def __dlpack__(self, **arguments):\n    made = self.versioned()\n    raise "
     "OSError('late')\n",
     "OSError", "late"},
    {"  def __dlpack__(self, **arguments):\n    made = self.old()\n    raise TypeError('late')\n",
     "TypeError", "late"},
    {"  __dlpack__ = None\n", "TypeError", "'NoneType' object is not callable"},
    {"  def __dlpack__(self, **arguments): return None\n", "TypeError",
     "__dlpack__ must return a capsule named dltensor or dltensor_versioned (got NoneType). A "
     "capsule can be consumed only once: have __dlpack__ make a new one for each call."},
    {"  def __dlpack__(self, **arguments): return (self.old(),)\n", "TypeError", "(got tuple)"},
    {"  def __dlpack__(self, **arguments):\n    import datetime\n    return "
     "datetime.datetime_CAPI\n",
     "TypeError", "(got one named datetime.datetime_CAPI)"},
    {"  def __dlpack__(self, **arguments): return self.nameless\n", "TypeError", "(got PyCapsule)"},
    {"  def __dlpack_device__(self): return None\n", "TypeError",
     "__dlpack_device__ of a producer must return (device_type, device_id) (got None)."},
    {"  def __dlpack_device__(self): return (1,)\n", "TypeError", "(got (1,))."},
    {"  def __dlpack_device__(self): return ('cpu', 0)\n", "TypeError", "(got ('cpu', 0))."},
    {"  def __dlpack_device__(self): return (1.0, 0)\n", "TypeError", "(got (1.0, 0))."},
    {"  def __dlpack_device__(self): return (np.array([1, 1]), 0)\n", "TypeError", "only integer"},
    {"  __dlpack_device__ = None\n", "TypeError", "'NoneType' object is not callable"},
    {"  @property\n  def __dlpack_device__(self): raise OSError('no')\n", "OSError", "no"},
    {"  def __dlpack_device__(self): return (2**70, 0)\n", "OverflowError", "int too large"},
};

TEST(dlpack_call, that_fails_leaves_nothing_behind) {
  for (const failing_producer& one : failing_producers) {
    SCOPED_TRACE(one.python);
    foreign_memory memory;
    const py::object object = producer(memory, one.python);
    object.attr("nameless") = py::capsule(&memory);
    const test::python_error raised = test::raised_by([&] { ndtorch::as_tensor(object); });
    EXPECT_EQ(raised.type, one.type);
    EXPECT_CONTAINS(raised.text, one.text);
    EXPECT_EQ(memory.deleted, memory.made);
    EXPECT_EQ(references(object), 1);
  }
}

TEST(dlpack_call, of_another_major_version_is_given_back_unread) {
  foreign_memory memory;
  memory.version = {2, 7};
  memory.tensor.ndim = -1;
  const std::string message = message_of<py::buffer_error>(
      [object = versioned_producer(memory)] { ndtorch::as_tensor(object); });
  EXPECT_EQ(message,
            "a DLPack tensor of version 2.7 came, and ndtorch reads version 1. Update the older of "
            "the two.");
  EXPECT_EQ(memory.deleted, 1);
}

TEST(dlpack_call, is_for_the_type_to_offer) {
  const py::object object =
      test::exec("class odd: pass\no = odd()\no.__dlpack__ = o.__dlpack_device__ = 1")["o"];
  EXPECT_CONTAINS(message_of<py::type_error>([&] { ndtorch::as_tensor(object); }),
                  "can't convert an object of type 'odd' to a tensor.");
}

TEST(dlpack_call, is_made_for_each_item_of_a_sequence) {
  foreign_memory first, second;
  second.data.fill(7);
  const at::Tensor tensor = ndtorch::as_tensor(
      py::make_tuple(versioned_producer(first), py::make_tuple(old_producer(second))[0]));
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({2, 2, 3}));
  EXPECT_EQ(tensor[0].sum().item<double>(), 15);
  EXPECT_EQ(tensor[1].sum().item<double>(), 42);
  EXPECT_EQ(first.deleted + second.deleted, 2);
}

}  // namespace
