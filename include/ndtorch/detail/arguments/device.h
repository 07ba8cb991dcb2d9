// device::cpu, device::cuda, device::of<...>: where the memory is.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <cstddef>

namespace ndtorch {

namespace device {
template <at::DeviceType Type>
struct of {};
using cpu = of<at::kCPU>;
using cuda = of<at::kCUDA>;
}  // namespace device

namespace [[gnu::visibility("hidden")]] detail {

// PyTorch's names of the devices that extensions are written for; others go by "device".
template <at::DeviceType Type>
constexpr auto device_text() {
  using py::detail::const_name;
  if constexpr (Type == at::kCPU) {
    return const_name("cpu");
  } else if constexpr (Type == at::kCUDA) {
    return const_name("cuda");
  } else if constexpr (Type == at::kXPU) {
    return const_name("xpu");
  } else if constexpr (Type == at::kMPS) {
    return const_name("mps");
  } else if constexpr (Type == at::kMeta) {
    return const_name("meta");
  } else {
    return const_name("device") + const_name<static_cast<std::size_t>(Type)>();
  }
}

struct device_rule : rule {
  bool has_device = false;
  at::DeviceType device = at::kCPU;

  [[gnu::always_inline]] bool is_met(const facts& came) const {
    return !has_device || came.device.type() == device;
  }

  complaint complain(const facts& came, came_as) const {
    return {c10::str("expected a tensor on ", at::DeviceTypeName(device, true), " (got ",
                     came.device, ")"),
            "Move it there first, with tensor.to(device).", /*by_copy=*/true};
  }

  template <std::size_t Count>
  static constexpr void check_count() {
    static_assert(Count <= 1, "ndtorch: contradictory constraints: a tensor is on one device");
  }

  template <class Folded>
  static constexpr auto note() {
    if constexpr (Folded::wants.has_device) {
      return py::detail::const_name(", \"device=") + device_text<Folded::wants.device>() +
             py::detail::const_name("\"");
    } else {
      return py::detail::const_name("");
    }
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
