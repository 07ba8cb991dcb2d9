// ndtorch's own names for DLPack's types are those of DLPack's header.
#include <ATen/dlpack.h>
#include <ndtorch/dtype.h>

namespace ours = ndtorch::detail::dlpack_code;

static_assert(ours::signed_integer == kDLInt);
static_assert(ours::unsigned_integer == kDLUInt);
static_assert(ours::real == kDLFloat);
static_assert(ours::bfloat == kDLBfloat);
static_assert(ours::complex == kDLComplex);
static_assert(ours::boolean == kDLBool);
static_assert(ours::float8_e4m3fn == kDLFloat8_e4m3fn);
static_assert(ours::float8_e4m3fnuz == kDLFloat8_e4m3fnuz);
static_assert(ours::float8_e5m2 == kDLFloat8_e5m2);
static_assert(ours::float8_e5m2fnuz == kDLFloat8_e5m2fnuz);
static_assert(ours::float8_e8m0fnu == kDLFloat8_e8m0fnu);
