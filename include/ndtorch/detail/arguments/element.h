// The element type: float, const float, c10::Half, ...
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/arguments/cast.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

template <std::size_t N, std::size_t... Is>
constexpr auto text_of(const char* text, std::index_sequence<Is...>) {
  return py::detail::descr<N>(text[Is]...);
}

constexpr std::size_t length_of(const char* text) {
  std::size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

// By value: with UBSan, g++ takes no comparison of find_dtype()'s pointer for a constant.
constexpr dtype_entry entry_or_nothing(at::ScalarType type) {
  const std::int8_t position = entry_of_scalar_type[static_cast<std::size_t>(type)];
  return position == no_entry ? dtype_entry{type, 0, 0, 0, "", 0} : dtypes[position];
}

constexpr const char* dtype_name(at::ScalarType type) { return entry_or_nothing(type).name; }

constexpr bool is_built_in(at::ScalarType type) { return entry_or_nothing(type).is_built_in(); }

template <at::ScalarType Type>
constexpr auto dtype_text() {
  constexpr std::size_t length = length_of(dtype_name(Type));
  return text_of<length>(dtype_name(Type), std::make_index_sequence<length>());
}

// "numpy.float32"; typing.Any where there is no dtype or NumPy has no type for it.
template <at::ScalarType Type>
constexpr auto scalar_text() {
  if constexpr (is_built_in(Type)) {
    return py::detail::const_name("numpy.") + dtype_text<Type>();
  } else {
    return py::detail::const_name("typing.Any");
  }
}

inline const char* numpy_name(at::ScalarType type) {
  const dtype_entry* entry = find_dtype(type);
  return entry != nullptr ? entry->name : c10::toString(type);
}

struct element_rule : rule {
  at::ScalarType dtype = at::ScalarType::Undefined;  // any

  constexpr bool has_dtype() const { return dtype != at::ScalarType::Undefined; }

  [[gnu::always_inline]] bool is_met(const facts& came) const {
    return !has_dtype() || came.dtype == dtype;
  }

  template <class Requirements>
  bool a_copy_meets(const Requirements& wants, const facts& came) const {
    return !has_dtype() || may_cast(came.dtype, dtype, wants.cast);
  }

  complaint complain(const facts& came, came_as form) const {
    complaint said{
        c10::str("expected dtype ", numpy_name(dtype), " (got ", numpy_name(came.dtype), ")"), "",
        /*by_copy=*/true};
    if (c10::isComplexType(came.dtype) && !c10::isComplexType(dtype)) {
      said.remedy = form == came_as::array ? "Take array.real, array.imag or np.abs(array) first."
                                           : "Take tensor.real, tensor.imag or tensor.abs() first.";
    } else {
      said.remedy =
          form == came_as::array
              ? c10::str("Cast it first, for example with array.astype('", numpy_name(dtype), "').")
              : "Cast it first, with tensor.to(dtype).";
    }
    return said;
  }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(Count <= 1, "ndtorch: contradictory constraints: a tensor has one element type");
  }

  // For a type that isn't NumPy's own: a signature's NDArray[...] can't name it.
  template <class Folded>
  static constexpr auto note() {
    constexpr at::ScalarType type = Folded::wants.dtype;
    if constexpr (!Folded::wants.has_dtype() || is_built_in(type)) {
      return py::detail::const_name("");
    } else {
      return py::detail::const_name(", \"dtype=") + dtype_text<type>() +
             py::detail::const_name("\"");
    }
  }
};

// Anything that is no other constraint.
template <class T>
struct constraint {
  using rule = element_rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    wants.dtype = scalar_type_of_v<std::remove_const_t<T>>;
    wants.writes |= !std::is_const_v<T>;
    wants.reads_only = std::is_const_v<T>;
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
    : std::conditional_t<std::is_same_v<typename constraint<First>::rule, element_rule>,
                         type_is<First>, element_among<Rest...>> {};

}  // namespace detail
}  // namespace ndtorch
