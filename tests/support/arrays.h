// Arrays of every kind, as expressions, and what a tensor that is made from data must be.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DefaultDtype.h>
#include <gtest/gtest.h>
#include <ndtorch/from_numpy.h>
#include <pybind11/numpy.h>

#include <string>
#include <vector>

#include "support/support.h"

namespace test {

// A tensor can be a view of each of these.
inline const char* const layouts[] = {
    "np.array(3.5)",
    "np.arange(24.).reshape(2, 3, 4)",
    "np.asfortranarray(np.arange(24.).reshape(2, 3, 4))",
    "np.arange(24.).reshape(2, 3, 4).T",
    "np.arange(24.).reshape(2, 3, 4).transpose(1, 0, 2)",
    "np.arange(24.)[5:]",
    "np.arange(24.)[2::3]",
    "np.arange(24.).reshape(4, 6)[1:3, ::2]",
    "np.arange(24.).reshape(4, 6)[:, 3]",
    "np.arange(24.).reshape(4, 6)[2, 3, ...]",
    "np.arange(24.).reshape(2, 3, 4)[:, np.newaxis]",
    "np.arange(2**10).reshape((2,) * 10).T",
    "np.broadcast_to(np.arange(3.), (2, 3))",
    "np.broadcast_to(np.float32(7), (2, 3))",
    "np.lib.stride_tricks.as_strided(np.arange(6.), (3, 3), (8, 8))",
    "np.diag(np.arange(4.)).diagonal()",
    "np.zeros((4, 2), 'c16').real",
    "np.zeros(0)",
    "np.zeros((2, 0, 3))",
    "np.zeros((3, 2, 0))[::2]",
    "np.zeros((0, 0))",
};

// PyTorch refuses these: it looks at strides that no index ever multiplies.
inline const char* const unused_strides[] = {
    "np.arange(12.).reshape(4, 3)[::-1][:1]",
    "np.lib.stride_tricks.as_strided(np.zeros(3), (0, 3), (-24, 8))",
    "np.lib.stride_tricks.as_strided(np.arange(6.), (1, 6), (-3, 8))",
    "np.lib.stride_tricks.as_strided(np.arange(6.), (6, 1), (8, 3))",
    "np.lib.stride_tricks.as_strided(np.zeros(1), (0, 5), (8, -3))",
};

// No tensor can be a view of these, but all can be copied.
inline const char* const copied_only[] = {
    "np.arange(6.)[::-1]",
    "np.arange(6.).reshape(2, 3)[:, ::-1]",
    "np.rec.fromarrays([[1, 2], [3., 4.]], dtype='i1,f4')['f1']",
    "np.array([[(1, 2.), (3, 4.)]], 'i2,f4')['f1'].T",
    "np.arange(6.).astype('>f8')",
    "np.arange(6).astype('>i2')[::-2]",
    "np.arange(6.).reshape(2, 3).astype('>c8').T",
    "np.arange(17, dtype='u1')[1:].view('f8')",
    "np.arange(2049.)[1:].view('c16').reshape(16, 64)",  // at its parts' alignment
};

inline const char* const unsupported_arrays[] = {
    "np.array([None, 1])",
    "np.array(['a', 'b'])",
    "np.array(['ab', 'cd'])",
    "np.array([b'a', b'b'])",
    "np.array(['a'], dtype=np.dtypes.StringDType())",
    "np.array(['2020-01-01'], 'M8[D]')",
    "np.array([1], 'm8[s]')",
    "np.zeros(2, 'f4,i4')",
    "np.zeros(2, 'V4')",
    "np.zeros(2, np.longdouble)",
    "np.zeros(2, np.clongdouble)",
    "np.zeros(2, ml_dtypes.int4)",
    "np.zeros((2, 0), 'O')",
};

inline const char* const masked_arrays[] = {
    "np.ma.masked_array([1., 2.], mask=[False, True])",
    "np.ma.masked_array(np.zeros((2, 2)), mask=True)",
    "np.ma.masked_equal([1, 2], 2)",
    "np.ma.masked",
};

// An array of the dtype with the elements 0 to 5, as far as it has these.
inline py::array six_of(at::ScalarType type) {
  return array("np.arange(6).reshape(2, 3).astype(d)", py::arg("d") = ndtorch::numpy_dtype(type));
}

inline bool at_the_same_address(const at::Tensor& tensor, const py::array& array) {
  // Not tensor.const_data_ptr(), which is null where there are no elements.
  return tensor.storage_offset() == 0 && tensor.storage().data() == array.data();
}

// Shape, dtype and elements are the array's, but for its byte order.
inline void expect_elements(const at::Tensor& tensor, const py::array& array) {
  const py::object native =
      eval("np.asarray(a).astype(a.dtype.newbyteorder('='))", py::arg("a") = array);
  EXPECT_TRUE(same_elements(elements(tensor), native))
      << text_of(elements(tensor)) << "\nexpected: " << text_of(native);
}

// And so are the strides and the memory.
inline void expect_view(const at::Tensor& tensor, const py::array& array) {
  expect_elements(tensor, array);
  EXPECT_TRUE(at_the_same_address(tensor, array));
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    if (array.size() == 0 || array.shape(i) == 1) continue;
    EXPECT_EQ(tensor.stride(i) * array.itemsize(), array.strides(i)) << "axis " << i;
  }
}

