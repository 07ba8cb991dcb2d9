// ndtorch/explain.h
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ndtorch/explain.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::array;
using test::eval;
using test::message_of;
using test::references;

// The text without what stands after "data: ", an address.
std::string explained(const py::object& object) {
  std::string text = ndtorch::explain(object);
  const auto address = text.find("data: 0x");
  if (address != std::string::npos) {
    text.replace(address + 6, text.find('\n', address) - address - 6, "...");
  }
  return text;
}

TEST(explain, says_of_an_array_what_it_is_and_that_it_is_shared) {
  EXPECT_EQ(explained(array("np.zeros((2, 3))")),
            "an array of shape (2, 3), strides (24, 8) bytes, dtype float64\n"
            "  type: numpy.ndarray\n"
            "  data: ...\n"
            "  flags: C_CONTIGUOUS, OWNDATA, WRITEABLE, ALIGNED\n"
            "  base: none\n"
            "  from_numpy: shares the array's memory\n"
            "  as_tensor: shares the array's memory\n"
            "  tensor: copies");
}

// To be told what is in it, somebody would have to take it: but explain() changes nothing.
TEST(explain, leaves_a_capsule_as_it_was) {
  const py::object capsule = array("np.arange(3.)").attr("__dlpack__")();
  EXPECT_CONTAINS(
      explained(capsule),
      "a PyCapsule\n  as_tensor: takes what it holds, which nobody else can take then: a "
      "DLPack tensor of 1 dimensions, shape (3,), strides (1,) elements");
  EXPECT_EQ(ndtorch::as_tensor(capsule).sum().item<double>(), 3);
  EXPECT_CONTAINS(explained(capsule),
                  "a PyCapsule\n  as_tensor: refuses: expected a capsule named dltensor or");
}

TEST(explain, gives_the_address_of_the_first_element) {
  const py::object source = array("np.zeros(3)[1:]");
  const auto address = eval("hex(a.ctypes.data)", py::arg("a") = source).cast<std::string>();
  EXPECT_CONTAINS(ndtorch::explain(source), "data: " + address + "\n");
}

TEST(explain, names_all_that_keeps_the_memory) {
  EXPECT_CONTAINS(explained(array("np.frombuffer(bytearray(16))[::-1]")),
                  "  base: numpy.ndarray of memoryview\n");
}

TEST(explain, says_when_a_read_only_array_is_copied) {
  const std::string text = explained(array("np.broadcast_to(1., (2, 3))"));
  EXPECT_CONTAINS(text, "flags: ALIGNED\n");
  EXPECT_CONTAINS(
      text,
      "  from_numpy: shares the array's memory until the first write, which copies (the "
      "array is read-only)\n");
}

TEST(explain, gives_the_words_of_the_error_for_what_is_refused) {
  for (const char* const expression : test::copied_only) {
    SCOPED_TRACE(expression);
    const py::object source = array(expression);
    const std::string message = message_of<py::value_error>([&] { ndtorch::from_numpy(source); });
    EXPECT_CONTAINS(ndtorch::explain(source),
                    "  from_numpy: refuses: " + message +
                        "\n  as_tensor: copies, as from_numpy refuses\n  tensor: copies");
  }
}

TEST(explain, gives_the_words_of_the_error_for_what_no_function_takes) {
  for (const char* const expression : test::unsupported_arrays) {
    SCOPED_TRACE(expression);
    const py::object source = array(expression);
    const std::string message = message_of<py::type_error>([&] { ndtorch::tensor(source); });
    EXPECT_CONTAINS(ndtorch::explain(source), "\n  tensor: refuses: " + message);
  }
}

