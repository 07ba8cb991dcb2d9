// Python numbers, and what can be asked for one, as elements of any dtype.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/Scalar.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What C's number protocol makes a number of, or __complex__: Decimal, Fraction, and whatever has
// __float__ or __index__. Nobody knows of what dtype it is.
inline bool is_number_like(py::handle object) {
  const PyNumberMethods* const methods = Py_TYPE(object.ptr())->tp_as_number;
  if (methods != nullptr && (methods->nb_float != nullptr || methods->nb_index != nullptr)) {
    return true;
  }
  return has_attribute(py::type::handle_of(object), "__complex__");
}

// NumPy's scalars without a dtype here that are numbers all the same: long double, and those of others.
// Not text, dates and records, of which some can be asked for a float.
inline bool is_number(const array_descr* dtype) {
  return dtype->type_num >= type_number::first_of_users ||
         (dtype->kind != 0 && std::strchr("fciu", dtype->kind) != nullptr);
}

inline at::ScalarType default_complex_dtype() {
  switch (c10::get_default_dtype_as_scalartype()) {
    case at::kHalf:
      return at::kComplexHalf;
    case at::kFloat:
      return at::kComplexFloat;
    case at::kDouble:
      return at::kComplexDouble;
    default:
      throw std::runtime_error(
          c10::str("invalid default scalar type for complex: ", c10::get_default_dtype(),
                   ". Say the dtype in the options."));
  }
}

// Makes a Python int, float or complex of an object that is none, by the methods that PyTorch uses for
// this dtype.
inline py::object python_number(PyObject* object, at::ScalarType dtype) {
  PyObject* made = nullptr;
  if (c10::isComplexType(dtype)) {
    const Py_complex value = PyComplex_AsCComplex(object);  // __complex__, __float__ or __index__
    if (value.real != -1.0 || PyErr_Occurred() == nullptr) made = PyComplex_FromCComplex(value);
  } else if (c10::isFloatingType(dtype)) {
    const double value = PyFloat_AsDouble(object);  // __float__ or __index__
    if (value != -1.0 || PyErr_Occurred() == nullptr) made = PyFloat_FromDouble(value);
  } else if (PyIndex_Check(object) != 0) {
    made = PyNumber_Index(object);
  } else {
    throw py::type_error(c10::str(
        "'", type_name(object), "' object cannot be interpreted as an integer: it doesn't fit ",
        dtype, ". Ask for a floating or complex dtype, or take int(float(number))."));
  }
  if (made == nullptr) throw_python_error();
  return py::reinterpret_steal<py::object>(made);
}

// A number as LibTorch's variant type. `dtype` says how large an int may be.
inline c10::Scalar number_of(PyObject* object, at::ScalarType dtype) {
  if (!PyLong_Check(object) && !PyFloat_Check(object) && !PyComplex_Check(object)) {
    return number_of(python_number(object, dtype).ptr(), dtype);
  }
  if (dtype == at::kBool) {
    const int truth = PyObject_IsTrue(object);
    if (truth < 0) throw_python_error();
    return truth != 0;
  }
  const bool real = c10::isFloatingType(dtype);
  if (PyComplex_Check(object)) {
    if (!c10::isComplexType(dtype)) {
      throw py::type_error(
          c10::str("must be real number, not complex: a complex number doesn't fit ", dtype,
                   ". Take its real part, or ask for a complex dtype."));
    }
    const Py_complex value = PyComplex_AsCComplex(object);
    return c10::complex<double>(value.real, value.imag);
  }
  if (PyFloat_Check(object) || real || c10::isComplexType(dtype)) {
    const double value = PyFloat_AsDouble(object);
    if (value == -1.0 && PyErr_Occurred() != nullptr) throw_python_error();
    return value;
  }
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (overflow == 0 && value < 0 && dtype == at::kUInt64) {
    throw py::value_error(
        "can't convert negative int to unsigned: it doesn't fit UInt64. Ask for a signed dtype.");
  }
  if (overflow == 0) return static_cast<std::int64_t>(value);
  if (overflow > 0 && dtype == at::kUInt64) {
    const unsigned long long large = PyLong_AsUnsignedLongLong(object);
    if (PyErr_Occurred() == nullptr) return static_cast<std::uint64_t>(large);
    clear_error();
  }
  throw py::value_error(c10::str("Overflow when unpacking long long: the int doesn't fit ", dtype,
                                 ". Ask for a floating dtype, or for kUInt64 below 2**64."));
}

// As in PyTorch, a floating dtype takes every number (one that is too large becomes what a cast
// makes of it) and an integer dtype throws runtime_error for what it can't hold.
template <class T>
T element_of(PyObject* object, at::ScalarType dtype) {
  const c10::Scalar number = number_of(object, dtype);
  if constexpr (c10::is_complex<T>::value) {
    return c10::convert<T>(number.toComplexDouble());
  } else if constexpr (!std::is_integral_v<T>) {
    return c10::convert<T>(number.toDouble());
  } else {
    // c10 compares with the largest T as a double, to which that of 64 bits is rounded up.
    const bool too_large = number.isFloatingPoint() &&
                           number.toDouble() >= std::ldexp(1.0, std::numeric_limits<T>::digits);
    try {
      if (!too_large) return number.to<T>();
    } catch (const std::runtime_error&) {  // NOLINT(bugprone-empty-catch)
    }
    throw std::runtime_error(c10::str("value cannot be converted to type ", find_dtype(dtype)->name,
                                      " without overflow. Got ", utf8(py::repr(object)),
                                      ". Ask for a dtype that holds it."));
  }
}

inline void store_number(PyObject* object, at::ScalarType dtype, void* element) {
  switch (dtype) {
#define NDTORCH_STORE(type, name)                                   \
  case at::ScalarType::name:                                        \
    *static_cast<type*>(element) = element_of<type>(object, dtype); \
    return;
    AT_FORALL_SCALAR_TYPES_WITH_COMPLEX(NDTORCH_STORE)
    NDTORCH_STORE(std::uint16_t, UInt16)
    NDTORCH_STORE(std::uint32_t, UInt32)
    NDTORCH_STORE(std::uint64_t, UInt64)
#undef NDTORCH_STORE
    default:
      throw py::type_error(c10::str("Got unsupported ScalarType ", dtype, "."));
  }
}

}  // namespace detail
}  // namespace ndtorch
