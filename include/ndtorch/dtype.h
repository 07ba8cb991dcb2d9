// The one table of dtypes: NumPy's on one side, LibTorch's and C++'s on the other.
#pragma once

#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <torch/headeronly/core/ScalarType.h>

#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <type_traits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// DLPack's DLDataTypeCode, whose header is not among LibTorch's header-only ones. tests/compile compares
// them.
namespace dlpack_code {
inline constexpr std::uint8_t signed_integer = 0;
inline constexpr std::uint8_t unsigned_integer = 1;
inline constexpr std::uint8_t real = 2;
inline constexpr std::uint8_t bfloat = 4;
inline constexpr std::uint8_t complex = 5;
inline constexpr std::uint8_t boolean = 6;
inline constexpr std::uint8_t float8_e4m3fn = 10;
inline constexpr std::uint8_t float8_e4m3fnuz = 11;
inline constexpr std::uint8_t float8_e5m2 = 12;
inline constexpr std::uint8_t float8_e5m2fnuz = 13;
inline constexpr std::uint8_t float8_e8m0fnu = 14;
}  // namespace dlpack_code

struct dtype_entry {
  c10::ScalarType scalar_type;
  char kind;      // NumPy's dtype.kind; 0 for a type that the package ml_dtypes adds to NumPy
  int item_size;  // bytes
  int type_num;   // the built-in type that an export makes; none for ml_dtypes, which are made by
                  // name
  const char* name;
  std::uint8_t dlpack_code;  // with the size, DLPack's name of the type

  constexpr bool is_built_in() const { return kind != 0; }
};

// To support one more dtype, add its line. Types are told apart by kind and item size, never by
// number: `long` and `long long` are two numbers in NumPy and one type here.
inline constexpr dtype_entry dtypes[] = {
    {c10::ScalarType::Double, 'f', 8, type_number::float64, "float64", dlpack_code::real},
    {c10::ScalarType::Float, 'f', 4, type_number::float32, "float32", dlpack_code::real},
    {c10::ScalarType::Half, 'f', 2, type_number::float16, "float16", dlpack_code::real},
    {c10::ScalarType::ComplexFloat, 'c', 8, type_number::complex64, "complex64",
     dlpack_code::complex},
    {c10::ScalarType::ComplexDouble, 'c', 16, type_number::complex128, "complex128",
     dlpack_code::complex},
    {c10::ScalarType::Long, 'i', 8, type_number::int64, "int64", dlpack_code::signed_integer},
    {c10::ScalarType::Int, 'i', 4, type_number::int32, "int32", dlpack_code::signed_integer},
    {c10::ScalarType::Short, 'i', 2, type_number::int16, "int16", dlpack_code::signed_integer},
    {c10::ScalarType::Char, 'i', 1, type_number::int8, "int8", dlpack_code::signed_integer},
    {c10::ScalarType::UInt64, 'u', 8, type_number::uint64, "uint64", dlpack_code::unsigned_integer},
    {c10::ScalarType::UInt32, 'u', 4, type_number::uint32, "uint32", dlpack_code::unsigned_integer},
    {c10::ScalarType::UInt16, 'u', 2, type_number::uint16, "uint16", dlpack_code::unsigned_integer},
    {c10::ScalarType::Byte, 'u', 1, type_number::uint8, "uint8", dlpack_code::unsigned_integer},
    {c10::ScalarType::Bool, 'b', 1, type_number::boolean, "bool", dlpack_code::boolean},
    {c10::ScalarType::BFloat16, 0, 2, type_number::none, "bfloat16", dlpack_code::bfloat},
    {c10::ScalarType::Float8_e4m3fn, 0, 1, type_number::none, "float8_e4m3fn",
     dlpack_code::float8_e4m3fn},
    {c10::ScalarType::Float8_e4m3fnuz, 0, 1, type_number::none, "float8_e4m3fnuz",
     dlpack_code::float8_e4m3fnuz},
    {c10::ScalarType::Float8_e5m2, 0, 1, type_number::none, "float8_e5m2",
     dlpack_code::float8_e5m2},
    {c10::ScalarType::Float8_e5m2fnuz, 0, 1, type_number::none, "float8_e5m2fnuz",
     dlpack_code::float8_e5m2fnuz},
    {c10::ScalarType::Float8_e8m0fnu, 0, 1, type_number::none, "float8_e8m0fnu",
     dlpack_code::float8_e8m0fnu},
    {c10::ScalarType::ComplexHalf, 0, 4, type_number::none, "complex32", dlpack_code::complex},
};