// Zeroes what NumPy sees, then fills what LibTorch sees with ones.
inline void expect_writes_go_both_ways(at::Tensor tensor, const py::array& array) {
  array[py::ellipsis()] = py::int_(0);
  expect_elements(tensor, array);
  tensor.fill_(1);
  EXPECT_TRUE(is_true("(x == 1).all()", array));
}

// The same, the other way round: what is written on one side stays there.
inline void expect_writes_stay(at::Tensor tensor, const py::array& array) {
  const py::object before = eval("a.copy()", py::arg("a") = array);
  tensor.fill_(1);
  EXPECT_TRUE(same_elements(array, before));
  array[py::ellipsis()] = py::int_(0);
  EXPECT_TRUE(is_true("(x == 1).all()", elements(tensor)));
}

inline void expect_starts_with(const std::string& text, const std::string& start) {
  EXPECT_EQ(text.substr(0, start.size()), start);
}

// The text of the Error that `function` must throw at the object, which may leave no reference.
template <class Error, class Function>
std::string refusal_of(const py::object& object, Function&& function) {
  const Py_ssize_t before = references(object);
  const std::string message = message_of<Error>([&] { function(object); });
  // Python's cache of attributes refers to None from its empty entries, so that look-ups change the count.
  if (!object.is_none()) {
    EXPECT_EQ(references(object), before);
  }
  return message;
}

// Dtype, shape and bytes of a tensor.
inline py::tuple description(const at::Tensor& tensor) {
  const py::array copy = elements(tensor);
  return py::make_tuple(ndtorch::detail::find_dtype(tensor.scalar_type())->name, copy.attr("shape"),
                        copy.attr("tobytes")());
}

// The same of what a call of PyTorch returns.
inline py::object description_by_torch(const std::string& call) {
  return exec("tensor = " + call + R"(
shape = tuple(tensor.shape)
elements = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
description = (str(tensor.dtype).removeprefix('torch.'), shape, elements)
)")["description"];
}

// tensor and as_tensor make of the expression what torch.tensor makes of it.
inline void expect_as_torch(const std::string& expression) {
  SCOPED_TRACE(expression);
  const py::object expected = description_by_torch("torch.tensor(" + expression + ")");
  const py::tuple of_tensor = description(ndtorch::tensor(eval(expression)));
  EXPECT_TRUE(of_tensor.equal(expected))
      << text_of(of_tensor) << "\nexpected: " << text_of(expected);
  EXPECT_TRUE(description(ndtorch::as_tensor(eval(expression))).equal(expected));
}

// LibTorch's default dtype, for as long as this lives.
class default_dtype {
 public:
  explicit default_dtype(at::ScalarType type) : before_(c10::get_default_dtype()) {
    c10::set_default_dtype(c10::scalarTypeToTypeMeta(type));
  }
  ~default_dtype() { c10::set_default_dtype(before_); }
  default_dtype(const default_dtype&) = delete;
  default_dtype& operator=(const default_dtype&) = delete;

 private:
  caffe2::TypeMeta before_;
};

}  // namespace test
