// writable: the caller's own memory, which the function writes into. A non-const element type says so
// too.
#pragma once

#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>

namespace ndtorch {

struct writable {};

namespace [[gnu::visibility("hidden")]] detail {

struct access_rule : rule {
  bool writes = false;
  bool is_at_tensor = false;  // ndtorch/tensor_caster.h

  // Nobody would see what is written to it.
  template <class Requirements>
  bool a_copy_meets(const Requirements&, const facts&) const {
    return !writes;
  }

  [[gnu::always_inline]] bool is_met(const facts& came) const { return !writes || came.writable; }

  complaint complain(const facts&, came_as) const {
    return {"expected memory that may be written, as the function writes into it",
            std::string("Pass a copy, array.copy(), and use it afterwards.") + at_tensor_note()};
  }

  // For the author of the extension.
  const char* at_tensor_note() const {
    return is_at_tensor ? " (A C++ function that only reads takes ndtorch::tensor_t<>, not "
                          "at::Tensor.)"
                        : "";
  }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(Count <= 1, "ndtorch: give writable once");
  }

  template <class Folded>
  static constexpr auto note() {
    return py::detail::const_name<Folded::wants.writes>(", \"flags.writeable\"", "");
  }
};

template <>
struct constraint<writable> : sets<&access_rule::writes, true> {};

// writable, for ndtorch/tensor_caster.h.
struct at_tensor {};
template <>
struct constraint<at_tensor> {
  using rule = access_rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    wants.writes = wants.is_at_tensor = true;
  }
};

}  // namespace detail
}  // namespace ndtorch
