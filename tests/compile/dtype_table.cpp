// The C++ side of the dtype table: compiles only if each type has the right scalar type.
#include <ATen/core/Tensor.h>
#include <c10/util/complex.h>
#include <ndtorch/dtype.h>

#include <complex>
#include <cstddef>
#include <cstdint>

using ndtorch::scalar_type_of_v;

static_assert(scalar_type_of_v<bool> == at::kBool);
static_assert(scalar_type_of_v<std::int8_t> == at::kChar);
static_assert(scalar_type_of_v<std::int16_t> == at::kShort);
static_assert(scalar_type_of_v<std::int32_t> == at::kInt);
static_assert(scalar_type_of_v<std::int64_t> == at::kLong);
static_assert(scalar_type_of_v<std::uint8_t> == at::kByte);
static_assert(scalar_type_of_v<std::uint16_t> == at::kUInt16);
static_assert(scalar_type_of_v<std::uint32_t> == at::kUInt32);
static_assert(scalar_type_of_v<std::uint64_t> == at::kUInt64);

// C++ has more integer types than sizes: each goes by its size.
static_assert(scalar_type_of_v<signed char> == at::kChar);
static_assert(scalar_type_of_v<unsigned char> == at::kByte);
static_assert(scalar_type_of_v<short> == at::kShort);
static_assert(scalar_type_of_v<unsigned short> == at::kUInt16);
static_assert(scalar_type_of_v<int> == at::kInt);
static_assert(scalar_type_of_v<unsigned> == at::kUInt32);
static_assert(scalar_type_of_v<long> == (sizeof(long) == 8 ? at::kLong : at::kInt));
static_assert(scalar_type_of_v<unsigned long> == (sizeof(long) == 8 ? at::kUInt64 : at::kUInt32));
static_assert(scalar_type_of_v<long long> == at::kLong);
static_assert(scalar_type_of_v<unsigned long long> == at::kUInt64);
static_assert(scalar_type_of_v<std::ptrdiff_t> == at::kLong);
static_assert(scalar_type_of_v<std::size_t> == at::kUInt64);

static_assert(scalar_type_of_v<float> == at::kFloat);
static_assert(scalar_type_of_v<double> == at::kDouble);
static_assert(scalar_type_of_v<c10::Half> == at::kHalf);
static_assert(scalar_type_of_v<c10::BFloat16> == at::kBFloat16);
static_assert(scalar_type_of_v<c10::Float8_e4m3fn> == at::kFloat8_e4m3fn);
static_assert(scalar_type_of_v<c10::Float8_e4m3fnuz> == at::kFloat8_e4m3fnuz);
static_assert(scalar_type_of_v<c10::Float8_e5m2> == at::kFloat8_e5m2);
static_assert(scalar_type_of_v<c10::Float8_e5m2fnuz> == at::kFloat8_e5m2fnuz);
#if __has_include(<c10/util/Float8_e8m0fnu.h>)
static_assert(scalar_type_of_v<c10::Float8_e8m0fnu> == at::kFloat8_e8m0fnu);
#endif

static_assert(scalar_type_of_v<std::complex<float>> == at::kComplexFloat);
static_assert(scalar_type_of_v<std::complex<double>> == at::kComplexDouble);
static_assert(scalar_type_of_v<c10::complex<float>> == at::kComplexFloat);
static_assert(scalar_type_of_v<c10::complex<double>> == at::kComplexDouble);
static_assert(scalar_type_of_v<c10::complex<c10::Half>> == at::kComplexHalf);
