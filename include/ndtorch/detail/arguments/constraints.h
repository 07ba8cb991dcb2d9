// What tensor_t's template arguments ask for, folded into one constant.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/torch/copy.h>
#include <ndtorch/dtype.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ndtorch {

// The constraints beside the element type, spelled as in nanobind.
template <std::int64_t... Sizes>  // -1: any size
struct shape {};
template <std::size_t Count>
struct ndim {};
struct c_contig {};
struct f_contig {};
namespace device {
template <at::DeviceType Type>
struct of {};
using cpu = of<at::kCPU>;
using cuda = of<at::kCUDA>;
}  // namespace device

namespace [[gnu::visibility("hidden")]] detail {

inline constexpr std::int64_t any_ndim = -1;

// The constraints as values. A tensor_t's type says them all, so these are constants of the program.
struct requirements {
  at::ScalarType dtype = at::ScalarType::Undefined;  // any
  bool writes = false;                               // a non-const element type
  std::int64_t ndim = any_ndim;
  bool has_sizes = false;
  std::array<std::int64_t, max_ndim> sizes{};  // -1: any
  axis_order order = axis_order::kept;         // any
  bool has_device = false;
  at::DeviceType device = at::kCPU;

  constexpr bool has_dtype() const { return dtype != at::ScalarType::Undefined; }
};

// One constraint: what kind it is, and how it changes the requirements. An element type is anything
// that is not listed below.
template <class T>
struct constraint {
  static constexpr bool is_element = true;
  static constexpr bool is_ndim = false, is_order = false, is_device = false;
  static constexpr void add_to(requirements& wants) {
    wants.dtype = scalar_type_of_v<std::remove_const_t<T>>;
    wants.writes = !std::is_const_v<T>;
  }
};

struct other_constraint {
  static constexpr bool is_element = false, is_ndim = false, is_order = false, is_device = false;
};

template <std::int64_t... Sizes>
struct constraint<shape<Sizes...>> : other_constraint {
  static_assert(((Sizes >= -1) && ...), "ndtorch: a size in shape<...> is -1 (any) or the size");
  static_assert(sizeof...(Sizes) <= max_ndim, "ndtorch: NumPy has at most 64 dimensions");
  static constexpr bool is_ndim = true;
  static constexpr void add_to(requirements& wants) {
    wants.ndim = sizeof...(Sizes);
    wants.has_sizes = true;
    [[maybe_unused]] std::size_t axis = 0;
    ((wants.sizes[axis++] = Sizes), ...);
  }
};

template <std::size_t Count>
struct constraint<ndim<Count>> : other_constraint {
  static_assert(Count <= max_ndim, "ndtorch: NumPy has at most 64 dimensions");
  static constexpr bool is_ndim = true;
  static constexpr void add_to(requirements& wants) { wants.ndim = Count; }
};

template <>
struct constraint<c_contig> : other_constraint {
  static constexpr bool is_order = true;
  static constexpr void add_to(requirements& wants) { wants.order = axis_order::c; }
};

template <>
struct constraint<f_contig> : other_constraint {
  static constexpr bool is_order = true;
  static constexpr void add_to(requirements& wants) { wants.order = axis_order::f; }
};

template <at::DeviceType Type>
struct constraint<device::of<Type>> : other_constraint {
  static constexpr bool is_device = true;
  static constexpr void add_to(requirements& wants) {
    wants.has_device = true;
    wants.device = Type;
  }
};

template <class T>
struct type_is {
  using type = T;
};

// The element type among the constraints; void where there is none.
template <class...>
struct element_among : type_is<void> {};
template <class First, class... Rest>
struct element_among<First, Rest...>
    : std::conditional_t<constraint<First>::is_element, type_is<First>, element_among<Rest...>> {};

template <class... Constraints>
constexpr requirements fold_constraints() {
  static_assert((0 + ... + int{constraint<Constraints>::is_element}) <= 1,
                "ndtorch: contradictory constraints: a tensor has one element type");
  static_assert((0 + ... + int{constraint<Constraints>::is_ndim}) <= 1,
                "ndtorch: contradictory constraints: give either shape<...> or ndim<...>, once");
  static_assert((0 + ... + int{constraint<Constraints>::is_order}) <= 1,
                "ndtorch: contradictory constraints: give either c_contig or f_contig, once");
  static_assert((0 + ... + int{constraint<Constraints>::is_device}) <= 1,
                "ndtorch: contradictory constraints: a tensor is on one device");
  requirements wants;
  (constraint<Constraints>::add_to(wants), ...);
  return wants;
}

}  // namespace detail
}  // namespace ndtorch
