// Who writes: a non-const element type asks for the caller's own memory.
#pragma once

#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <cstddef>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

struct access_rule : rule {
  bool writes = false;

  static constexpr bool a_copy_meets = false;  // nobody would see what is written to it

  [[gnu::always_inline]] bool is_met(const facts& came) const { return !writes || came.writable; }

  complaint complain(const facts&, came_as) const {
    return {"expected memory that may be written, as the function writes into it",
            "Pass a copy, array.copy(), and use it afterwards."};
  }

  template <std::size_t Count>
  static constexpr void check_count() {}  // the element type sets it

  template <class Folded>
  static constexpr auto note() {
    return py::detail::const_name<Folded::wants.writes>(", \"flags.writeable\"", "");
  }
};

}  // namespace detail
}  // namespace ndtorch
