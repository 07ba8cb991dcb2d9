// ndtorch/explain.h
#include <ATen/FunctionalTensorWrapper.h>
#include <ATen/ops/_add_batch_dim.h>
#include <ATen/ops/_efficientzerotensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ndtorch/explain.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/arrays.h"
#include "support/exports.h"
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

// What each line says is what the function does: shares, copies, or throws these words.
std::string line_of(const std::string& text, const std::string& function) {
  const std::string start = "\n  " + function + ": ";
  const auto found = text.find(start);
  EXPECT_NE(found, std::string::npos) << function << " in " << text;
  if (found == std::string::npos) return {};
  const auto begin = found + start.size();
  // A message may have lines of its own.
  auto end = text.size();
  for (const char* const next :
       {"\n  from_numpy: ", "\n  as_tensor: ", "\n  tensor: ", "\n  numpy: ", "\n  to_numpy: "}) {
    const auto other = text.find(next, begin);
    if (other != std::string::npos) end = std::min(end, other);
  }
  return text.substr(begin, end - begin);
}

void expect_says(const std::string& text, const std::string& function, const void* memory,
                 const std::function<const void*()>& convert) {
  const std::string line = line_of(text, function);
  const void* made = nullptr;
  std::string refused;
  ndtorch::detail::value_or_refusal(
      [&] {
        made = convert();
        return 0;
      },
      [&](const std::string& message) {
        refused = message;
        return 0;
      });
  if (!refused.empty()) {
    EXPECT_EQ(line, "refuses: " + refused) << function;
  } else if (made == memory) {
    EXPECT_EQ(line.find("shares"), 0U) << function << ": " << line;
  } else {
    EXPECT_EQ(line.find("copies"), 0U) << function << ": " << line;
  }
}

TEST(explain, says_of_a_tensor_what_numpy_and_to_numpy_do) {
  const auto freed = [](const at::Tensor& tensor) {
    test::free_storage(tensor);
    return tensor;
  };
  at::Tensor grown_in_vain = ndtorch::from_numpy(array("np.zeros(3)"));
  EXPECT_THROW(grown_in_vain.resize_({100}), c10::Error);
  const at::Tensor subclass = at::ones({3});
  subclass.unsafeGetTensorImpl()->set_python_dispatch(true);
  const std::pair<const char*, at::Tensor> tensors[] = {
      {"plain", at::ones({2, 3})},
      {"without elements", at::ones({0, 3})},
      {"expanded", at::ones({1}).expand({3})},
      {"of a read-only array", ndtorch::from_numpy(array("np.broadcast_to(1., (2, 3))"))},
      {"requires grad", at::ones({2}).set_requires_grad(true)},
      {"conj", at::ones({2}, at::kComplexFloat).conj()},
      {"neg", at::ones({2}, at::kComplexFloat)._neg_view()},
      {"zeros without memory", at::_efficientzerotensor({3}, at::kFloat)},
      {"sparse", at::ones({2, 2}).to_sparse()},
      {"nested", test::nested()},
      {"quantized", test::quantized()},
      {"bits", at::empty({3}, at::ScalarType::Bits8)},
      {"bfloat16", at::ones({3}, at::kBFloat16)},
      {"meta", at::empty({2}, at::kMeta)},
      {"65 dimensions", at::ones(std::vector<std::int64_t>(65, 1))},
      {"more elements than bytes", at::ones({1}).expand({std::int64_t{1} << 62})},
      {"freed", freed(at::ones({3}))},
      {"freed conj", freed(at::ones({3}, at::kComplexFloat)).conj()},
      {"freed, requires grad", freed(at::ones({3})).set_requires_grad(true)},
      {"grown in vain", grown_in_vain},
      {"subclass", subclass},
      {"in vmap", at::_add_batch_dim(at::ones({2, 3}), 0, 1)},
      {"in functionalize", at::functionalization::impl::to_functional_tensor(at::ones({3}))},
  };
  for (const auto& [name, tensor] : tensors) {
    SCOPED_TRACE(name);
    const bool has_memory = tensor.has_storage() && tensor.layout() == at::kStrided;
    const void* const memory = has_memory && tensor.numel() > 0 && !tensor.is_meta() &&
                                       !tensor._is_zerotensor() && tensor.storage().nbytes() > 0 &&
                                       !tensor.is_nested()
                                   ? tensor.storage().data()
                                   : nullptr;
    const bool resizable = tensor.has_storage() && tensor.storage().resizable();
    const std::string text = ndtorch::explain(tensor);
    if (tensor.has_storage()) {
      EXPECT_EQ(tensor.storage().resizable(), resizable) << "changed";
    }
    const auto data_of = [&](const py::array& made) -> const void* {
      return tensor.numel() == 0 ? nullptr : made.data();
    };
    expect_says(text, "numpy", memory, [&] { return data_of(ndtorch::numpy(tensor)); });
    expect_says(text, "to_numpy", memory, [&] { return data_of(ndtorch::to_numpy(tensor)); });
  }
}

