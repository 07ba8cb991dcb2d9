// PyTorch as the oracle, torch to NumPy: what Tensor.numpy answers for all dtypes and layouts is
// what ndtorch answers, except where a test names the difference. What both refuse:
// test_to_numpy.cpp.
#include <ATen/DLConvertor.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ndtorch/ndtorch.h>

#include <cstdint>
#include <string>

#include "support/oracle.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::caught;
using test::dtypes;
using test::eval;
using test::facts;
using test::facts_of;
using test::outcome;

// The same tensor in C++ and in Python, on the same memory: that of `tensor`, from Python.
at::Tensor twin_of(py::handle tensor, at::ScalarType dtype) {
  const py::object memory = eval(
      "torch.utils.dlpack.to_dlpack("
      "torch.empty(0, dtype=torch.uint8).set_(t.untyped_storage()))",
      py::arg("t") = tensor);
  auto* const shared =
      static_cast<DLManagedTensor*>(PyCapsule_GetPointer(memory.ptr(), "dltensor"));
  PyCapsule_SetName(memory.ptr(), "used_dltensor");
  const facts same = facts_of(tensor);
  return at::empty({0}, dtype)
      .set_(at::fromDLPack(shared).storage(),
            py::cast<std::int64_t>(tensor.attr("storage_offset")()), same.sizes, same.strides);
}

// Tensor.numpy(), and what there is to say about the array. To reach the dtypes of ml_dtypes
// PyTorch goes through integers. An empty array's memory and strides say nothing.
const char* const export_functions = R"(
import torch
def is_foreign(dtype): return dtype.type.__module__ == 'ml_dtypes'
def tensors(dtype):
    t = torch.tensor([1, 2, 4, 8, 1, 4, 2, 0] * 3).to(getattr(torch, dtype.name)).reshape(2, 3, 4)
    return [t, t.transpose(0, 2), t.permute(1, 2, 0), t[:, ::2, 1:3], t[:, 1:].transpose(0, 1),
            t[1:, 1:, 1:], t[0, 1, 2], t[:1, :1], t[:0], t[:, :0], t.new_empty(0),
            t.reshape(-1)[3::5], t[None].contiguous(memory_format=torch.channels_last),
            t.reshape((1,) * 61 + (2, 3, 4)), t.as_strided((1, 3), (100, 1)),
            t.as_strided((0, 3), (100, 7)), t.as_strided((2, 3), (4, 1), 5)]
def overlapping(dtype):
    t = torch.ones(24).to(getattr(torch, dtype.name)).reshape(2, 3, 4)
    return [t.expand(5, 2, 3, 4), t[:, :1].expand(2, 3, 4), t[0, 0, 0].expand(3),
            t.as_strided((5, 4), (1, 1)), t.as_strided((2, 3), (0, 1))]
def numpy(t, dtype):
    if not is_foreign(dtype): return t.numpy()
    return t.view(getattr(torch, f'uint{8 * dtype.itemsize}')).numpy().view(dtype)
def describe(a):
    return (a.dtype.name, a.dtype.isnative, a.shape, type(a), a.tobytes(),
            a.size and a.strides, a.size and a.ctypes.data)
)";

using conversion = py::array (*)(const at::Tensor&);

class to_array : public testing::TestWithParam<conversion> {};

INSTANTIATE_TEST_SUITE_P(oracle, to_array,
                         (testing::Values<conversion, conversion>(&ndtorch::numpy,
                                                                  &ndtorch::to_numpy)),
                         [](const auto& test) { return test.index == 0 ? "numpy" : "to_numpy"; });

TEST_P(to_array, is_as_pytorch_says_for_every_dtype_and_layout) {
  const py::dict python = test::exec(export_functions);
  for (const py::object& dtype : dtypes()) {
    for (py::handle tensor : python["tensors"](dtype)) {
      SCOPED_TRACE(c10::str(py::cast<std::string>(py::repr(dtype)), " ", facts_of(tensor)));
      const py::array ours = GetParam()(twin_of(tensor, ndtorch::scalar_type(dtype)));
      const py::object theirs = python["numpy"](tensor, dtype);
      EXPECT_EQ(std::string(py::repr(python["describe"](ours))),
                std::string(py::repr(python["describe"](theirs))));
      EXPECT_TRUE(ours.writeable());
      if (ours.size() == 0) continue;
      ours[py::ellipsis()] = eval("d.type(2)", py::arg("d") = dtype);
      EXPECT_EQ(facts_of(tensor).bytes, py::cast<std::string>(ours.attr("tobytes")()));
    }
  }
}

TEST_P(to_array, is_read_only_where_elements_overlap_and_pytorchs_is_not) {
  const py::dict python = test::exec(export_functions);
  for (const py::object& dtype : dtypes()) {
    for (py::handle tensor : python["overlapping"](dtype)) {
      SCOPED_TRACE(c10::str(py::cast<std::string>(py::repr(dtype)), " ", facts_of(tensor)));
      const py::array ours = GetParam()(twin_of(tensor, ndtorch::scalar_type(dtype)));
      const auto theirs = py::reinterpret_borrow<py::array>(python["numpy"](tensor, dtype));
      EXPECT_EQ(std::string(py::repr(python["describe"](ours))),
                std::string(py::repr(python["describe"](theirs))));
      EXPECT_FALSE(ours.writeable());
      EXPECT_TRUE(theirs.writeable());
    }
  }
}

TEST_P(to_array, has_the_dtypes_of_ml_dtypes_that_pytorch_refuses) {
  const py::dict python = test::exec(export_functions);
  for (const py::object& dtype : dtypes()) {
    SCOPED_TRACE(py::cast<std::string>(py::repr(dtype)));
    const py::object tensor = python["tensors"](dtype)[py::int_(0)];
    const outcome theirs = caught([&] {
      tensor.attr("numpy")();
      return outcome{};
    });
    EXPECT_EQ(theirs.answer, python["is_foreign"](dtype).cast<bool>() ? "TypeError" : "");
    EXPECT_TRUE(GetParam()(twin_of(tensor, ndtorch::scalar_type(dtype)))
                    .dtype()
                    .equal(ndtorch::numpy_dtype(ndtorch::scalar_type(dtype))));
  }
}

}  // namespace
