// Arrays that LibTorch's own copy can't read: reversed, misaligned, of a foreign byte order, bools.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/parallel.h>
#include <ndtorch/detail/memory/strided_copy.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/detail/torch/threads.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// A buffer that stays in the cache.
inline constexpr std::int64_t buffer_of_copy = std::int64_t{1} << 17;  // bytes

// Whether LibTorch's own copy can't read the array: it is no tensor's, or holds bools, which LibTorch
// takes to be 0 or 1.
inline bool needs_reader(const array_source& source) {
  return source.why != refusal::none || source.view.dtype == at::kBool;
}

// Reads such arrays, in the order of a dense result's memory.
class refused_reader {
 public:
  refused_reader(const array_source& source, int_list result_strides)
      : dtype_(source.view.dtype), reader_(reader_of(source, result_strides)) {}

  // The elements of these numbers to `target`, which may be of another dtype.
  void read(void* target, at::ScalarType dtype, std::int64_t begin, std::int64_t end) const {
    auto* const bytes = static_cast<std::byte*>(target);
    const auto item = static_cast<std::int64_t>(c10::elementSize(dtype_));
    if (dtype == dtype_) {
      for_pieces(end - begin, piece_of_copy / item, threads_for_copies(),
                 [&](std::int64_t from, std::int64_t to) {
                   reader_.read(bytes + from * item, begin + from, begin + to);
                 });
      return;
    }
    // Cast through a small buffer.
    const std::int64_t size = std::min(end - begin, buffer_of_copy / item);
    const at::Tensor buffer = new_cpu_tensor({size}, dtype_, /*pinned=*/false);
    const auto row_of = [](void* data, at::ScalarType type, std::int64_t count) {
      strided_view row;
      row.ndim = 1;
      row.size_of[0] = count;
      row.dtype = type;
      row.data = data;
      set_dense_strides(row, c10::elementSize(type));
      return borrow_tensor(row);
    };
    void* const native = buffer.mutable_data_ptr();
    const auto target_item = static_cast<std::int64_t>(c10::elementSize(dtype));
    for (std::int64_t from = begin; from < end; from += size) {
      const std::int64_t count = std::min(size, end - from);
      reader_.read(static_cast<std::byte*>(native), from, from + count);
      row_of(bytes + (from - begin) * target_item, dtype, count)
          .copy_(row_of(native, dtype_, count));
    }
  }

 private:
  static strided_reader reader_of(const array_source& source, int_list result_strides) {
    const strided_view& view = source.view;
    const auto item = static_cast<std::int64_t>(c10::elementSize(view.dtype));
    // A complex number is two words, each in its own byte order; but ml_dtypes reverses its
    // complex32 as a whole.
    const bool halves = c10::isComplexType(view.dtype) && source.dtype->is_built_in();
    const std::int64_t words = halves ? 2 : 1;
    return {view.dtype,
            static_cast<const std::byte*>(view.data),
            view.sizes(),
            int_list(source.array->strides, view.ndim),
            axes_of_dense(result_strides),
            static_cast<std::size_t>(item / words),
            words,
            is_foreign_byte_order(source)};
  }

  at::ScalarType dtype_;
  strided_reader reader_;
};

}  // namespace detail
}  // namespace ndtorch
