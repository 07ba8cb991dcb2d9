// LibTorch -> NumPy, later: for those who have other work to do while a copy crosses the bus.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/expose_tensor.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <memory>
#include <optional>
#include <utility>

namespace ndtorch {

// An array that may be on its way. Moves, and is not copied. Threads may share it as long as each
// has the GIL when it calls. Dropped before the copy is done, it waits for it.
class async_array {
 public:
  // Whether wait() would return at once. Throws runtime_error where the device failed. Needs no
  // GIL where no other thread uses this.
  bool ready() const {
    return detail::with_python_errors([&] { return !done_ || done_->query(); });
  }

  // The array, once all its elements are there; called again, another one on the same memory. Needs
  // the GIL, which is released while it waits. Throws runtime_error where the device failed, and
  // what to_numpy() throws.
  py::array wait() {
    detail::check_gil("async_array::wait");
    if (const std::shared_ptr<c10::Event> done = done_) {  // another thread may be at it too
      detail::with_python_errors([&] {
        const detail::gil_release without_gil;
        done->synchronize();
      });
      done_.reset();
      source_.reset();
    }
    return to_numpy(result_);
  }

  async_array(async_array&&) noexcept = default;
  async_array& operator=(async_array&&) = delete;
  async_array(const async_array&) = delete;
  async_array& operator=(const async_array&) = delete;
  ~async_array() {
    if (!done_) return;
    std::optional<detail::gil_release> without_gil;
    if (Py_IsInitialized() != 0 && detail::has_gil()) without_gil.emplace();
    try {
      done_->synchronize();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
      // A device that failed is at nobody's memory any more.
    }
    source_.reset();  // without the GIL
  }

 private:
  friend async_array to_numpy_async(const at::Tensor& tensor);
  explicit async_array(at::Tensor result) : result_(std::move(result)) {}
  async_array(at::Tensor source, at::Tensor result, std::shared_ptr<c10::Event> done)
      : source_(std::move(source)), result_(std::move(result)), done_(std::move(done)) {}

  at::Tensor source_;  // the device's memory, until it has been read
  at::Tensor result_;
  std::shared_ptr<c10::Event> done_;  // nullptr once it was waited for
};

// to_numpy(), which starts a copy from a device and doesn't wait for it: the copy is made in order
// on the device's current stream, into pinned memory. What is written to the tensor on that stream
// later isn't seen. A CPU tensor is shared as to_numpy() does it, and ready at once; so is a copy
// from a device without pinned memory or events, which is made before this returns. Needs the GIL.
// Throws what to_numpy() throws.
inline async_array to_numpy_async(const at::Tensor& tensor) {
  detail::check_gil("to_numpy_async");
  detail::check_convertible(tensor);
  return detail::with_python_errors([&]() -> async_array {
    const detail::gil_release without_gil;
    const detail::own_work unseen;
    const at::Device device = tensor.device();
    if (detail::has_pinned_transfers(device) && !tensor._is_zerotensor()) {
      try {
        auto done = std::make_shared<c10::Event>(device.type());
        const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
        const detail::axis_list strides = detail::strides_of_copy(tensor);
        at::Tensor result =
            detail::new_cpu_tensor(tensor.sizes(), strides, tensor.scalar_type(), /*pinned=*/true);
        // Not bytes: a cast would be a second copy.
        const at::Tensor bools = detail::readable(tensor.detach(), at::kByte);
        at::Tensor dense = detail::make_dense(bools, strides);
        result.copy_(dense, /*non_blocking=*/true);
        done->record(stream);
        return async_array(std::move(dense), std::move(result), std::move(done));
      } catch (const c10::Error&) {  // NOLINT(bugprone-empty-catch)
        // Not in this way, then.
      }
    }
    at::Tensor plain = detail::to_plain(tensor);
    // Whatever its shape is when it is waited for.
    if (plain.is_same(tensor)) plain = plain.detach();
    return async_array(std::move(plain));
  });
}

}  // namespace ndtorch
