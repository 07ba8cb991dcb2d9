// device::cpu, device::cuda, device::of<...>: where the memory is.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/arguments/rule.h>

#include <cstddef>

namespace ndtorch {

namespace device {
template <at::DeviceType Type>
struct of {};
using cpu = of<at::kCPU>;
using cuda = of<at::kCUDA>;
}  // namespace device

namespace [[gnu::visibility("hidden")]] detail {

struct device_rule : rule {
  bool has_device = false;
  at::DeviceType device = at::kCPU;

  [[gnu::always_inline]] bool is_met(const facts& came) const {
    return !has_device || came.device.type() == device;
  }

  complaint complain(const facts& came, came_as) const {
    return {c10::str("expected a tensor on ", at::DeviceTypeName(device, true), " (got ",
                     came.device, ")"),
            "Move it there first, with tensor.to(device)."};
  }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(Count <= 1, "ndtorch: contradictory constraints: a tensor is on one device");
  }
};

template <at::DeviceType Type>
struct constraint<device::of<Type>> {
  using rule = device_rule;
  template <class Requirements>
  static constexpr void add_to(Requirements& wants) {
    wants.has_device = true;
    wants.device = Type;
  }
};

}  // namespace detail
}  // namespace ndtorch