// The two look-ups by value are arrays of positions in the table, made by the compiler.
inline constexpr std::int8_t no_entry = -1;

inline constexpr auto entry_of_scalar_type = [] {
  std::array<std::int8_t, static_cast<std::size_t>(c10::ScalarType::NumOptions)> positions{};
  for (auto& position : positions) position = no_entry;
  for (std::size_t i = 0; i < std::size(dtypes); ++i) {
    positions[static_cast<std::size_t>(dtypes[i].scalar_type)] = static_cast<std::int8_t>(i);
  }
  return positions;
}();

inline constexpr std::size_t max_item_size = 16;

// Kinds are ASCII letters, told apart by their low six bits: five would take 'U' (text) for 'u'.
inline constexpr std::size_t kinds = 64;

constexpr std::size_t kind_and_size(char kind, std::size_t item_size) {
  return (static_cast<std::size_t>(kind) & (kinds - 1)) * (max_item_size + 1) + item_size;
}

inline constexpr auto entry_of_kind_and_size = [] {
  std::array<std::int8_t, kinds*(max_item_size + 1)> positions{};
  for (auto& position : positions) position = no_entry;
  for (std::size_t i = 0; i < std::size(dtypes); ++i) {
    if (!dtypes[i].is_built_in()) continue;
    const auto size = static_cast<std::size_t>(dtypes[i].item_size);
    positions[kind_and_size(dtypes[i].kind, size)] = static_cast<std::int8_t>(i);
  }
  return positions;
}();

constexpr const dtype_entry* entry_at(std::int8_t position) {
  return position == no_entry ? nullptr : &dtypes[position];
}

constexpr const dtype_entry* find_dtype(c10::ScalarType type) {
  const auto number = static_cast<std::size_t>(type);
  return number < entry_of_scalar_type.size() ? entry_at(entry_of_scalar_type[number]) : nullptr;
}

// nullptr where the dtype is not in the table. Its byte order plays no part.
inline const dtype_entry* find_dtype(const array_descr* dtype) {
  if (dtype->type_num < 0) return nullptr;  // not one of NumPy's, whatever its kind and size
  const auto size = static_cast<std::size_t>(item_size(dtype));
  if (dtype->type_num < type_number::first_of_users) {
    return size <= max_item_size
               ? entry_at(entry_of_kind_and_size[kind_and_size(dtype->kind, size)])
               : nullptr;
  }
  // A type that ml_dtypes registered. The scalar type's name says so without importing the
  // package.
  static constexpr char package[] = "ml_dtypes.";
  const char* name = dtype->typeobj->tp_name;
  if (std::strncmp(name, package, sizeof(package) - 1) != 0) return nullptr;
  name += sizeof(package) - 1;
  for (const dtype_entry& entry : dtypes) {
    if (!entry.is_built_in() && std::strcmp(entry.name, name) == 0 &&
        static_cast<std::size_t>(entry.item_size) == size) {
      return &entry;
    }
  }
  return nullptr;
}

// NumPy's order of kinds: bool, unsigned, signed, floating, complex.
constexpr int kind_rank(std::uint8_t code) {
  switch (code) {
    case dlpack_code::boolean:
      return 0;
    case dlpack_code::unsigned_integer:
      return 1;
    case dlpack_code::signed_integer:
      return 2;
    case dlpack_code::complex:
      return 4;
    default:
      return 3;
  }
}

