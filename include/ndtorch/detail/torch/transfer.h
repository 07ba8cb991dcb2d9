// Large copies between the CPU and a device: in pieces, through two pinned buffers that take turns,
// so that the bus and the CPU's own part of the copy run at the same time.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/ScalarType.h>
#include <c10/core/TensorOptions.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/strided_copy.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/detail/torch/threads.h>
#include <ndtorch/dtype.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// The sizes, in bytes on the bus, from which a copy goes through the buffers. LibTorch makes smaller
// copies itself. To the CPU that is faster as long as malloc() may give memory that was in use before
// (up to glibc's largest threshold), since new pages cost more. The limits were measured on an H200
// with 16 cores (docs/gpu.md).
inline constexpr std::int64_t large_export = std::int64_t{1} << 25;
inline constexpr std::int64_t large_import = std::int64_t{1} << 23;

// How many bytes each buffer has. The CPU's threads fill a new huge page of the result each, so that
// a piece should have as many of these as there are threads; but the first piece and the last have
// the bus to themselves, so that a copy should have some pieces, too.
constexpr std::int64_t piece_of_transfer(std::int64_t nbytes) {
  constexpr std::int64_t many_pieces = std::int64_t{1} << 28;
  return std::int64_t{1} << (nbytes < many_pieces ? 24 : 25);
}

// The kinds of devices whose pinned memory and events LibTorch offers without their vendors'
// headers.
inline bool has_pinned_transfers(at::Device device) {
  return device.is_cuda() || device.is_privateuseone();
}

// Pinned memory is LibTorch's, which keeps it for the next that asks. The device's part is done in
// order on the stream that is current when the buffers are made; the CPU waits for it where it
// must.
class pinned_buffers {
 public:
  pinned_buffers(at::Device device, std::int64_t nbytes)
      : stream_(c10::impl::VirtualGuardImpl(device.type()).getStream(device)),
        slots_{slot(device, nbytes), slot(device, nbytes)} {
    for (slot& each : slots_) each.done.record(stream_);  // throws where the device has no events
  }
  pinned_buffers(const pinned_buffers&) = delete;
  pinned_buffers& operator=(const pinned_buffers&) = delete;
  // The device may be at the buffers yet, after an error; a second one would change nothing.
  ~pinned_buffers() {
    for (std::size_t turn = 0; turn < slots_.size(); ++turn) {
      try {
        wait(turn);
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
      }
    }
  }

  // nullptr where there is no pinned memory to be had.
  static std::unique_ptr<pinned_buffers> make(at::Device device, std::int64_t nbytes) {
    try {
      return std::make_unique<pinned_buffers>(device, nbytes);
    } catch (const c10::Error&) {
      return nullptr;
    }
  }

  // How many elements a buffer holds.
  std::int64_t most_elements(at::ScalarType dtype) const {
    return slots_.front().bytes.numel() / static_cast<std::int64_t>(c10::elementSize(dtype));
  }
  // The first elements of a buffer.
  at::Tensor elements(std::size_t turn, at::ScalarType dtype, std::int64_t count) const {
    const auto item = static_cast<std::int64_t>(c10::elementSize(dtype));
    return slots_[turn].bytes.narrow(0, 0, count * item).view(dtype);
  }
  // After the device was told what to do with a buffer, and before it is used again.
  void mark(std::size_t turn) {
    slots_[turn].done.record(stream_);
    slots_[turn].in_use = true;
  }
  void wait(std::size_t turn) {
    if (std::exchange(slots_[turn].in_use, false)) slots_[turn].done.synchronize();
  }

 private:
  struct slot {
    slot(at::Device device, std::int64_t nbytes)
        : bytes(new_cpu_tensor({nbytes}, at::kByte, /*pinned=*/true)), done(device.type()) {}
    at::Tensor bytes;
    c10::Event done;
    bool in_use = false;
  };

  c10::Stream stream_;
  std::array<slot, 2> slots_;
};

