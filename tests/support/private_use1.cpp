#include "support/private_use1.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/DimVector.h>
#include <pybind11/pybind11.h>
#include <torch/library.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "support/private_use1_streams.h"

namespace test::inverted {

namespace {

constexpr at::DeviceType type = at::kPrivateUse1;

std::mutex mutex;
std::vector<copy_record> copies;
std::map<const void*, std::size_t> pinned;
std::atomic<int> blocks{0};
// How many more may pass before one fails; then, and where none is to fail, negative.
std::atomic<int> good_allocations{-1};
std::atomic<int> good_waits{-1};
std::atomic<bool> pinning_fails{false};
std::map<void*, std::pair<std::size_t, c10::Stream>> device_blocks;
std::vector<void*> graveyard;
std::vector<std::string> waits;
thread_local at::DeviceIndex current = 0;
thread_local std::array<c10::StreamId, device_count> current_streams = {};

constexpr int overwritten = 0xA5;

// A device's own, as CUDA has it.
c10::StreamId& current_stream(at::Device device) {
  return current_streams.at(static_cast<std::size_t>(device.index()));
}

c10::Stream stream_of(at::Device device) {
  return c10::Stream(c10::Stream::UNSAFE, device, current_stream(device));
}

bool is_to_fail(std::atomic<int>& good) { return good >= 0 && good.fetch_sub(1) == 0; }

std::string host() { return PyGILState_Check() != 0 ? "host with the GIL" : "host"; }

void note_wait(const std::string& who, c10::StreamId stream, at::Device device) {
  const std::scoped_lock lock(mutex);
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
    TORCH_CHECK_WITH(OutOfMemoryError, !is_to_fail(good_allocations), "inverted out of memory.");
    void* const memory = ::operator new(count);
    ++blocks;
    const std::scoped_lock lock(mutex);
    device_blocks.insert({memory, {count, stream_of({type, current})}});
    return {memory, memory, raw_deleter(), at::Device(type, current)};
  }
  at::DeleterFnPtr raw_deleter() const override {
    return [](void* memory) {
      std::unique_lock lock(mutex);
      const auto [count, stream] = device_blocks.extract(memory).mapped();
      lock.unlock();
      submit(stream, [memory, count = count] {
        std::memset(memory, overwritten, count);
        ::operator delete(memory);
      });
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
    TORCH_CHECK_WITH(OutOfMemoryError, !pinning_fails, "inverted: no memory can be pinned.");
    void* const memory = ::operator new(count, std::align_val_t(64));
    const std::scoped_lock lock(mutex);
    pinned[memory] = count;
    return {memory, memory, raw_deleter(), at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override {
    return [](void* memory) {
      {
        const std::scoped_lock lock(mutex);
        std::memset(memory, overwritten, pinned.extract(memory).mapped());
        graveyard.push_back(memory);
      }
      if (!is_asynchronous()) bury();
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
  c10::Stream getStream(at::Device device) const override { return stream_of(device); }
  c10::Stream getDefaultStream(at::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream getStreamFromGlobalPool(at::Device device, bool) const override {
    static std::atomic<c10::StreamId> next{100};
    return c10::Stream(c10::Stream::UNSAFE, device, next++);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return c10::Stream(c10::Stream::UNSAFE, stream.device(),
                       std::exchange(current_stream(stream.device()), stream.id()));
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    note_wait(host(), stream.id(), stream.device());
    mark(stream).wait();
  }
  void record(void** event, const c10::Stream& stream, at::DeviceIndex,
              c10::EventFlag) const override {
    delete static_cast<mark*>(*event);
    *event = new mark(stream);
  }
  void block(void* event, const c10::Stream& stream) const override {
    const mark until = *static_cast<mark*>(event);
    note_wait(std::to_string(stream.id()), until.stream().id(), stream.device());
    submit(stream, [until] { until.wait(); });
  }
  bool queryEvent(void* event) const override { return static_cast<mark*>(event)->is_reached(); }
  void synchronizeEvent(void* event) const override {
    const mark until = *static_cast<mark*>(event);
    note_wait(host(), until.stream().id(), until.stream().device());
    until.wait();
    TORCH_CHECK(!is_to_fail(good_waits), "inverted error: unspecified launch failure");
  }
  void destroyEvent(void* event, at::DeviceIndex) const noexcept override {
    delete static_cast<mark*>(event);
  }
};

struct hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex) const override { return true; }
  at::DeviceIndex deviceCount() const override { return device_count; }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
  bool isPinnedPtr(const void* data) const override {
    const std::scoped_lock lock(mutex);
    return pinned.count(data) != 0;
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, guard)

// One process has one kind of pinned memory, and LibTorch takes it from this device where there is
// one. The GPU's tests (tools/gpu_tests.py) want their own.
const bool registered = [] {
  if (std::getenv("NDTORCH_TESTS_WITHOUT_INVERTED") != nullptr) return false;
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

// What a copy needs to know of a tensor, which it doesn't keep alive.
struct description {
  description(const at::Tensor& tensor, bool written)
      : memory(written ? tensor.storage().mutable_data()
                       : const_cast<void*>(tensor.storage().data())),
        nbytes(tensor.storage().nbytes()),
        on_device(!tensor.is_cpu()),
        dtype(tensor.dtype()),
        offset(tensor.storage_offset()),
        sizes(tensor.sizes()),
        strides(tensor.strides()),
        numel(tensor.numel()),
        is_conj(tensor.is_conj()),
        is_neg(tensor.is_neg()),
        is_contiguous(tensor.is_contiguous()) {}

  bool is_plain() const { return is_contiguous && !is_conj && !is_neg; }
  unsigned char* data() const {
    return static_cast<unsigned char*>(memory) +
           static_cast<std::size_t>(offset) * dtype.itemsize();
  }

  void* memory;
  std::size_t nbytes;
  bool on_device;
  caffe2::TypeMeta dtype;
  std::int64_t offset;
  c10::DimVector sizes, strides;
  std::int64_t numel;
  bool is_conj, is_neg, is_contiguous;
};

// The same view: of the CPU's memory, or of a copy of all of a device's.
at::Tensor on_cpu(const description& of) {
  at::DataPtr memory(of.memory, at::kCPU);
  if (of.on_device) {
    const at::Tensor bytes =
        at::detail::empty_cpu({static_cast<std::int64_t>(of.nbytes)}, at::kByte);
    invert(of.memory, bytes.mutable_data_ptr(), of.nbytes);
    memory = bytes.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr());
  }
  at::Tensor view = at::detail::make_tensor<c10::TensorImpl>(
      at::Storage(c10::Storage::use_byte_size_t(), of.nbytes, std::move(memory)),
      c10::DispatchKeySet(c10::DispatchKey::CPU), of.dtype);
  c10::TensorImpl* const impl = view.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(of.sizes, of.strides, of.offset);
  impl->_set_conj(of.is_conj);
  impl->_set_neg(of.is_neg);
  return view;
}

// Keeps dtypes, strides and the conj and neg bits apart as the CPU's kernel does, which does the
// work.
void copy_now(const description& to, const description& from) {
  if (to.is_plain() && from.is_plain() && to.dtype == from.dtype &&
      to.on_device != from.on_device) {
    invert(from.data(), to.data(), static_cast<std::size_t>(to.numel) * to.dtype.itemsize());
    return;
  }
  const at::Tensor result = on_cpu(to);
  result.copy_(on_cpu(from));
  if (to.on_device) invert(result.storage().data(), to.memory, to.nbytes);
}

bool is_pinned(const at::Tensor& tensor) {
  const std::scoped_lock lock(mutex);
  return pinned.count(tensor.storage().data()) != 0;
}

at::Tensor& copy(at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  // As CUDA does: what isn't pinned is waited for.
  const bool on_devices = !self.is_cpu() && !source.is_cpu();
  const bool waited_for =
      !on_devices && (!non_blocking || !is_pinned(self.is_cpu() ? self : source));
  {
    const std::scoped_lock lock(mutex);
    copies.push_back(
        {source.device(), self.device(), source.nbytes(), PyGILState_Check() != 0, waited_for});
  }
  const c10::Stream stream = stream_of(self.is_cpu() ? source.device() : self.device());
  submit(stream,
         [to = description(self, true), from = description(source, false)] { copy_now(to, from); });
  if (waited_for) mark(stream).wait();
  return self;
}

}  // namespace

std::vector<copy_record> take_copies() {
  const std::scoped_lock lock(mutex);
  return std::exchange(copies, {});
}

int live_blocks() { return blocks; }

void fail_next_allocation(int others_before) { good_allocations = others_before; }

void fail_next_wait(int others_before) { good_waits = others_before; }

no_pinned_memory::no_pinned_memory() { pinning_fails = true; }
no_pinned_memory::~no_pinned_memory() { pinning_fails = false; }

void bury() {
  const std::scoped_lock lock(mutex);
  for (void* const memory : graveyard) ::operator delete(memory, std::align_val_t(64));
  graveyard.clear();
}

int current_device() { return current; }

std::vector<std::string> take_waits() {
  const std::scoped_lock lock(mutex);
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