// np.can_cast(from, to, "same_kind"): whether a cast keeps what a value is, if not all of its digits. False
// for a type outside the table.
constexpr bool is_same_kind_cast(c10::ScalarType from, c10::ScalarType to) {
  const dtype_entry* const a = find_dtype(from);
  const dtype_entry* const b = find_dtype(to);
  return a != nullptr && b != nullptr && kind_rank(a->dlpack_code) <= kind_rank(b->dlpack_code);
}

// By PyTorch's name, "torch.float32": the table's names are PyTorch's, too.
inline const dtype_entry* find_torch_dtype(const std::string& name) {
  for (const dtype_entry& entry : dtypes) {
    if (name == std::string("torch.") + entry.name) return &entry;
  }
  return nullptr;
}

// A torch.dtype is known by its type's name: this part of ndtorch knows no torch.
inline bool is_torch_dtype(py::handle object) {
  return std::strcmp(Py_TYPE(object.ptr())->tp_name, "torch.dtype") == 0;
}

inline std::string supported_dtypes() {
  std::string text;
  for (const dtype_entry& entry : dtypes) {
    if (!entry.is_built_in()) continue;
    text += (text.empty() ? "" : entry.scalar_type == c10::ScalarType::Bool ? ", and " : ", ");
    text += entry.name;
  }
  text += "; with the package ml_dtypes also";
  const char* separator = " ";
  for (const dtype_entry& entry : dtypes) {
    if (entry.is_built_in()) continue;
    text += separator;
    text += entry.name;
    separator = ", ";
  }
  return text;
}

[[noreturn]] inline void throw_unsupported_dtype(const array_descr* dtype,
                                                 const std::string& what_came) {
  // A dtype that another package defines need not have a type for its scalars.
  const PyTypeObject* const type = dtype->typeobj != nullptr ? dtype->typeobj : Py_TYPE(dtype);
  throw py::type_error(
      std::string("can't convert np.ndarray of type ") + type->tp_name +
      ". The only supported types are: " + supported_dtypes() + ". Got " + what_came +
      ". Convert the data to one of these first, for example with array.astype(np.float32).");
}

// LibTorch itself casts none of the types of bits and of less than a byte.
inline const char* remedy_for_unsupported(c10::ScalarType type) {
  return c10::isQIntType(type) ? "call tensor.dequantize() or tensor.int_repr() first."
                               : "read its bytes, with tensor.view(at::kByte).";
}

// new_descr() for a type that is not NumPy's own; apart from it, since few exports come here.
[[gnu::noinline]] inline array_descr* new_foreign_descr(c10::ScalarType type) {
  const dtype_entry* entry = find_dtype(type);
  if (entry == nullptr) {
    throw py::type_error(std::string("Got unsupported ScalarType ") + c10::toString(type) +
                         ". NumPy has no such dtype: " + remedy_for_unsupported(type));
  }
  py::object scalar;
  try {
    scalar = py::module_::import("ml_dtypes").attr(entry->name);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ImportError) && !error.matches(PyExc_AttributeError)) throw;
    throw py::type_error(std::string("Got unsupported ScalarType ") + c10::toString(type) +
                         ". NumPy has no " + entry->name +
                         " of its own: install a current ml_dtypes (pip install --upgrade "
                         "ml_dtypes), or cast, for example with ndtorch::to_numpy<float>(tensor).");
  }
  array_descr* dtype = nullptr;
  if (api().descr_converter(scalar.ptr(), &dtype) == 0) throw_python_error();
  return dtype;
}

// A new reference to NumPy's dtype for a scalar type. Throws type_error where there is none.
inline array_descr* new_descr(c10::ScalarType type) {
  const dtype_entry* entry = find_dtype(type);
  if (entry == nullptr || !entry->is_built_in()) return new_foreign_descr(type);
  return api().descr_from_type(entry->type_num);
}

template <class T>
struct is_std_complex : std::false_type {};
template <class T>
struct is_std_complex<std::complex<T>> : std::true_type {};

