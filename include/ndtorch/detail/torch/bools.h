// Tensors of bools whose bytes are not 0 or 1, as memory of others may have them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/memory/bools.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/dtype.h>

#include <cstddef>
#include <cstdint>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Of a tensor on the CPU with memory of its own, whether its bools are all 0 or 1; true of any other.
inline bool has_valid_bools(const at::Tensor& tensor) {
  if (tensor.scalar_type() != at::kBool || !tensor.is_cpu() || !is_to_have_memory(tensor) ||
      !has_all_memory(tensor)) {
    return true;
  }
  const std::size_t nbytes =
      bytes_needed(tensor) -
      static_cast<std::size_t>(tensor.numel() > 0 ? tensor.storage_offset() : 0);
  return has_valid_bools(tensor.const_data_ptr(), nbytes, tensor.sizes(), tensor.strides());
}

// Makes the bools of a tensor 0 or 1 in place. It is called for functions that write into this memory
// anyway.
inline void make_bools_valid(const at::Tensor& tensor) {
  if (has_valid_bools(tensor)) return;
  for_each_row_of_bools(static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.sizes(),
                        tensor.strides(),
                        [](std::byte* first, std::int64_t stride, std::int64_t count) {
                          for (std::int64_t i = 0; i < count; ++i) {
                            std::byte& each = first[i * stride];
                            if (each != std::byte(0)) each = std::byte(1);
                          }
                          return true;
                        });
}

// Whether the tensor's own memory holds bools, whose bytes may be any: see copy_bools().
inline bool has_bools(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBool && tensor.layout() == at::kStrided &&
         tensor.has_storage() && !tensor._is_zerotensor() && !is_dispatched_to_python(tensor);
}

// The tensor, or another on its device, from which LibTorch's own copies make right elements of
// `dtype`. LibTorch takes bools to be 0 or 1, and copies and casts other bytes as they are; a cast from
// bytes to bools makes them 0 or 1.
inline at::Tensor readable(const at::Tensor& tensor, at::ScalarType dtype) {
  if (!has_bools(tensor)) return tensor;
  const at::Tensor bytes = tensor.view(at::kByte);
  return dtype == at::kBool ? bytes : bytes.to(at::kBool);
}

// Tensor.clone() with bools of 0 and 1.
inline at::Tensor clone_tensor(const at::Tensor& tensor) {
  return has_bools(tensor) ? readable(tensor, at::kBool).to(at::kBool) : tensor.clone();
}

}  // namespace detail
}  // namespace ndtorch