// Calls function(part, first) for parts of at most `most` elements that together are the tensor, in
// C order; `first` is the number of the part's first element in that order.
template <class Function>
void for_each_part(const at::Tensor& tensor, std::int64_t most, const Function& function,
                   std::int64_t first = 0) {
  if (tensor.numel() <= most) {
    function(tensor, first);
    return;
  }
  if (tensor.dim() > 1 && tensor.is_contiguous()) {
    for_each_part(tensor.view({-1}), most, function, first);
    return;
  }
  const std::int64_t row = tensor.numel() / tensor.size(0);
  if (row > most) {
    for (std::int64_t i = 0; i < tensor.size(0); ++i) {
      for_each_part(tensor.select(0, i), most, function, first + i * row);
    }
    return;
  }
  const std::int64_t rows = most / row;
  for (std::int64_t i = 0; i < tensor.size(0); i += rows) {
    const std::int64_t count = std::min(rows, tensor.size(0) - i);
    function(tensor.narrow(0, i, count), first + i * row);
  }
}

// The tensor with its axes permuted into the order in which they lie in the memory of `dense`, a tensor
// of the same shape. The n-th element of one in C order is then the n-th of the other.
inline at::Tensor in_order_of(const at::Tensor& dense, const at::Tensor& tensor) {
  axis_list axes = axes_of_dense(dense.strides());
  std::reverse(axes.begin(), axes.end());
  return tensor.permute(axes);
}

inline at::Tensor flat(const at::Tensor& dense) {
  return dense.as_strided({dense.numel()}, {1}, dense.storage_offset());
}

// Whether the elements stand in memory as they are, one after the other.
inline bool is_plain_row(const at::Tensor& tensor, at::ScalarType dtype) {
  return tensor.is_contiguous() && tensor.scalar_type() == dtype && !tensor.is_conj() &&
         !tensor.is_neg();
}

// The tensor, or a copy on its device, as memory with these strides that says what it means.
inline at::Tensor make_dense(const at::Tensor& tensor, at::IntArrayRef strides) {
  if (tensor.strides() == strides && !tensor.is_conj() && !tensor.is_neg()) return tensor;
  at::Tensor dense = tensor.new_empty_strided(tensor.sizes(), strides);
  dense.copy_(tensor);
  return dense;
}

// The elements of `source`, on a device, into `result`, dense memory of the CPU's. They cross the
// bus as `wire`. Returns when they are there.
inline void receive(const at::Tensor& source, const at::Tensor& result, at::ScalarType wire,
                    pinned_buffers& buffers, std::int64_t most) {
  const at::Tensor target = flat(result);
  struct arrival {
    std::int64_t first = 0, count = 0;
  };
  std::array<arrival, 2> due;
  const auto unload = [&](std::size_t turn) {
    const auto [first, count] = std::exchange(due[turn], {});
    if (count == 0) return;
    buffers.wait(turn);
    const at::Tensor from = buffers.elements(turn, wire, count);
    const at::Tensor to = target.narrow(0, first, count);
    if (wire == result.scalar_type()) {
      copy_bytes(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes(), threads_for_copies());
    } else {
      to.copy_(from);
    }
  };
  std::size_t turn = 0;
  for_each_part(in_order_of(result, source), most, [&](const at::Tensor& part, std::int64_t first) {
    unload(turn);  // while the device is at the other buffer
    at::Tensor row = part;
    if (!is_plain_row(part, wire)) {
      row = part.new_empty(part.sizes(), at::TensorOptions().dtype(wire));
      row.copy_(part);
    }
    buffers.elements(turn, wire, part.numel()).copy_(row.view({-1}), /*non_blocking=*/true);
    buffers.mark(turn);
    due[turn] = {first, part.numel()};
    turn ^= 1U;
  });
  unload(turn);
  unload(turn ^ 1U);
}

// The way there, to dense memory of a device's: next() gives a buffer, which the caller fills with
// elements of dtype `wire`, and send() lets them go.
class sender {
 public:
  sender(const at::Tensor& result, at::ScalarType wire, pinned_buffers& buffers)
      : target_(flat(result)), wire_(wire), buffers_(buffers) {}