TEST(explain, says_of_an_object_what_each_function_makes_of_it) {
  test::import_torch();
  std::vector<std::string> expressions = {
      "[1, 2]",
      "3",
      "True",
      "None",
      "'text'",
      "[1, 'x']",
      "object()",
      "b'1234'",
      "bytearray(b'1234')",
      "memoryview(b'1234')[::-1]",
      "np.float32(1)",
      "np.float32",
      "type('table', (), {'__array__': lambda self, *_, **__: np.zeros(3)})()",
      "type('table', (), {'__array__': lambda self, *_, **__: np.ma.masked_array([1, 2], [0, "
      "1])})()",
      "type('table', (), {'__array__': lambda self, *_, **__: np.zeros(3)[::-1]})()",
      "type('table', (), {'__array__': lambda self, *_, **__: 1 / 0})()",
      "torch.ones(3)",
      "torch.ones(3).requires_grad_()",
      "torch.ones(3, dtype=torch.cfloat).conj()",
      "torch.ones(3).to_sparse()",
      "torch.empty(3, device='meta')",
      "(lambda t: (t.untyped_storage().resize_(0), t)[1])(torch.ones(3))",
      "__import__('ctypes').c_int(3)",
      "(__import__('ctypes').c_void_p * 2)()",
      "[np.ma.masked]",
      "np.array([255, 0, 7], 'u1').view(bool)"};
  for (const auto& list :
       {std::vector<const char*>(std::begin(test::layouts), std::end(test::layouts)),
        std::vector<const char*>(std::begin(test::copied_only), std::end(test::copied_only)),
        std::vector<const char*>(std::begin(test::unsupported_arrays),
                                 std::end(test::unsupported_arrays)),
        std::vector<const char*>(std::begin(test::masked_arrays), std::end(test::masked_arrays)),
        std::vector<const char*>(std::begin(test::unused_strides),
                                 std::end(test::unused_strides))}) {
    expressions.insert(expressions.end(), list.begin(), list.end());
  }
  for (const std::string& expression : expressions) {
    SCOPED_TRACE(expression);
    const py::object object = eval(expression);
    const std::string text = ndtorch::explain(object);
    // Shared memory is that of what from_numpy or as_tensor gives twice.
    const void* memory = nullptr;
    const auto data_of = [](const at::Tensor& tensor) { return tensor.storage().data(); };
    const at::Tensor held =
        ndtorch::detail::value_or_refusal([&] { return ndtorch::as_tensor(object); },
                                          [](const std::string&) { return at::Tensor(); });
    if (held.defined()) {
      const at::Tensor again = ndtorch::as_tensor(object);
      if (data_of(again) == data_of(held)) memory = data_of(held);
    }
    const void* const none = &memory;  // nobody's
    const void* const shared = memory != nullptr ? memory : none;
    expect_says(text, "from_numpy", shared, [&] { return data_of(ndtorch::from_numpy(object)); });
    // Empty memory is nobody's, and of an object that makes an array each time too.
    if (held.defined() && (held.numel() == 0 || expression.find("table") != std::string::npos)) {
      EXPECT_NE(line_of(text, "as_tensor").find("refuses"), 0U);
    } else {
      expect_says(text, "as_tensor", shared, [&] { return data_of(ndtorch::as_tensor(object)); });
    }
    expect_says(text, "tensor", shared, [&]() -> const void* {
      ndtorch::tensor(object);
      return nullptr;
    });
  }
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
