// returns::numpy, returns::torch, returns::dlpack: what a tensor becomes in Python as a result.
#pragma once

#include <ndtorch/detail/arguments/rule.h>

#include <cstddef>

namespace ndtorch {

namespace returns {
struct numpy {};   // an array, as numpy() makes it; where nothing is said
struct torch {};   // a torch.Tensor, as to_torch() makes it
struct dlpack {};  // an object with __dlpack__, as to_dlpack() makes it
}  // namespace returns

namespace [[gnu::visibility("hidden")]] detail {

enum class result_form { numpy, torch, dlpack };

// As an argument it asks for nothing.
struct result_rule : rule {
  result_form result = result_form::numpy;
  bool reads_only = false;  // a const element type, of which a result is a read-only array

  [[gnu::always_inline]] bool is_met(const facts&) const { return true; }
  complaint complain(const facts&, came_as) const { return {}; }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(
        Count <= 1,
        "ndtorch: contradictory constraints: give one of returns::numpy, torch and dlpack");
  }
};

template <>
struct constraint<returns::numpy> : sets<&result_rule::result, result_form::numpy> {};
template <>
struct constraint<returns::torch> : sets<&result_rule::result, result_form::torch> {};
template <>
struct constraint<returns::dlpack> : sets<&result_rule::result, result_form::dlpack> {};

}  // namespace detail
}  // namespace ndtorch
