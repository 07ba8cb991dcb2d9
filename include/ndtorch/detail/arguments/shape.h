// shape<...> and ndim<...>: how many dimensions there are, and their sizes.
#pragma once

#include <c10/util/StringUtil.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace ndtorch {

template <std::int64_t... Sizes>  // -1: any size
struct shape {};
template <std::size_t Count>
struct ndim {};

namespace [[gnu::visibility("hidden")]] detail {

inline constexpr std::int64_t any_ndim = -1;

// A size that is said, or a name for one that is not: m, n, p, q, ... as NumPy's documentation has
// them.
template <std::int64_t Size, std::size_t Axis>
constexpr auto size_text() {
  constexpr char letters[] = "mnpqrstuvw";
  if constexpr (Size >= 0) {
    return py::detail::const_name<static_cast<std::size_t>(Size)>();
  } else if constexpr (Axis + 1 < sizeof(letters)) {
    return py::detail::descr<1>(letters[Axis]);
  } else {
    return py::detail::const_name("d") + py::detail::const_name<Axis>();
  }
}

template <class Folded, std::size_t... Axes>
constexpr auto sizes_text(std::index_sequence<Axes...>) {
  return py::detail::concat(
      size_text<Folded::wants.has_sizes ? Folded::wants.sizes[Axes] : -1, Axes>()...);
}

struct shape_rule : rule {
  std::int64_t ndim = any_ndim;
  bool has_sizes = false;
  std::array<std::int64_t, max_ndim> sizes{};  // -1: any

  template <class Requirements>
  bool a_copy_meets(const Requirements&, const facts& came) const {
    return is_met(came);
  }

  [[gnu::always_inline]] bool has_ndim(const facts& came) const {
    return ndim == any_ndim || static_cast<std::int64_t>(came.sizes.size()) == ndim;
  }
  [[gnu::always_inline]] bool is_met(const facts& came) const {
    if (!has_ndim(came)) return false;
    const std::int64_t* const came_sizes = came.sizes.data();
    for (std::size_t i = 0; has_sizes && i < came.sizes.size(); ++i) {
      if (sizes[i] != -1 && sizes[i] != came_sizes[i]) return false;
    }
    return true;
  }

  complaint complain(const facts& came, came_as) const {
    if (!has_ndim(came)) {
      return {c10::str("expected ", ndim, ndim == 1 ? " dimension" : " dimensions", " (got ",
                       came.sizes.size(), ")"),
              "Reshape it first."};
    }
    return {c10::str("expected shape ", wanted_shape(), " (got ",
                     tuple_text(came.sizes.data(), came.sizes.size()), ")"),
            "Reshape or slice it first."};
  }

  // "(*, 3)"
  std::string wanted_shape() const {
    std::string text = "(";
    for (std::int64_t i = 0; i < ndim; ++i) {
      const std::int64_t size = sizes[static_cast<std::size_t>(i)];
      text += (i > 0 ? ", " : "") + (size == -1 ? std::string("*") : std::to_string(size));
    }
    return text + (ndim == 1 ? ",)" : ")");
  }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(Count <= 1,
                  "ndtorch: contradictory constraints: give either shape<...> or ndim<...>, once");
  }

  // ", "[m, 3]""
  template <class Folded>
  static constexpr auto note() {
    if constexpr (Folded::wants.ndim == any_ndim) {
      return py::detail::const_name("");
    } else {
      constexpr auto count = static_cast<std::size_t>(Folded::wants.ndim);
      return py::detail::const_name(", \"[") +
             sizes_text<Folded>(std::make_index_sequence<count>()) + py::detail::const_name("]\"");
    }
  }
};

template <std::int64_t... Sizes>
struct constraint<shape<Sizes...>> {
  using rule = shape_rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    static_assert(((Sizes >= -1) && ...), "ndtorch: a size in shape<...> is -1 (any) or the size");
    static_assert(sizeof...(Sizes) <= max_ndim, "ndtorch: NumPy has at most 64 dimensions");
    wants.ndim = sizeof...(Sizes);
    wants.has_sizes = true;
    [[maybe_unused]] std::size_t axis = 0;
    ((wants.sizes[axis++] = Sizes), ...);
  }
};

template <std::size_t Count>
struct constraint<ndim<Count>> {
  using rule = shape_rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    static_assert(Count <= max_ndim, "ndtorch: NumPy has at most 64 dimensions");
    wants.ndim = Count;
  }
};

}  // namespace detail
}  // namespace ndtorch
