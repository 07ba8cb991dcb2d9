#include "fuzz/numpy_oracle.h"

#include <pybind11/eval.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>

namespace fuzz {

namespace {

constexpr const char* list_of_dtypes = R"(
import numpy as np, ml_dtypes
# Each number is one of every dtype that has more than a few values.
values = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96] * 4 + [5, 7, 10, 14, 20, 28, 40, 56]
def entry(name, torch):
  descr = np.dtype(name)
  content = np.array(values).astype(descr).tobytes() if torch else b''
  return descr, descr, torch, False, content
native = [entry(*pair) for pair in (
    ('?', 'Bool'), ('b', 'Char'), ('B', 'Byte'), ('h', 'Short'), ('H', 'UInt16'), ('i', 'Int'),
    ('I', 'UInt32'), ('l', 'Long'), ('L', 'UInt64'), ('e', 'Half'), ('f', 'Float'),
    ('d', 'Double'), ('F', 'ComplexFloat'), ('D', 'ComplexDouble'),
    (ml_dtypes.bfloat16, 'BFloat16'), (ml_dtypes.float8_e4m3fn, 'Float8_e4m3fn'),
    (ml_dtypes.float8_e4m3fnuz, 'Float8_e4m3fnuz'), (ml_dtypes.float8_e5m2, 'Float8_e5m2'),
    (ml_dtypes.float8_e5m2fnuz, 'Float8_e5m2fnuz'), (ml_dtypes.float8_e8m0fnu, 'Float8_e8m0fnu'),
    (ml_dtypes.complex32, 'ComplexHalf'))]
more = [entry('q', 'Long'), entry('Q', 'UInt64')]
swapped = [(d.newbyteorder('S'), d, torch, True,
            np.frombuffer(content, d).astype(d.newbyteorder('S')).tobytes())
           for d, _, torch, _, content in native + more]
others = [entry(name, '') for name in (
    'g', 'G', 'O', 'S3', 'U2', 'V5', 'V8', 'M8[ns]', 'm8[s]', 'M8', 'f4,i4', 'f4,(2,)i4',
    ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.float8_e4m3, ml_dtypes.float8_e3m4)]
others += [entry(np.dtype({'names': ['x'], 'formats': ['f8'], 'offsets': [4], 'itemsize': 16}), ''),
           entry(np.dtype('g').newbyteorder('S'), ''), entry(np.dtype('U2').newbyteorder('S'), ''),
           entry(np.dtype('M8[s]').newbyteorder('S'), '')]
if hasattr(getattr(np, 'dtypes', None), 'StringDType'): others.append(entry(np.dtypes.StringDType(), ''))
found = native + more + swapped + others
)";

at::ScalarType scalar_type_named(const std::string& name) {
  for (int i = 0; i < static_cast<int>(at::ScalarType::NumOptions); ++i) {
    const auto type = static_cast<at::ScalarType>(i);
    if (name == c10::toString(type)) return type;
  }
  return at::ScalarType::Undefined;
}

std::vector<dtype> make_dtypes() {
  py::dict names;
  names["__builtins__"] = py::module_::import("builtins");
  py::exec(list_of_dtypes, names);
  std::vector<dtype> made;
  for (const py::handle item : names["found"]) {
    const auto fields = py::reinterpret_borrow<py::tuple>(item);
    const auto descr = [&](std::size_t i) {
      return reinterpret_cast<PyArray_Descr*>(py::object(fields[i]).release().ptr());
    };
    const auto content = py::cast<std::string>(fields[4]);
    dtype one{descr(0),
              descr(1),
              scalar_type_named(py::cast<std::string>(fields[2])),
              py::cast<bool>(fields[3]),
              py::str(fields[0]),
              {content.begin(), content.end()},
              0};
    one.item_size = py::cast<std::size_t>(fields[0].attr("itemsize"));
    made.push_back(one);
  }
  return made;
}

struct range {
  double least, end;  // [least, end)
};

template <class T>
range range_of() {
  return {static_cast<double>(std::numeric_limits<T>::min()),
          std::ldexp(1, std::numeric_limits<T>::digits)};
}

