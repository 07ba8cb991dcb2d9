// How many threads ndtorch's own loops may use.
#pragma once

#include <ATen/Parallel.h>

#include <cstdint>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// As many as LibTorch's own loops: one inside of a parallel region, where the others are at work already.
inline std::int64_t threads_for_copies() {
  return at::in_parallel_region() ? 1 : at::get_num_threads();
}

}  // namespace detail
}  // namespace ndtorch
