// Devices without their vendors' headers: whether one is there, and the order of work on it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/StringUtil.h>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Throws runtime_error for a device that this build or this machine lacks.
inline void check_device(at::Device device) {
  if (device.is_cpu() || device.is_meta()) return;
  const auto& guards = c10::impl::device_guard_impl_registry;
  const auto* guard = guards[static_cast<std::size_t>(device.type())].load();
  const int count = guard == nullptr ? 0 : guard->deviceCount();
  const int index = device.has_index() ? device.index() : 0;
  if (index < count) return;
  const std::string name = c10::DeviceTypeName(device.type());
  if (guard == nullptr) {
    throw std::runtime_error(c10::str("Torch not compiled with ", name,
                                      " enabled: this LibTorch has no device ", device,
                                      ". Use at::kCPU, or a LibTorch built for ", name, "."));
  }
  throw std::runtime_error(c10::str("invalid device ", device, ": this machine has ", count, " ",
                                    name, " devices. Use one of these, or at::kCPU."));
}

// Makes LibTorch's current stream wait for what the device's default stream has been given so
// far.
inline void wait_for_default_stream(at::Device device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  const c10::Stream current = guard.getStream(device);
  const c10::Stream others = guard.getDefaultStream(device);
  if (current == others) return;
  c10::Event done(device.type());
  done.record(others);
  done.block(current);
}

}  // namespace detail
}  // namespace ndtorch
