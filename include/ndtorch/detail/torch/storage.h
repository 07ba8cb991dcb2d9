// The memory of a tensor's storage: whether all of it is there, and how others get at it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/tensor.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Whether the tensor is to have a storage of its own, with all its elements.
inline bool is_to_have_memory(const at::Tensor& tensor) {
  return is_plain_cpu_tensor(tensor) ||
         (tensor.has_storage() && tensor.layout() == at::kStrided && !tensor.is_nested() &&
          !tensor.is_meta() && !tensor._is_zerotensor() && !is_dispatched_to_python(tensor) &&
          !stands_for_others(tensor));
}

// Bytes from the begin of the storage to the end of the last element; the greatest number where there
// can't be as many.
inline std::uint64_t bytes_needed(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return 0;
  const auto item = static_cast<std::uint64_t>(tensor.itemsize());
  const bool dense = tensor.is_non_overlapping_and_dense();
  const std::int64_t first = dense ? tensor.numel() : 1;
  auto extent = static_cast<std::uint64_t>(tensor.storage_offset() + first);
  bool overflow = false;
  for (std::int64_t i = 0; !dense && i < tensor.dim(); ++i) {
    std::uint64_t steps = 0;
    overflow |= c10::mul_overflows(static_cast<std::uint64_t>(tensor.size(i) - 1),
                                   static_cast<std::uint64_t>(tensor.stride(i)), &steps);
    overflow |= c10::add_overflows(extent, steps, &extent);
  }
  overflow |= c10::mul_overflows(extent, item, &extent);
  return overflow ? std::numeric_limits<std::uint64_t>::max() : extent;
}

// Whether the storage holds all the elements. It doesn't where it was freed or made smaller since, as
// untyped_storage().resize_(0) does, or where a resize_() of the tensor failed half way.
inline bool has_all_memory(const at::Tensor& tensor) {
  const c10::StorageImpl& storage = *tensor.storage().unsafeGetStorageImpl();
  const std::uint64_t needed = bytes_needed(tensor);
  if (needed > storage.nbytes()) return false;
  // A storage that is being moved has its memory, although its pointer may look null meanwhile.
  return needed == 0 || may_move(storage) ||
         const_cast<c10::StorageImpl&>(storage)._mutable_data_ptr_no_checks().get() != nullptr;
}

// `what` describes the tensor. A storage that an array shares isn't resizable, since resizing would
// move its memory, so it can't be given the memory back.
inline std::string lost_memory_text(const std::string& what, std::uint64_t needed,
                                    std::uint64_t nbytes, bool resizable) {
  return c10::str(
      "can't export a tensor without memory. Got ", what, ", which needs ", needed,
      " bytes, and its storage has ", nbytes, ". ",
      resizable
          ? c10::str("Give it the memory back first, with tensor.untyped_storage().resize_(",
                     needed, "), or make a new tensor, with at::zeros_like(tensor).")
          : std::string("Make the tensor as small as its memory again, with tensor.resize_(), or "
                        "make a new one, with at::zeros_like(tensor)."));
}

inline std::string lost_memory_text(const at::Tensor& tensor) {
  return lost_memory_text(describe(tensor), bytes_needed(tensor), tensor.storage().nbytes(),
                          tensor.storage().resizable());
}

// Before LibTorch touches the memory, which it does without looking. Throws runtime_error.
[[gnu::noinline]] inline void check_storage(const at::Tensor& tensor) {
  if (is_to_have_memory(tensor) && !has_all_memory(tensor)) {
    throw std::runtime_error(lost_memory_text(tensor));
  }
}

// A tensor's memory for others.
struct exported_memory {
  void* data;
  PyObject* holder;  // as above
  bool writable;
  bool dense;  // no element is reached twice, and none is left out
};

// The memory of a tensor that means what its memory says. Where it is read-only and `others_may_write`,
// the tensor gets memory of its own first. const_data_ptr() is the only access that leaves it shared.
inline exported_memory export_memory(const at::Tensor& tensor, bool others_may_write = false) {
  return with_python_errors([&]() -> exported_memory {
    const at::Storage& storage = tensor.storage();
    storage_memory memory = memory_of(storage);
    const bool writable =
        memory.holder == nullptr || others_may_write || may_be_written(memory.holder);
    if (writable) {
      memory.data = storage.mutable_data();
      // The memory of an array that became writable since it came has been left just now.
      if (memory.holder != nullptr) memory.holder = holder_of(storage);
    }
    const std::size_t item = tensor.itemsize();  // a power of two
    const auto offset = static_cast<std::size_t>(tensor.storage_offset());
    const auto count = static_cast<std::size_t>(tensor.numel());
    // Most tensors are dense, and have all their memory.
    const std::size_t room = storage.nbytes() >> __builtin_ctzll(item);
    const bool dense = tensor.is_non_overlapping_and_dense();
    if (!dense || memory.data == nullptr || offset + count > room) check_storage(tensor);
    if (count == 0) return {nullptr, memory.holder, writable, dense};  // as LibTorch's data_ptr()
    return {static_cast<char*>(const_cast<void*>(memory.data)) + offset * item, memory.holder,
            writable, dense};
  });
}

}  // namespace detail
}  // namespace ndtorch
