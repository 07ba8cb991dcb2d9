// c_contig and f_contig: dense memory, with its axes in that order.
#pragma once

#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/request.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

namespace ndtorch {

struct c_contig {};
struct f_contig {};

namespace [[gnu::visibility("hidden")]] detail {

// Whether memory is dense, with its axes in this order. Axes of length 1 play no part, and neither do
// any in an empty tensor.
inline bool has_order(int_list sizes, int_list strides, axis_order order) {
  if (order == axis_order::kept) return true;
  std::uint64_t expected = 1;  // may wrap round for a broadcast array, whose strides are 0
  bool dense = true;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t axis = order == axis_order::f ? i : sizes.size() - 1 - i;
    const std::int64_t size = sizes.data()[axis];
    if (size == 0) return true;
    if (size != 1 && static_cast<std::uint64_t>(strides.data()[axis]) != expected) dense = false;
    expected *= static_cast<std::uint64_t>(size);
  }
  return dense;
}

struct order_rule : rule {
  axis_order order = axis_order::kept;  // any

  [[gnu::always_inline]] bool is_met(const facts& came) const {
    return has_order(came.sizes, came.strides, order);
  }

  complaint complain(const facts&, came_as form) const {
    const bool is_array = form == came_as::array;
    if (order == axis_order::c) {
      return {"expected memory in C order", is_array
                                                ? "Copy it first, with np.ascontiguousarray(array)."
                                                : "Copy it first, with tensor.contiguous()."};
    }
    return {"expected memory in Fortran order",
            is_array ? "Copy it first, with np.asfortranarray(array)."
                     : "Copy it first: reverse its axes with tensor.permute(), call contiguous(), "
                       "and reverse them back."};
  }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(Count <= 1,
                  "ndtorch: contradictory constraints: give either c_contig or f_contig, once");
  }

  template <class Folded>
  static constexpr auto note() {
    constexpr axis_order order = Folded::wants.order;
    return py::detail::const_name<order == axis_order::c>(", \"flags.c_contiguous\"", "") +
           py::detail::const_name<order == axis_order::f>(", \"flags.f_contiguous\"", "");
  }
};

template <>
struct constraint<c_contig> {
  using rule = order_rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    wants.order = axis_order::c;
  }
};

template <>
struct constraint<f_contig> {
  using rule = order_rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    wants.order = axis_order::f;
  }
};

}  // namespace detail
}  // namespace ndtorch
