// c_contig, f_contig and any_contig: dense memory, with its axes in C's order, Fortran's, or either.
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
struct any_contig {};  // in either order

namespace [[gnu::visibility("hidden")]] detail {

struct order_rule : rule {
  axis_order order = axis_order::kept;  // any

  [[gnu::always_inline]] bool is_met(const facts& came) const {
    return has_order(came.sizes, came.strides, order);
  }

  complaint complain(const facts&, came_as form) const {
    const bool is_array = form == came_as::array;
    if (order == axis_order::c) {
      return {"expected memory in C order",
              is_array ? "Copy it first, with np.ascontiguousarray(array)."
                       : "Copy it first, with tensor.contiguous().",
              /*by_copy=*/true};
    }
    if (order == axis_order::c_or_f) {
      return {"expected memory in C or Fortran order",
              is_array ? "Copy it first, with np.ascontiguousarray(array)."
                       : "Copy it first, with tensor.contiguous().",
              /*by_copy=*/true};
    }
    return {"expected memory in Fortran order",
            is_array ? "Copy it first, with np.asfortranarray(array)."
                     : "Copy it first: reverse its axes with tensor.permute(), call contiguous(), "
                       "and reverse them back.",
            /*by_copy=*/true};
  }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(
        Count <= 1,
        "ndtorch: contradictory constraints: give one of c_contig, f_contig and any_contig");
  }

  template <class Folded>
  static constexpr auto note() {
    constexpr axis_order order = Folded::wants.order;
    return py::detail::const_name<order == axis_order::c>(", \"flags.c_contiguous\"", "") +
           py::detail::const_name<order == axis_order::f>(", \"flags.f_contiguous\"", "") +
           py::detail::const_name<order == axis_order::c_or_f>(", \"flags.forc\"", "");
  }
};

template <>
struct constraint<c_contig> : sets<&order_rule::order, axis_order::c> {};

template <>
struct constraint<any_contig> : sets<&order_rule::order, axis_order::c_or_f> {};

template <>
struct constraint<f_contig> : sets<&order_rule::order, axis_order::f> {};

}  // namespace detail
}  // namespace ndtorch
