// DLPack's structures: read, shared as tensors, and made for others. The rules are those of DLPack 1.3.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/dlpack.h>
#include <c10/core/Allocator.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#if !defined(DLPACK_MAJOR_VERSION) || DLPACK_MAJOR_VERSION != 1 || DLPACK_MINOR_VERSION < 3
#error "ndtorch needs LibTorch 2.10 or newer, whose ATen/dlpack.h is that of DLPack 1.3"
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

template <class Managed>
inline constexpr bool is_versioned = std::is_same_v<Managed, DLManagedTensorVersioned>;

struct dlpack_deleter {
  template <class Managed>
  void operator()(Managed* managed) const {
    if (managed->deleter != nullptr) managed->deleter(managed);
  }
};
template <class Managed>
using dlpack_owner = std::unique_ptr<Managed, dlpack_deleter>;

// nullptr where the type is not in the table, or is a vector of several numbers (lanes).
constexpr const dtype_entry* find_dtype(const DLDataType& type) {
  if (type.lanes != 1) return nullptr;
  for (const dtype_entry& entry : dtypes) {
    if (entry.dlpack_code == type.code && entry.item_size * 8 == type.bits) return &entry;
  }
  return nullptr;
}

// nullopt for a kind of device that LibTorch has no tensors on.
inline std::optional<at::Device> device_of(const DLDevice& device) {
  if (device.device_type == kDLCPU || device.device_type == kDLCUDAHost ||
      device.device_type == kDLROCMHost) {  // the latter two: pinned memory of the host
    return at::Device(at::kCPU);
  }
  const auto index = static_cast<c10::DeviceIndex>(device.device_id);
  if (index < 0 || index != device.device_id) return std::nullopt;
  switch (device.device_type) {
    case kDLCUDA:
    case kDLCUDAManaged:
    case kDLROCM:  // LibTorch for ROCm calls its devices cuda
      return at::Device(at::kCUDA, index);
    case kDLOneAPI:
      return at::Device(at::kXPU, index);
    case kDLMetal:
      return at::Device(at::kMPS, index);
    case kDLMAIA:
      return at::Device(at::kMAIA, index);
    case kDLExtDev:
      return at::Device(at::kPrivateUse1, index);
    default:
      return std::nullopt;
  }
}

// Throws buffer_error where DLPack has no name for the device.
inline DLDevice dlpack_device(at::Device device) {
  const std::int32_t index = device.has_index() ? device.index() : 0;
  switch (device.type()) {
    case at::kCPU:
      return {kDLCPU, 0};
    case at::kCUDA:
      // LibTorch for ROCm calls its devices cuda, and the macros of its build aren't known here.
      return {at::detail::getCUDAHooks().hasROCM() ? kDLROCM : kDLCUDA, index};
    case at::kXPU:
      return {kDLOneAPI, index};
    case at::kMPS:
      return {kDLMetal, index};
    case at::kMAIA:
      return {kDLMAIA, index};
    case at::kPrivateUse1:
      return {kDLExtDev, index};
    case at::kMeta:
      throw py::buffer_error(
          "Cannot pack tensors on meta, which have no data. Make one on a real device first, for "
          "example with at::empty_like(tensor, at::kCPU).");
    default:
      throw py::buffer_error(c10::str("Cannot pack tensors on ", device,
                                      ". Copy it first, with tensor.to(at::kCPU)."));
  }
}

// Throws buffer_error where DLPack has no name for the dtype.
inline DLDataType dlpack_dtype(at::ScalarType type) {
  const dtype_entry* entry = find_dtype(type);
  if (entry == nullptr) {
    throw py::buffer_error(c10::str("Got unsupported ScalarType ", type,
                                    ". DLPack has no such dtype: ", remedy_for_unsupported(type)));
  }
  return {entry->dlpack_code, static_cast<std::uint8_t>(entry->item_size * 8), 1};
}

inline std::string describe(const DLTensor& tensor) {
  const bool has_shape = tensor.ndim >= 0 && tensor.ndim <= static_cast<std::int32_t>(max_ndim) &&
                         (tensor.ndim == 0 || tensor.shape != nullptr);
  const auto ndim = static_cast<std::size_t>(has_shape ? tensor.ndim : 0);
  return c10::str("a DLPack tensor of ", tensor.ndim, " dimensions, shape ",
                  has_shape ? tuple_text(tensor.shape, ndim) : "?", ", strides ",
                  !has_shape                  ? "?"
                  : tensor.strides == nullptr ? "of C order"
                                              : tuple_text(tensor.strides, ndim) + " elements",
                  ", dtype code ", static_cast<int>(tensor.dtype.code), " bits ",
                  static_cast<int>(tensor.dtype.bits), " lanes ", tensor.dtype.lanes,
                  ", device type ", static_cast<int>(tensor.device.device_type), " index ",
                  tensor.device.device_id);
}

