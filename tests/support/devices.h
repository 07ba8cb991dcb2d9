// Tests that run on each device there is: on the tests' own "inverted" (private_use1.h) everywhere,
// and on CUDA where there is a GPU.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceType.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "private_use1.h"
#include "support.h"

namespace test {

// How many devices of a kind there are; -1 where this LibTorch can have none.
inline int devices(at::DeviceType type) {
  const auto& guards = c10::impl::device_guard_impl_registry;
  const auto* const guard = guards[static_cast<std::size_t>(type)].load();
  return guard == nullptr ? -1 : guard->deviceCount();
}

class device_test : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (device().is_cuda()) {
      const int count = devices(at::kCUDA);
      if (count < 0) GTEST_SKIP() << "this LibTorch is built without CUDA";
      if (count == 0) GTEST_SKIP() << "no GPU";
      if (count <= device().index()) GTEST_SKIP() << "no such GPU";
      if (c10::is_privateuse1_backend_registered()) {
        GTEST_SKIP() << "pinned memory is the tests' own device's here: see make test-gpu";
      }
    } else if (!py::module_::import("importlib.util").attr("find_spec")("torch").is_none()) {
      // Python's torch wants a module behind each device that it meets.
      exec(
          "if not hasattr(torch, 'inverted'):\n"
          "  torch._register_device_module('inverted', type(np)('inverted'))");
    }
    inverted::take_copies();
    inverted::take_waits();
  }

  at::Device device() const { return at::Device(GetParam()); }
  c10::impl::VirtualGuardImpl guard() const { return c10::impl::VirtualGuardImpl(device().type()); }
  c10::Stream new_stream() const { return guard().getStreamFromGlobalPool(device()); }
};

inline std::string name_of_device(const testing::TestParamInfo<const char*>& device) {
  std::string name = device.param;
  std::replace(name.begin(), name.end(), ':', '_');
  return name;
}

// The copies between the CPU and a device since the last call; none may have held the GIL.
inline std::vector<inverted::copy_record> take_transfers() {
  std::vector<inverted::copy_record> transfers;
  for (const inverted::copy_record& copy : inverted::take_copies()) {
    EXPECT_FALSE(copy.with_gil) << copy.from << " to " << copy.to;
    if (copy.from != copy.to) transfers.push_back(copy);
  }
  return transfers;
}

}  // namespace test