TEST(explain, says_how_the_memory_of_other_objects_is_had) {
  const char* const kinds[][2] = {
      {"[1, 2]",
       "a list\n  as_tensor: copies what it holds: a tensor of shape [2], strides [1] elements, "
       "dtype Long, device cpu"},
      {"b'1234'", "a bytes, a buffer: as_tensor reads it as\nan array of shape (4,), strides (1,)"},
      {"type('table', (), {'__array__': lambda self, *_, **__: np.zeros(3)})()",
       "a table: as_tensor reads it, with np.asarray(), as\nan array of shape (3,)"},
      {"type('producer', (), {'__dlpack__': lambda self, **k: np.zeros(3).__dlpack__(**k), "
       "'__dlpack_device__': lambda self: (1, 0)})()",
       "a producer\n  as_tensor: shares its memory by __dlpack__: a tensor of shape [3]"},
      {"torch.ones(3)",
       "a Tensor\n  as_tensor: shares the memory of the torch.Tensor: a tensor of"},
      {"type('cuda', (), {'__cuda_array_interface__': {'shape': (3,)}})()",
       "a cuda\n  as_tensor: refuses: "},
      {"(__import__('ctypes').c_void_p * 2)()",
       "a c_void_p_Array_2\n  as_tensor: refuses: can't convert the buffer"},
      {"object()", "a object\n  as_tensor: refuses: "},
      {"[1, 'x']", "a list\n  as_tensor: refuses: "},
      {"None", "a NoneType\n  as_tensor: refuses: "},
  };
  for (const auto& [expression, text] : kinds) {
    SCOPED_TRACE(expression);
    EXPECT_CONTAINS(ndtorch::explain(eval(expression)), text);
  }
  EXPECT_EQ(ndtorch::explain(py::handle()), "a null handle");
}

TEST(explain, changes_nothing) {
  const py::object source = array("np.broadcast_to(1., (2, 3))");
  const at::Tensor tensor = ndtorch::from_numpy(source);
  const auto before = references(source);
  EXPECT_NE(ndtorch::explain(source), ndtorch::explain(tensor));
  EXPECT_EQ(references(source), before);
  const auto address = eval("a.ctypes.data", py::arg("a") = source).cast<std::uintptr_t>();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()), address) << "no first write";
}

TEST(explain, passes_on_an_interrupt) {
  const py::object interrupts = eval(
      "type('interrupts', (), {'__dlpack__': lambda self, **k: (_ for _ in ()).throw("
      "KeyboardInterrupt), '__dlpack_device__': lambda self: (1, 0)})()");
  EXPECT_EQ(test::raised_by([&] { std::ignore = ndtorch::explain(interrupts); }).type,
            "KeyboardInterrupt");
}

TEST(explain, says_of_a_tensor_whose_memory_it_is_and_that_it_is_shared) {
  EXPECT_EQ(ndtorch::explain(at::ones({2, 3})),
            "a tensor of shape [2, 3], strides [3, 1] elements, dtype Float, device cpu\n"
            "  memory: LibTorch's\n"
            "  numpy: shares the tensor's memory\n"
            "  to_numpy: shares the tensor's memory");
  EXPECT_CONTAINS(ndtorch::explain(ndtorch::from_numpy(array("np.zeros(3)"))),
                  "\n  memory: of a numpy.ndarray\n");
  EXPECT_CONTAINS(ndtorch::explain(ndtorch::from_numpy(array("np.broadcast_to(1., 3)"))),
                  "\n  memory: of a numpy.ndarray, read-only\n");
}

struct kind_of_tensor {
  const char* name;
  at::Tensor tensor;
  const char* forced;
};

TEST(explain, gives_the_words_of_the_error_for_tensors_that_numpy_refuses) {
  const kind_of_tensor kinds[] = {
      {"requires grad", at::ones({2}).set_requires_grad(true), "shares the tensor's memory"},
      {"conj", at::ones({2}, at::kComplexFloat).conj(), "copies"},
      {"sparse", at::ones({2}).to_sparse(),
       "refuses: can't convert Sparse layout tensor to numpy."},
      {"meta", at::empty({2}, at::kMeta), "refuses: Cannot copy out of meta tensor; no data!"},
  };
  for (const kind_of_tensor& kind : kinds) {
    SCOPED_TRACE(kind.name);
    const std::string message = test::raised_by([&] { ndtorch::numpy(kind.tensor); }).text;
    EXPECT_CONTAINS(ndtorch::explain(kind.tensor),
                    "\n  numpy: refuses: " + message + "\n  to_numpy: " + kind.forced);
  }
  EXPECT_EQ(ndtorch::explain(at::Tensor()), "an undefined tensor");
}

}  // namespace
