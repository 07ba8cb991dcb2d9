// exact_dtype and any_cast: which dtypes are cast to the element type in the converting pass.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/dtype.h>

#include <cstddef>

namespace ndtorch {

struct exact_dtype {};
struct any_cast {};

namespace [[gnu::visibility("hidden")]] detail {

enum class casting {
  same_kind,  // as np.can_cast(..., "same_kind") says: not floats to integers, nor complex to real
  none,
  any  // as Tensor.to(dtype) does it
};

constexpr bool may_cast(at::ScalarType from, at::ScalarType to, casting rule) {
  switch (rule) {
    case casting::none:
      return from == to;
    case casting::any:
      return true;
    default:
      return is_same_kind_cast(from, to);
  }
}

// Says how the element type's rule is to be read.
struct cast_rule : rule {
  casting cast = casting::same_kind;

  [[gnu::always_inline]] bool is_met(const facts&) const { return true; }
  complaint complain(const facts&, came_as) const { return {}; }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(Count <= 1,
                  "ndtorch: contradictory constraints: give either exact_dtype or any_cast, once");
  }
};

template <>
struct constraint<exact_dtype> : sets<&cast_rule::cast, casting::none> {};

template <>
struct constraint<any_cast> : sets<&cast_rule::cast, casting::any> {};

}  // namespace detail
}  // namespace ndtorch