template <class T, class = void>
struct has_c10_scalar_type : std::false_type {};
template <class T>
struct has_c10_scalar_type<T, std::void_t<decltype(c10::CppTypeToScalarType<T>::value)>>
    : std::true_type {};

// Undefined where T is the element type of no array.
template <class T>
constexpr c10::ScalarType scalar_type_or_undefined() {
  if constexpr (std::is_same_v<T, char> || std::is_same_v<T, wchar_t> ||
                std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>) {
    return c10::ScalarType::Undefined;  // text, and of a sign that differs between platforms
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    // C++ has more integer types than sizes; c10 knows one of each size.
    constexpr char kind = std::is_signed_v<T> ? 'i' : 'u';
    return dtypes[entry_of_kind_and_size[kind_and_size(kind, sizeof(T))]].scalar_type;
  } else if constexpr (is_std_complex<T>::value) {
    return scalar_type_or_undefined<c10::complex<typename T::value_type>>();
  } else if constexpr (has_c10_scalar_type<T>::value) {
    constexpr c10::ScalarType type = c10::CppTypeToScalarType<T>::value;
    // Not find_dtype(): with UBSan, g++ takes no comparison of its pointer for a constant.
    constexpr bool known = entry_of_scalar_type[static_cast<std::size_t>(type)] != no_entry;
    return known ? type : c10::ScalarType::Undefined;
  } else {
    return c10::ScalarType::Undefined;
  }
}

template <class T>
constexpr c10::ScalarType checked_scalar_type() {
  constexpr c10::ScalarType type = scalar_type_or_undefined<T>();
  static_assert(type != c10::ScalarType::Undefined, "ndtorch: no torch dtype for this C++ type");
  return type;
}

}  // namespace detail

// The scalar type of a C++ element type: float, std::int64_t, bool, c10::Half, c10::BFloat16,
// c10::complex<float>, std::complex<float>, ... Doesn't compile for a type that no array holds.
template <class T>
inline constexpr c10::ScalarType scalar_type_of_v = detail::checked_scalar_type<T>();

// The scalar type of a NumPy dtype, of a torch.dtype, or of anything that numpy.dtype() takes ("float32",
// np.int64, float). Byte order is not part of a scalar type and is ignored. Needs the GIL.
// Throws type_error for a dtype that the table lacks (object, string, datetime, structured, long
// double) and for what is no dtype, None included (numpy.dtype(None) is float64: too easy a slip).
inline c10::ScalarType scalar_type(py::handle dtype) {
  detail::check_gil("scalar_type");
  if (dtype && detail::is_torch_dtype(dtype)) {
    const std::string name = detail::utf8(py::str(dtype));
    if (const detail::dtype_entry* const entry = detail::find_torch_dtype(name)) {
      return entry->scalar_type;
    }
    throw py::type_error("can't convert " + name +
                         ". The only supported types are: " + detail::supported_dtypes() + ".");
  }
  detail::array_descr* found = nullptr;
  if (!dtype || dtype.is_none() || detail::api().descr_converter(dtype.ptr(), &found) == 0) {
    detail::clear_error();
    throw py::type_error("expected a NumPy dtype (got " +
                         (dtype ? detail::type_name(dtype) : "a null handle") +
                         "). Pass numpy.dtype(...) or what it accepts, such as \"float32\".");
  }
  const auto owner = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(found));
  const detail::dtype_entry* entry = detail::find_dtype(found);
  if (entry == nullptr) {
    detail::throw_unsupported_dtype(found, "dtype " + detail::dtype_text(found));
  }
  return entry->scalar_type;
}

// The NumPy dtype of a scalar type. Needs the GIL. bfloat16, float8 and complex32 are those of the
// package ml_dtypes, which is imported when one is asked for.
// Throws type_error where NumPy has none (quantized, bits) or ml_dtypes is not installed.
inline py::dtype numpy_dtype(c10::ScalarType type) {
  detail::check_gil("numpy_dtype");
  return py::reinterpret_steal<py::dtype>(reinterpret_cast<PyObject*>(detail::new_descr(type)));
}

}  // namespace ndtorch