[[noreturn]] inline void throw_refused(const DLTensor& tensor, const std::string& reason) {
  throw py::value_error(c10::str(reason, " Got ", describe(tensor),
                                 ". Copy it to a plain array in its own library first."));
}

// Describes what a producer handed over, of whom nothing is taken on trust but its pointers.
// Throws type_error for a dtype outside the table and value_error for memory that can't be a
// tensor's.
inline strided_view read_dlpack(const DLTensor& tensor, bool writable) {
  strided_view view;
  view.writable = writable;
  const dtype_entry* entry = find_dtype(tensor.dtype);
  if (entry == nullptr) {
    throw py::type_error(c10::str(
        "can't convert this DLPack dtype. The only supported types are: ", supported_dtypes(),
        ". Got ", describe(tensor), ". Convert the data to one of these first."));
  }
  view.dtype = entry->scalar_type;
  const std::optional<at::Device> device = device_of(tensor.device);
  if (!device) {
    throw py::type_error(c10::str("LibTorch has no such device. Got ", describe(tensor),
                                  ". Copy the data to the CPU first."));
  }
  check_device(*device);
  set_device(view, *device);
  if (tensor.ndim < 0 || tensor.ndim > static_cast<std::int32_t>(max_ndim)) {
    throw_refused(tensor, c10::str("number of dimensions must be within [0, ", max_ndim, "]."));
  }
  view.ndim = static_cast<std::size_t>(tensor.ndim);
  if (view.ndim > 0 && tensor.shape == nullptr) throw_refused(tensor, "the shape is missing.");

  std::uint64_t count = 1;
  bool overflow = false;
  for (std::size_t i = 0; i < view.ndim; ++i) {
    if (tensor.shape[i] < 0) throw_refused(tensor, "a size is negative.");
    view.size_of[i] = tensor.shape[i];
    // A size of 0 must not hide that the others can't be multiplied.
    const auto size = static_cast<std::uint64_t>(tensor.shape[i] > 0 ? tensor.shape[i] : 1);
    overflow |= __builtin_mul_overflow(count, size, &count);
  }
  overflow |= __builtin_mul_overflow(count, static_cast<std::uint64_t>(entry->item_size), &count);
  refusal why = overflow || count > INT64_MAX ? refusal::too_large : refusal::none;
  if (why == refusal::none) {
    if (tensor.strides != nullptr) {
      why = set_shape(view, tensor.shape, tensor.strides, entry->item_size, entry->item_size);
    } else {
      set_dense_strides(view, static_cast<std::size_t>(entry->item_size));
    }
  }
  if (why == refusal::too_large) throw_refused(tensor, "it spans more bytes than there can be.");
  if (why == refusal::negative_stride) {
    throw_refused(tensor, "At least one stride is negative, and LibTorch has no such tensors.");
  }
  view.data = nullptr;
  if (tensor.data != nullptr) {
    std::uint64_t first = 0, end = 0;
    if (__builtin_add_overflow(reinterpret_cast<std::uintptr_t>(tensor.data), tensor.byte_offset,
                               &first) ||
        __builtin_add_overflow(first, view.nbytes, &end)) {
      throw_refused(tensor, "it reaches beyond the last address.");
    }
    view.data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  }
  if (view.data == nullptr && view.nbytes > 0) throw_refused(tensor, "its data pointer is null.");
  if (is_on_cpu(view) && view.nbytes > 0 && !is_aligned(view.data, entry->item_size)) {
    throw_refused(tensor, "the data is not aligned for its dtype.");
  }
  return view;
}

// Memory that is offered to others: the structure that they get, and what keeps the memory. The tensor
// would not do: it may be given another storage.
template <class Managed>
struct dlpack_offer {
  at::Storage storage;
  at::DataPtr read_only;  // or this, which a first write takes from the storage only
  std::vector<std::int64_t> sizes_and_strides;  // the tensor's own may change
  Managed managed;

  static void destroy(Managed* self) { delete static_cast<dlpack_offer*>(self->manager_ctx); }

