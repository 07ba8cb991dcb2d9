#include "support/private_use1.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <pybind11/pybind11.h>
#include <torch/library.h>

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace test::inverted {

namespace {

constexpr at::DeviceType type = at::kPrivateUse1;

std::mutex mutex;
std::vector<copy_record> copies;
std::set<const void*> pinned;
std::atomic<int> blocks{0};
std::atomic<bool> allocation_fails{false};
std::vector<std::string> waits;
thread_local at::DeviceIndex current = 0;
thread_local c10::StreamId current_stream = 0;

void note_wait(const std::string& who, c10::StreamId stream, at::Device device) {
  const std::lock_guard lock(mutex);
  waits.push_back(c10::str(who, " waits for ", stream, " of ", device));
}

void invert(const void* from, void* to, std::size_t count) {
  const auto* const source = static_cast<const unsigned char*>(from);
  auto* const target = static_cast<unsigned char*>(to);
  for (std::size_t i = 0; i < count; ++i) target[i] = static_cast<unsigned char>(~source[i]);
}

class device_allocator final : public c10::Allocator {
 public:
  at::DataPtr allocate(std::size_t count) override {
    TORCH_CHECK_WITH(OutOfMemoryError, !allocation_fails.exchange(false),
                     "inverted out of memory.");
    void* const memory = ::operator new(count);
    ++blocks;
    return {memory, memory, raw_deleter(), at::Device(type, current)};
  }
  at::DeleterFnPtr raw_deleter() const override {
    return [](void* memory) {
      ::operator delete(memory);
      --blocks;
    };
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

// Host memory that the device's driver knows.
class pinned_allocator final : public c10::Allocator {
 public:
  at::DataPtr allocate(std::size_t count) override {
    void* const memory = ::operator new(count, std::align_val_t(64));
    const std::lock_guard lock(mutex);
    pinned.insert(memory);
    return {memory, memory, raw_deleter(), at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override {
    return [](void* memory) {
      const std::lock_guard lock(mutex);
      pinned.erase(memory);
      ::operator delete(memory, std::align_val_t(64));
    };
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

device_allocator device_memory;
pinned_allocator pinned_memory;

class guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  at::DeviceType type() const override { return at::kPrivateUse1; }
  at::Device getDevice() const override { return {at::kPrivateUse1, current}; }
  at::DeviceIndex deviceCount() const noexcept override { return device_count; }
  void uncheckedSetDevice(at::Device device) const noexcept override { current = device.index(); }
  void setDevice(at::Device device) const override {
    TORCH_CHECK(device.index() < device_count, "inverted error: invalid device ordinal");
    current = device.index();
  }
  at::Device exchangeDevice(at::Device device) const override {
    const at::Device before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Stream getStream(at::Device device) const override {
    return c10::Stream(c10::Stream::UNSAFE, device, current_stream);
  }
  c10::Stream getDefaultStream(at::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return c10::Stream(c10::Stream::UNSAFE, stream.device(),
                       std::exchange(current_stream, stream.id()));
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    note_wait(PyGILState_Check() != 0 ? "host with the GIL" : "host", stream.id(), stream.device());
  }
  // An event is the stream that it was recorded on.
  void record(void** event, const c10::Stream& stream, at::DeviceIndex,
              c10::EventFlag) const override {
    *event = new c10::Stream(stream);
  }
  void block(void* event, const c10::Stream& stream) const override {
    note_wait(std::to_string(stream.id()), static_cast<c10::Stream*>(event)->id(), stream.device());
  }
  void destroyEvent(void* event, at::DeviceIndex) const noexcept override {
    delete static_cast<c10::Stream*>(event);
  }
};

struct hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex) const override { return true; }
  at::DeviceIndex deviceCount() const override { return device_count; }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
  bool isPinnedPtr(const void* data) const override {
    const std::lock_guard lock(mutex);
    return pinned.count(data) != 0;
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, guard)

const bool registered = [] {
  c10::register_privateuse1_backend(name);
  c10::SetAllocator(type, &device_memory);
  static hooks instance;
  at::RegisterPrivateUse1HooksInterface(&instance);
  return true;
}();

constexpr c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);

at::Device with_index(std::optional<at::Device> device) {
  return device && device->has_index() ? *device : at::Device(type, current);
}

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard on(with_index(device));
  return at::detail::empty_generic(sizes, &device_memory, keys, c10::dtype_or_default(dtype),
                                   format);
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard on(with_index(device));
  return at::detail::empty_strided_generic(sizes, strides, &device_memory, keys,
                                           c10::dtype_or_default(dtype));
}

// The same view, of a copy of the tensor's whole storage in the CPU's memory.
at::Tensor on_cpu(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  const at::Storage& storage = tensor.storage();
  const auto count = static_cast<std::int64_t>(storage.nbytes());
  const at::Tensor bytes = at::detail::empty_cpu({count}, at::kByte);
  invert(storage.data(), bytes.mutable_data_ptr(), storage.nbytes());

  at::Tensor view = at::detail::make_tensor<c10::TensorImpl>(
      at::Storage(bytes.storage()), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  c10::TensorImpl* const impl = view.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  impl->_set_conj(tensor.is_conj());
  impl->_set_neg(tensor.is_neg());
  return view;
}

// Keeps dtypes, strides and the conj and neg bits apart as the CPU's kernel does, which does the
// work.
at::Tensor& copy(at::Tensor& self, const at::Tensor& source, bool) {
  {
    const std::lock_guard lock(mutex);
    copies.push_back({source.device(), self.device(), source.nbytes(), PyGILState_Check() != 0});
  }
  const at::Tensor result = on_cpu(self);
  result.copy_(on_cpu(source));
  if (!self.is_cpu()) {
    const at::Storage& storage = self.storage();
    invert(result.storage().data(), storage.mutable_data(), storage.nbytes());
  }
  return self;
}

}  // namespace

std::vector<copy_record> take_copies() {
  const std::lock_guard lock(mutex);
  return std::exchange(copies, {});
}

int live_blocks() { return blocks; }

void fail_next_allocation() { allocation_fails = true; }

int current_device() { return current; }

std::vector<std::string> take_waits() {
  const std::lock_guard lock(mutex);
  return std::exchange(waits, {});
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("copy_", &copy);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
}

}  // namespace test::inverted
