// ndtorch's own description of NumPy's binary interface is that of NumPy's headers.
#include <ndtorch/ndtorch.h>
// After it, as users have it: ndtorch must not have taken NumPy's headers in.
#if defined(NPY_VERSION) || defined(NPY_ABI_VERSION)
#error "ndtorch includes NumPy's headers"
#endif
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/ndarraytypes.h>

#include <cstddef>
#include <utility>

namespace ours = ndtorch::detail;

#define SAME_FIELD(mine, theirs, name)                            \
  static_assert(offsetof(mine, name) == offsetof(theirs, name) && \
                sizeof(std::declval<mine&>().name) == sizeof(std::declval<theirs&>().name))

SAME_FIELD(ours::array_object, PyArrayObject_fields, data);
SAME_FIELD(ours::array_object, PyArrayObject_fields, nd);
SAME_FIELD(ours::array_object, PyArrayObject_fields, dimensions);
SAME_FIELD(ours::array_object, PyArrayObject_fields, strides);
SAME_FIELD(ours::array_object, PyArrayObject_fields, base);
SAME_FIELD(ours::array_object, PyArrayObject_fields, descr);
SAME_FIELD(ours::array_object, PyArrayObject_fields, flags);
static_assert(sizeof(Py_ssize_t) == sizeof(npy_intp));

#if NPY_ABI_VERSION >= 0x02000000
using descr_1 = PyArray_DescrProto;
using descr_2 = _PyArray_LegacyDescr;
static_assert(offsetof(ours::array_descr_2, elsize) == offsetof(descr_2, elsize) &&
              sizeof(ours::array_descr_2::elsize) == sizeof(descr_2::elsize));
SAME_FIELD(ours::array_descr, descr_2, typeobj);
SAME_FIELD(ours::array_descr, descr_2, kind);
SAME_FIELD(ours::array_descr, descr_2, byteorder);
SAME_FIELD(ours::array_descr, descr_2, type_num);
#else
using descr_1 = PyArray_Descr;
#endif
SAME_FIELD(ours::array_descr, descr_1, typeobj);
SAME_FIELD(ours::array_descr, descr_1, kind);
SAME_FIELD(ours::array_descr, descr_1, byteorder);
SAME_FIELD(ours::array_descr, descr_1, type_num);
static_assert(offsetof(ours::array_descr_1, elsize) == offsetof(descr_1, elsize) &&
              sizeof(ours::array_descr_1::elsize) == sizeof(descr_1::elsize));

static_assert(ours::array_flag::c_contiguous == NPY_ARRAY_C_CONTIGUOUS);
static_assert(ours::array_flag::f_contiguous == NPY_ARRAY_F_CONTIGUOUS);
static_assert(ours::array_flag::owndata == NPY_ARRAY_OWNDATA);
static_assert(ours::array_flag::aligned == NPY_ARRAY_ALIGNED);
static_assert(ours::array_flag::writeable == NPY_ARRAY_WRITEABLE);
static_assert(ours::array_flag::writebackifcopy == NPY_ARRAY_WRITEBACKIFCOPY);
static_assert(ours::foreign_byte_order == NPY_OPPBYTE);

static_assert(ours::type_number::boolean == NPY_BOOL);
static_assert(ours::type_number::int8 == NPY_INT8);
static_assert(ours::type_number::uint8 == NPY_UINT8);
static_assert(ours::type_number::int16 == NPY_INT16);
static_assert(ours::type_number::uint16 == NPY_UINT16);
static_assert(ours::type_number::int32 == NPY_INT32);
static_assert(ours::type_number::uint32 == NPY_UINT32);
static_assert(ours::type_number::int64 == NPY_INT64);
static_assert(ours::type_number::uint64 == NPY_UINT64);
static_assert(ours::type_number::float16 == NPY_FLOAT16);
static_assert(ours::type_number::float32 == NPY_FLOAT32);
static_assert(ours::type_number::float64 == NPY_FLOAT64);
static_assert(ours::type_number::complex64 == NPY_COMPLEX64);
static_assert(ours::type_number::complex128 == NPY_COMPLEX128);
static_assert(ours::type_number::none == NPY_NOTYPE);
static_assert(ours::type_number::first_of_users == NPY_USERDEF);
