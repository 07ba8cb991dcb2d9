// as_tensor of objects with __cuda_array_interface__, as far as that goes without a GPU
#include <ATen/core/Tensor.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <ndtorch/from_numpy.h>

#include <cstdint>
#include <string>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;
using test::eval;
using test::message_of;
using test::python_error;
using test::raised_by;
using test::references;

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
