// What ndtorch knows of NumPy's binary interface: the fields it reads and a few numbers. They are part
// of NumPy's stable ABI, and the same in 1.x and 2.x where nothing else is said.
//
// Not from NumPy's headers: since 2.5 ndarraytypes.h declares the table of functions too, and a user's
// own PY_ARRAY_UNIQUE_SYMBOL would come too late after ndtorch's headers. So a module that was built
// with any NumPy runs with every NumPy. tests/compile/numpy_abi.cpp compares with the headers.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// A dtype, as far as NumPy 1.x and 2.x agree.
struct array_descr {
  PyObject ob_base;
  PyTypeObject* typeobj;
  char kind;
  char type;
  char byteorder;
  char former_flags;
  int type_num;
};

struct array_descr_1 {
  array_descr common;
  int elsize;
};

struct array_descr_2 {
  array_descr common;
  std::uint64_t flags;
  Py_ssize_t elsize;
};

// An ndarray. NumPy's own has more at its end, which nothing here reads or makes.
struct array_object {
  PyObject ob_base;
  char* data;
  int nd;
  Py_ssize_t* dimensions;
  Py_ssize_t* strides;
  PyObject* base;
  array_descr* descr;
  int flags;
};

namespace array_flag {
inline constexpr int c_contiguous = 0x0001;
inline constexpr int f_contiguous = 0x0002;
inline constexpr int owndata = 0x0004;
inline constexpr int aligned = 0x0100;
inline constexpr int writeable = 0x0400;
inline constexpr int writebackifcopy = 0x2000;
}  // namespace array_flag

// The type numbers. NumPy counts C's types, so that the number of a size is the platform's.
namespace type_number {
inline constexpr int boolean = 0;
inline constexpr int int8 = 1;
inline constexpr int uint8 = 2;
inline constexpr int int16 = 3;
inline constexpr int uint16 = 4;
inline constexpr int int32 = sizeof(long) == 4 ? 7 : 5;
inline constexpr int uint32 = int32 + 1;
inline constexpr int int64 = sizeof(long) == 8 ? 7 : 9;
inline constexpr int uint64 = int64 + 1;
inline constexpr int float16 = 23;
inline constexpr int float32 = 11;
inline constexpr int float64 = 12;
inline constexpr int complex64 = 14;
inline constexpr int complex128 = 15;
inline constexpr int none = 25;
inline constexpr int first_of_users = 256;
}  // namespace type_number

#if PY_BIG_ENDIAN
inline constexpr char foreign_byte_order = '<';
#else
inline constexpr char foreign_byte_order = '>';
#endif

}  // namespace detail
}  // namespace ndtorch