  // The object behind memory that this module has offered, and gets back; else none.
  static py::object object_behind(const Managed& managed) {
    if (managed.deleter != &destroy) return {};
    const auto& offer = *static_cast<const dlpack_offer*>(managed.manager_ctx);
    return py::reinterpret_borrow<py::object>(
        offer.storage ? holder_of(offer.storage)
                      : static_cast<PyObject*>(offer.read_only.get_context()));
  }
};

// What a structure offers.
struct dlpack_memory {
  strided_view view;
  bool is_copy;  // one that was made for us
  const DLTensor* described;
};

// Reads what a structure offers, and takes nothing. Whether the memory may be written is for a versioned
// one to say.
template <class Managed>
dlpack_memory read_managed(const Managed& managed, bool writable = true) {
  bool is_copy = false;
  if constexpr (is_versioned<Managed>) {
    // No other field of another major version is where this header says.
    if (managed.version.major != DLPACK_MAJOR_VERSION) {
      throw py::buffer_error(c10::str("a DLPack tensor of version ", managed.version.major, ".",
                                      managed.version.minor, " came, and ndtorch reads version ",
                                      DLPACK_MAJOR_VERSION, ". Update the older of the two."));
    }
    writable = (managed.flags & DLPACK_FLAG_BITMASK_READ_ONLY) == 0;
    is_copy = (managed.flags & DLPACK_FLAG_BITMASK_IS_COPIED) != 0;
  }
  return {read_dlpack(managed.dl_tensor, writable), is_copy, &managed.dl_tensor};
}

// A tensor that keeps `managed`, which was read, until its storage dies. On any exception `managed` is
// deleted.
template <class Managed>
at::Tensor share_dlpack(dlpack_owner<Managed> managed, const dlpack_memory& memory) {
  const strided_view& view = memory.view;
  // Where this module itself has offered the memory, the object behind it is taken: each round trip
  // would add a link to the chain of owners otherwise.
  py::object holder = dlpack_offer<Managed>::object_behind(*managed);
  if (!holder) {
    holder = py::reinterpret_steal<py::object>(PyCapsule_New(
        managed.get(),
        !view.writable   ? read_only_capsule
        : memory.is_copy ? copied_capsule
                         : writable_capsule,
        [](PyObject* self) {
          dlpack_deleter()(
              static_cast<Managed*>(PyCapsule_GetPointer(self, PyCapsule_GetName(self))));
        }));
    if (!holder) throw_python_error();
    managed.release();  // the capsule has it now
  }
  at::Tensor tensor = make_tensor(view, hold_object(view.data, holder.ptr(), device_of(view)));
  if (!view.writable) make_copy_on_write(*tensor.storage().unsafeGetStorageImpl());
  return tensor;
}

// `read_only` memory can only be told of by a versioned structure: the older one gives the tensor
// memory that may be written. Throws buffer_error for what DLPack has no name for.
template <class Managed>
dlpack_owner<Managed> offer_dlpack(const at::Tensor& tensor, bool is_copy = false) {
  auto offer = std::make_unique<dlpack_offer<Managed>>();
  auto& dims = offer->sizes_and_strides;
  dims.assign(tensor.sizes().begin(), tensor.sizes().end());
  dims.insert(dims.end(), tensor.strides().begin(), tensor.strides().end());

  const exported_memory memory = export_memory(tensor, /*others_may_write=*/!is_versioned<Managed>);
  DLTensor& described = offer->managed.dl_tensor;
  described.data = memory.data;
  if (memory.writable) {
    offer->storage = home_of(tensor.storage());
  } else {
    offer->read_only = hold_object(memory.data, memory.holder, tensor.device());
  }
  described.device = dlpack_device(tensor.device());
  described.ndim = static_cast<std::int32_t>(tensor.dim());
  described.dtype = dlpack_dtype(tensor.scalar_type());
  described.shape = dims.data();
  described.strides = dims.data() + tensor.dim();
  described.byte_offset = 0;
  tensor.storage().unsafeGetStorageImpl()->set_resizable(false);  // nobody would tell the others
  if constexpr (is_versioned<Managed>) {
    offer->managed.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
    offer->managed.flags = (memory.writable ? 0 : DLPACK_FLAG_BITMASK_READ_ONLY) |
                           (is_copy ? DLPACK_FLAG_BITMASK_IS_COPIED : 0);
  }
  offer->managed.manager_ctx = offer.get();
  offer->managed.deleter = &dlpack_offer<Managed>::destroy;
  return dlpack_owner<Managed>(&offer.release()->managed);
}

}  // namespace detail
}  // namespace ndtorch