range range_of_type(at::ScalarType type) {
  switch (type) {
    case at::kChar:
      return range_of<std::int8_t>();
    case at::kByte:
      return range_of<std::uint8_t>();
    case at::kShort:
      return range_of<std::int16_t>();
    case at::kUInt16:
      return range_of<std::uint16_t>();
    case at::kInt:
      return range_of<std::int32_t>();
    case at::kUInt32:
      return range_of<std::uint32_t>();
    case at::kLong:
      return range_of<std::int64_t>();
    default:
      return range_of<std::uint64_t>();
  }
}

bool is_integral(at::ScalarType type) { return c10::isIntegralType(type, /*includeBool=*/false); }

bool is_narrow(at::ScalarType type) {
  return c10::isReducedFloatingType(type) || type == at::kComplexHalf;
}

// float32 and complex64 hold all that the narrow ones do.
at::ScalarType wide_type(at::ScalarType narrow) {
  return narrow == at::kComplexHalf ? at::kComplexFloat : at::kFloat;
}

py::object widened(py::handle native, at::ScalarType narrow) {
  return cast(native, dtype_of(wide_type(narrow)).descr);
}

// As numbers that all others fit.
py::object as_complex(py::handle native, at::ScalarType type) {
  PyArray_Descr* const complex = dtype_of(at::kComplexDouble).descr;
  return is_narrow(type) ? cast(widened(native, type), complex) : cast(native, complex);
}

py::object numpys_cast(py::handle native, const dtype& from, at::ScalarType to) {
  // ml_dtypes has no cast between some of these, and takes complex32's NaN for false.
  if (is_narrow(from.type)) {
    return numpys_cast(widened(native, from.type), dtype_of(wide_type(from.type)), to);
  }
  // LibTorch's narrow types are made of float32, of a double too: rounded twice, where NumPy rounds
  // once.
  if (is_narrow(to)) {
    const bool complex = c10::isComplexType(from.type) && c10::isComplexType(to);
    const py::object wide = cast(native, dtype_of(complex ? at::kComplexFloat : at::kFloat).descr);
    return cast(wide, dtype_of(to).descr);
  }
  return cast(native, dtype_of(to).descr);
}

}  // namespace

const std::vector<dtype>& dtypes() {
  static const auto* const all = new std::vector<dtype>(make_dtypes());
  return *all;
}

const dtype& dtype_of(at::ScalarType type) {
  for (std::size_t i = 0; i < native_dtypes; ++i) {
    if (dtypes()[i].type == type) return dtypes()[i];
  }
  fail("a dtype outside the table");
}

py::object cast(py::handle array, PyArray_Descr* to) {
  Py_INCREF(to);
  auto result =
      py::reinterpret_steal<py::object>(PyArray_CastToType(array_of(array), to, /*fortran=*/0));
  if (!result) throw py::error_already_set();
  return result;
}

py::object elements_of(const at::Tensor& tensor) {
  PyArray_Descr* const descr = dtype_of(tensor.scalar_type()).descr;
  Py_INCREF(descr);
  auto array = py::reinterpret_steal<py::object>(
      PyArray_NewFromDescr(&PyArray_Type, descr, static_cast<int>(tensor.dim()),
                           tensor.sizes().data(), nullptr, nullptr, 0, nullptr));
  if (!array) throw py::error_already_set();
  if (tensor.numel() == 0) return array;
  const auto item = static_cast<std::int64_t>(tensor.element_size());
  const auto* const source = static_cast<const char*>(tensor.const_data_ptr());
  char* target = static_cast<char*>(PyArray_DATA(array_of(array)));
  if (tensor.is_contiguous()) {
    std::memcpy(target, source, tensor.nbytes());
    return array;
  }
  for_each_element(static_cast<std::size_t>(tensor.dim()), tensor.sizes().data(),
                   tensor.strides().data(), [&](std::int64_t place) {
                     std::memcpy(target, source + place * item, static_cast<std::size_t>(item));
                     target += item;
                     return true;
                   });
  return array;
}

