// The size from which memory is allocated in huge pages, and the size of such a page.
#pragma once

#include <cstddef>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// From this size on NumPy asks for huge pages too (numpy/_core/src/multiarray/alloc.c, 2.4).
inline constexpr std::size_t large_memory = std::size_t{1} << 22;

inline constexpr std::size_t huge_page = std::size_t{1} << 21;

}  // namespace detail
}  // namespace ndtorch
