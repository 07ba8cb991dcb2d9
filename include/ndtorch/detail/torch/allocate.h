// The memory of new tensors.
#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/huge_page.h>
#include <ndtorch/detail/python/errors.h>

#include <cstddef>
#include <cstdlib>
#include <optional>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// CPU memory in huge pages, where the system has them: a copy into fresh memory mostly waits for
// pages, and LibTorch's own allocator gets small ones.
class huge_page_allocator final : public c10::Allocator {
 public:
  // Lives for good, since storages name it to be resized by.
  static huge_page_allocator& instance() {
    static auto* const only = new huge_page_allocator;
    return *only;
  }

  at::DataPtr allocate(std::size_t nbytes) override {
    constexpr std::size_t cache_line = 64;
    void* data = nullptr;
    const std::size_t alignment = nbytes >= large_memory ? huge_page : cache_line;
    if (nbytes > 0 && posix_memalign(&data, alignment, nbytes) != 0) {
      throw out_of_memory(
          c10::str("can't allocate ", nbytes,
                   " bytes for a tensor. Free memory, or convert the data in parts."));
    }
#if defined(MADV_HUGEPAGE)
    if (nbytes >= large_memory) madvise(data, nbytes, MADV_HUGEPAGE);  // a hint: it may be refused
#endif
    return {data, data, &std::free, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* target, const void* source, std::size_t nbytes) const override {
    default_copy_data(target, source, nbytes);
  }
};

// The strides that PyTorch gives a copy of the tensor.
inline axis_list strides_of_copy(const at::Tensor& tensor) {
  const at::IntArrayRef strides = tensor.strides();
  if (tensor.is_non_overlapping_and_dense()) return {strides.data(), strides.size()};
  return dense_strides(tensor.sizes(), axes_by_stride(tensor.sizes(), strides));
}

// A new CPU tensor whose elements are not set. The strides must be dense, in any order of the axes.
inline at::Tensor new_cpu_tensor(at::IntArrayRef sizes, at::IntArrayRef strides,
                                 at::ScalarType dtype, bool pinned) {
  if (!pinned &&
      at::detail::computeStorageNbytes(sizes, strides, c10::elementSize(dtype)) >= large_memory) {
    return at::Tensor(
        at::detail::empty_strided_generic(sizes, strides, &huge_page_allocator::instance(),
                                          c10::DispatchKeySet(c10::DispatchKey::CPU), dtype));
  }
  return at::Tensor(at::detail::empty_strided_cpu(sizes, strides, dtype, pinned));
}

// The same in C order.
inline at::Tensor new_cpu_tensor(at::IntArrayRef sizes, at::ScalarType dtype, bool pinned) {
  if (!pinned &&
      at::detail::computeStorageNbytesContiguous(sizes, c10::elementSize(dtype)) >= large_memory) {
    return at::Tensor(at::detail::empty_generic(sizes, &huge_page_allocator::instance(),
                                                c10::DispatchKeySet(c10::DispatchKey::CPU), dtype,
                                                std::nullopt));
  }
  return at::Tensor(at::detail::empty_cpu(sizes, dtype, pinned));
}

}  // namespace detail
}  // namespace ndtorch