  at::Tensor next(std::int64_t count) {
    turn_ ^= 1U;
    buffers_.wait(turn_);
    return buffers_.elements(turn_, wire_, count);
  }
  void send(const at::Tensor& elements, std::int64_t first) {
    const at::Tensor to = target_.narrow(0, first, elements.numel());
    if (wire_ == to.scalar_type()) {
      to.copy_(elements, /*non_blocking=*/true);
    } else {
      const at::Tensor there = to.new_empty(to.sizes(), at::TensorOptions().dtype(wire_));
      there.copy_(elements, /*non_blocking=*/true);
      to.copy_(there);
    }
    buffers_.mark(turn_);
  }
  // Until the device has all of it.
  void finish() {
    buffers_.wait(turn_);
    buffers_.wait(turn_ ^ 1U);
  }

 private:
  const at::Tensor target_;
  const at::ScalarType wire_;
  pinned_buffers& buffers_;
  std::size_t turn_ = 0;
};

// The elements of `source`, on the CPU, into `result`, dense memory of a device's. They cross the
// bus as `wire`. Returns when they are there.
inline void transmit(const at::Tensor& source, const at::Tensor& result, at::ScalarType wire,
                     pinned_buffers& buffers, std::int64_t most) {
  sender out(result, wire, buffers);
  for_each_part(in_order_of(result, source), most, [&](const at::Tensor& part, std::int64_t first) {
    const at::Tensor row = out.next(part.numel());
    row.view(part.sizes()).copy_(part);
    out.send(row, first);
  });
  out.finish();
}

// The dtype in which elements cross the bus: of the two, the one with fewer bytes.
inline at::ScalarType dtype_on_bus(at::ScalarType from, at::ScalarType to) {
  return c10::elementSize(to) <= c10::elementSize(from) ? to : from;
}

// The buffers for a copy of so many elements; nullptr for one that LibTorch makes well itself.
inline std::unique_ptr<pinned_buffers> buffers_for(std::int64_t count, at::ScalarType wire,
                                                   at::Device device, std::int64_t large) {
  const auto item = static_cast<std::int64_t>(c10::elementSize(wire));
  if (count < large / item || !has_pinned_transfers(device)) return nullptr;
  return pinned_buffers::make(device, piece_of_transfer(count * item));
}

// A copy of a device's tensor in the CPU's memory, cast to `dtype`, with the strides that PyTorch
// gives it. Waits for the device's current stream. Call it without the GIL. Conj and neg bits may
// be left. The copy may be unpinned all the same where it is small and is cast on the CPU.
inline at::Tensor to_cpu(const at::Tensor& source, at::ScalarType dtype, bool pinned = false) {
  const at::ScalarType wire = dtype_on_bus(source.scalar_type(), dtype);
  if (pinned && wire == dtype) {  // the device reaches it without buffers
    const axis_list strides = strides_of_copy(source);
    at::Tensor result = new_cpu_tensor(source.sizes(), strides, dtype, pinned);
    result.copy_(make_dense(source.to(dtype), strides));
    return result;
  }
  const auto buffers = source._is_zerotensor()
                           ? nullptr
                           : buffers_for(source.numel(), wire, source.device(), large_export);
  if (buffers == nullptr) return source.to(wire).cpu().to(dtype);
  at::Tensor result = new_cpu_tensor(source.sizes(), strides_of_copy(source), dtype, pinned);
  receive(source, result, wire, *buffers, buffers->most_elements(wire));
  return result;
}

// The elements of `source`, on the CPU, into `result`, dense memory of a device's. Waits for the
// device where the copy is large. Call it without the GIL.
inline void to_device(const at::Tensor& source, const at::Tensor& result) {
  const at::ScalarType wire = dtype_on_bus(source.scalar_type(), result.scalar_type());
  const auto buffers = buffers_for(source.numel(), wire, result.device(), large_import);
  if (buffers == nullptr || source.is_pinned()) {
    const at::Tensor from = source.to(wire);
    result.copy_(wire == result.scalar_type() ? from : from.to(result.device()));
    return;
  }
  transmit(source, result, wire, *buffers, buffers->most_elements(wire));
}

}  // namespace detail
}  // namespace ndtorch
