// The dtypes that LibTorch has: by name, and by the C++ types of their elements. Written out once more, so
// that a slip in the library's own table shows.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/complex.h>

#include <complex>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace test {

struct named_dtype {
  std::string name;  // as NumPy, or ml_dtypes, and PyTorch both spell it
  at::ScalarType type;
};

inline const std::vector<named_dtype> built_in_dtypes = {
    {"bool", at::kBool},
    {"int8", at::kChar},
    {"int16", at::kShort},
    {"int32", at::kInt},
    {"int64", at::kLong},
    {"uint8", at::kByte},
    {"uint16", at::kUInt16},
    {"uint32", at::kUInt32},
    {"uint64", at::kUInt64},
    {"float16", at::kHalf},
    {"float32", at::kFloat},
    {"float64", at::kDouble},
    {"complex64", at::kComplexFloat},
    {"complex128", at::kComplexDouble},
};

inline const std::vector<named_dtype> ml_dtypes = {
    {"bfloat16", at::kBFloat16},
    {"float8_e4m3fn", at::kFloat8_e4m3fn},
    {"float8_e4m3fnuz", at::kFloat8_e4m3fnuz},
    {"float8_e5m2", at::kFloat8_e5m2},
    {"float8_e5m2fnuz", at::kFloat8_e5m2fnuz},
    {"float8_e8m0fnu", at::kFloat8_e8m0fnu},
    {"complex32", at::kComplexHalf},
};

inline std::vector<named_dtype> all_dtypes() {
  std::vector<named_dtype> all = built_in_dtypes;
  all.insert(all.end(), ml_dtypes.begin(), ml_dtypes.end());
  return all;
}

// Calls `function` with a zero of each type of elements.
template <class Function>
void for_each_element_type(const Function& function) {
  using types =
      std::tuple<bool, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                 std::uint16_t, std::uint32_t, std::uint64_t, c10::Half, float, double,
                 std::complex<float>, c10::complex<float>, std::complex<double>,
                 c10::complex<double>, c10::BFloat16, c10::Float8_e4m3fn, c10::Float8_e4m3fnuz,
                 c10::Float8_e5m2, c10::Float8_e5m2fnuz, c10::Float8_e8m0fnu,
                 c10::complex<c10::Half>, long, long long, unsigned long long>;
  std::apply([&](auto... zero) { (function(zero), ...); }, types());
}

}  // namespace test