bool same_bytes(py::handle a, py::handle b) {
  PyArrayObject* const one = array_of(a);
  PyArrayObject* const other = array_of(b);
  if (PyArray_NDIM(one) != PyArray_NDIM(other) ||
      PyArray_CompareLists(PyArray_DIMS(one), PyArray_DIMS(other), PyArray_NDIM(one)) == 0 ||
      PyArray_EquivTypes(PyArray_DESCR(one), PyArray_DESCR(other)) == 0) {
    return false;
  }
  const auto count = static_cast<std::size_t>(PyArray_NBYTES(one));
  return count == 0 || std::memcmp(PyArray_DATA(one), PyArray_DATA(other), count) == 0;
}

py::object valid_bools(py::handle native) {
  if (PyArray_TYPE(array_of(native)) != NPY_BOOL) return py::reinterpret_borrow<py::object>(native);
  py::object made = cast(native, dtype_of(at::kBool).descr);
  auto* const bytes = static_cast<std::uint8_t*>(PyArray_DATA(array_of(made)));
  for (npy_intp i = 0; i < PyArray_SIZE(array_of(made)); ++i) bytes[i] = bytes[i] != 0 ? 1 : 0;
  return made;
}

bool has_valid_bools(py::handle native) { return same_bytes(native, valid_bools(native)); }

void expect_cast(const at::Tensor& tensor, py::handle native, const dtype& from) {
  if (tensor.scalar_type() == from.type) {
    expect(same_bytes(valid_bools(elements_of(tensor)), valid_bools(native)),
           "the elements are not the array's");
  } else {
    expect_numbers(tensor, native, from);
  }
}

void expect_numbers(const at::Tensor& tensor, py::handle array, const dtype& from) {
  const py::object native = valid_bools(array);
  const py::object got = elements_of(tensor);
  const at::ScalarType to = tensor.scalar_type();
  const py::object expected = numpys_cast(native, from, to);
  if (same_bytes(got, expected)) return;
  expect(PyArray_NDIM(array_of(got)) == PyArray_NDIM(array_of(native)) &&
             PyArray_CompareLists(PyArray_DIMS(array_of(got)), PyArray_DIMS(array_of(native)),
                                  PyArray_NDIM(array_of(got))) != 0,
         "the shape is not the array's");
  // NaN has many bit patterns, and a float beyond an integer type's range no value there.
  const py::object source = as_complex(native, from.type), ours = as_complex(got, to),
                   theirs = as_complex(expected, to);
  const auto* const in = static_cast<const std::complex<double>*>(PyArray_DATA(array_of(source)));
  const auto* const a = static_cast<const std::complex<double>*>(PyArray_DATA(array_of(ours)));
  const auto* const b = static_cast<const std::complex<double>*>(PyArray_DATA(array_of(theirs)));
  const auto same = [](double x, double y) {
    return (x == y && std::signbit(x) == std::signbit(y)) || (std::isnan(x) && std::isnan(y));
  };
  const auto* const bytes = static_cast<const char*>(PyArray_DATA(array_of(got)));
  const auto* const right = static_cast<const char*>(PyArray_DATA(array_of(expected)));
  const auto item = static_cast<std::size_t>(tensor.element_size());
  for (npy_intp i = 0; i < PyArray_SIZE(array_of(native)); ++i) {
    const std::size_t place = static_cast<std::size_t>(i) * item;
    if (std::memcmp(bytes + place, right + place, item) == 0) continue;
    if (!is_integral(to) && same(a[i].real(), b[i].real()) && same(a[i].imag(), b[i].imag())) {
      continue;
    }
    if (is_integral(to) && !is_integral(from.type) && from.type != at::kBool) {
      const range most = range_of_type(to);
      const double whole = std::trunc(in[i].real());
      if (!(whole >= most.least && whole < most.end)) continue;
    }
    // What is too large becomes NaN, infinity, or in LibTorch's vectorised code the largest number.
    if (c10::isFloat8Type(to) && !std::isfinite(b[i].real())) continue;
    // ml_dtypes rounds to the nearest power of two and has NaN for what is none; LibTorch cuts off.
    if (to == at::kFloat8_e8m0fnu) continue;
    fail("element " + std::to_string(i) + " of " + from.name + " cast to " + dtype_of(to).name +
         ": " + std::to_string(in[i].real()) + " became " + std::to_string(a[i].real()) +
         (c10::isComplexType(to) ? " +i" + std::to_string(a[i].imag()) : "") + " and NumPy has " +
         std::to_string(b[i].real()));
  }
}

}  // namespace fuzz
