// A Python object as an argument of C++ type: taken as it is, converted, or refused with the reason.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/arguments/constraints.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/holder.h>
#include <ndtorch/detail/holders/sequence.h>
#include <ndtorch/detail/memory/strided_copy.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/share_array.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

enum class mismatch { none, dtype, device, ndim, sizes, order, read_only, lazy, no_memory, bools };

// Whether memory is dense, with its axes in this order. Axes of length 1 play no part, and neither do
// any in an empty tensor.
inline bool has_order(int_list sizes, int_list strides, axis_order order) {
  if (order == axis_order::kept) return true;
  std::uint64_t expected = 1;  // may wrap round for a broadcast array, whose strides are 0
  bool dense = true;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t axis = order == axis_order::f ? i : sizes.size() - 1 - i;
    if (sizes[axis] == 0) return true;
    if (sizes[axis] != 1 && static_cast<std::uint64_t>(strides[axis]) != expected) dense = false;
    expected *= static_cast<std::uint64_t>(sizes[axis]);
  }
  return dense;
}

[[gnu::always_inline]] inline mismatch check_shape(const requirements& wants, int_list sizes) {
  if (wants.ndim != any_ndim && static_cast<std::int64_t>(sizes.size()) != wants.ndim) {
    return mismatch::ndim;
  }
  for (std::size_t i = 0; wants.has_sizes && i < sizes.size(); ++i) {
    if (wants.sizes[i] != -1 && wants.sizes[i] != sizes[i]) return mismatch::sizes;
  }
  return mismatch::none;
}

// The first requirement that the memory doesn't meet. Shapes come before what a conversion mends.
// (Inlined, since the requirements are constants to a caster: what isn't asked isn't checked.)
[[gnu::always_inline]] inline mismatch check_argument(const requirements& wants,
                                                      at::ScalarType dtype, at::DeviceType device,
                                                      int_list sizes, int_list strides,
                                                      bool writable) {
  if (const mismatch found = check_shape(wants, sizes); found != mismatch::none) return found;
  if (wants.has_dtype() && dtype != wants.dtype) return mismatch::dtype;
  if (wants.has_device && device != wants.device) return mismatch::device;
  if (!has_order(sizes, strides, wants.order)) return mismatch::order;
  if (wants.writes && !writable) return mismatch::read_only;
  return mismatch::none;
}

// Whether the function reads the memory as C++'s bools, which the bytes have to be then. Who writes has
// them made so where they are, see tensor_t: an array that is to be filled may hold anything.
constexpr bool reads_bools(const requirements& wants) {
  return wants.dtype == at::kBool && !wants.writes;
}

// Who asks for a dtype or an order may read the memory itself: it has to be there, and to say what the
// tensor means. (Tensors of others only: an array's memory always does.)
inline mismatch check_memory(const requirements& wants, const at::Tensor& tensor) {
  if (!wants.has_dtype() && wants.order == axis_order::kept) return mismatch::none;
  if (is_wrapper(tensor)) return mismatch::no_memory;
  // LibTorch itself says that these have no memory of the kind.
  if (tensor.layout() != at::kStrided || !tensor.has_storage()) return mismatch::none;
  if (tensor.is_conj() || tensor.is_neg() || tensor._is_zerotensor()) return mismatch::lazy;
  const bool wants_none = wants.has_device && wants.device == at::kMeta;
  return wants_none || has_all_memory(tensor) ? mismatch::none : mismatch::no_memory;
}

inline mismatch check_argument(const requirements& wants, const at::Tensor& tensor, bool writable) {
  const mismatch memory = check_memory(wants, tensor);
  if (memory == mismatch::no_memory) return memory;
  if (wants.order != axis_order::kept && tensor.layout() != at::kStrided) return mismatch::order;
  const int_list strides =
      wants.order == axis_order::kept ? int_list() : int_list(tensor.strides());
  const mismatch found = check_argument(wants, tensor.scalar_type(), tensor.device().type(),
                                        tensor.sizes(), strides, writable);
  if (found != mismatch::none) return found;
  if (memory != mismatch::none) return memory;
  return reads_bools(wants) && !has_valid_bools(tensor) ? mismatch::bools : mismatch::none;
}

// The same of an array, which has memory. Inlined as above.
[[gnu::always_inline]] inline mismatch check_argument(const requirements& wants,
                                                      const strided_view& view) {
  const mismatch found =
      check_argument(wants, view.dtype, at::kCPU, view.sizes(), view.strides(), view.writable);
  if (found != mismatch::none || !reads_bools(wants)) return found;
  return has_valid_bools(view.data, view.nbytes, view.sizes(), view.strides()) ? mismatch::none
                                                                               : mismatch::bools;
}

inline const char* numpy_name(at::ScalarType type) {
  const dtype_entry* entry = find_dtype(type);
  return entry != nullptr ? entry->name : c10::toString(type);
}

// "(*, 3)"
inline std::string wanted_shape(const requirements& wants) {
  std::string text = "(";
  for (std::int64_t i = 0; i < wants.ndim; ++i) {
    const std::int64_t size = wants.sizes[static_cast<std::size_t>(i)];
    text += (i > 0 ? ", " : "") + (size == -1 ? std::string("*") : std::to_string(size));
  }
  return text + (wants.ndim == 1 ? ",)" : ")");
}

// The remedies are words of NumPy's for arrays, and of PyTorch's for tensors.
enum class came_as { array, tensor };

// Which requirement is not met, what came instead, and what to do.
inline std::string mismatch_text(mismatch found, const requirements& wants, at::ScalarType dtype,
                                 at::Device device, int_list sizes, came_as form,
                                 const std::string& what_came) {
  const bool is_array = form == came_as::array;
  const auto text = [&](auto&&... parts) { return c10::str(parts..., ". Got ", what_came, "."); };
  switch (found) {
    case mismatch::dtype:
      return text("expected dtype ", numpy_name(wants.dtype), " (got ", numpy_name(dtype), ")") +
             (is_array ? c10::str(" Cast it first, for example with array.astype('",
                                  numpy_name(wants.dtype), "').")
                       : " Cast it first, with tensor.to(dtype).");
    case mismatch::device:
      return text("expected a tensor on ", at::DeviceTypeName(wants.device, true), " (got ", device,
                  ")") +
             " Move it there first, with tensor.to(device).";
    case mismatch::ndim:
      return text("expected ", wants.ndim, wants.ndim == 1 ? " dimension" : " dimensions", " (got ",
                  sizes.size(), ")") +
             " Reshape it first.";
    case mismatch::sizes:
      return text("expected shape ", wanted_shape(wants), " (got ",
                  tuple_text(sizes.data(), sizes.size()), ")") +
             " Reshape or slice it first.";
    case mismatch::order:
      if (wants.order == axis_order::c) {
        return text("expected memory in C order") +
               (is_array ? " Copy it first, with np.ascontiguousarray(array)."
                         : " Copy it first, with tensor.contiguous().");
      }
      return text("expected memory in Fortran order") +
             (is_array
                  ? " Copy it first, with np.asfortranarray(array)."
                  : " Copy it first: reverse its axes with tensor.permute(), call contiguous(), "
                    "and reverse them back.");
    case mismatch::read_only:
      return text("expected memory that may be written, as the function writes into it") +
             " Pass a copy, array.copy(), and use it afterwards.";
    case mismatch::lazy:
      return text(
                 "expected memory that says what the tensor means (got a tensor with the conj or "
                 "neg bit, or of zeros without memory)") +
             " Resolve it first, with tensor.resolve_conj().resolve_neg() or tensor.clone().";
    case mismatch::no_memory:
      return text("expected a tensor with memory of its own") +
             " Pass a dense one with data, not a meta tensor, one whose storage was freed or made "
             "smaller, one of a subclass with __torch_dispatch__, or one inside of torch.func "
             "(vmap, grad).";
    case mismatch::bools:
      return text("expected bools of 0 and 1, since C++ knows no others (got other bytes)") +
             (is_array ? " Copy it first, with array != 0."
                       : " Copy it first, with tensor.view(torch.uint8) != 0.");
    case mismatch::none:
      break;
  }
  return {};
}

// Shares an array that is just what is asked for, as most arguments are; false for anything else, and
// for subclasses, since those may raise when they are asked for a mask.
[[gnu::always_inline]] inline bool share_exact_array(py::handle object, const requirements& wants,
                                                     at::Tensor& result) {
  if (!object || Py_TYPE(object.ptr()) != api().array_type) return false;
  const array_source source = read_array(object);
  if (source.why != refusal::none) return false;
  const strided_view& view = source.view;
  if (check_argument(wants, view) != mismatch::none) return false;
  result = share_array(object, source, on_read_only::copy_on_write);
  return true;
}

// What becomes of a DLPack capsule that would do, which can be taken only once: it is taken at once, or
// left there, and an undefined tensor stands for it. Whether a function is called with an argument is for
// the others to say, too.
enum class capsules { take, leave };

// The argument's side of tensor_t's caster and of tensor_t::from.
class argument_reader {
 public:
  // `convert`: a copy will do where the function doesn't write into the caller's memory. `why`, where
  // it is not null, gets the reason of a refusal.
  argument_reader(const requirements& wants, bool convert, std::string* why,
                  capsules rule = capsules::take)
      : wants_(wants), may_copy_(convert && !wants.writes), why_(why), capsules_(rule) {
    if (wants.has_dtype()) target_.dtype = wants.dtype;
    if (wants.has_device) target_.device = at::Device(wants.device);
    target_.order = wants.order;
  }

  // nullopt where the object is refused. Throws only what isn't about the object: an interrupt, or no
  // memory.
  std::optional<at::Tensor> read(py::handle object) {
    if (!object) return refuse("expected an array (got a null handle)");
    if (object.is_none()) return refuse("expected an array (got None)");
    return value_or_refusal(
        [&] { return api().is_array(object) ? read_array_argument(object) : read_other(object); },
        [&](std::string reason) { return refuse(std::move(reason)); });
  }

 private:
  std::optional<at::Tensor> refuse(std::string reason) {
    if (why_ != nullptr) *why_ = std::move(reason);
    return std::nullopt;
  }

  // Where the function writes into a copy that was made as the reason says, that holds the result.
  std::optional<at::Tensor> refuse_memory(std::string reason) {
    if (wants_.writes) reason += " The function writes into that copy: use it afterwards.";
    return refuse(std::move(reason));
  }

  std::optional<at::Tensor> refuse(mismatch found, at::ScalarType dtype, at::Device device,
                                   int_list sizes, came_as form, const std::string& what_came) {
    std::string reason = mismatch_text(found, wants_, dtype, device, sizes, form, what_came);
    switch (found) {
      case mismatch::dtype:
      case mismatch::device:
      case mismatch::order:
      case mismatch::lazy:
      case mismatch::bools:
        return refuse_memory(std::move(reason));
      default:
        return refuse(std::move(reason));
    }
  }

  // Asked before a copy is made: of a device that isn't there LibTorch would say less.
  const target& checked_target() const {
    if (target_.device) check_device(*target_.device);
    return target_;
  }

  bool can_be_mended(mismatch found) const {
    return may_copy_ && found != mismatch::ndim && found != mismatch::sizes &&
           found != mismatch::no_memory;
  }

  std::optional<at::Tensor> read_array_argument(py::handle array) {
    const array_source source = read_array(array);
    const strided_view& view = source.view;
    if (source.why == refusal::none) {
      const mismatch found = check_argument(wants_, view);
      if (found == mismatch::none) return share_array(array, source, on_read_only::copy_on_write);
      if (!can_be_mended(found)) {
        if (why_ == nullptr) return std::nullopt;
        return refuse(found, view.dtype, device_of(view), view.sizes(), came_as::array,
                      describe(source.array));
      }
    } else if (!source.can_be_copied()) {
      return why_ == nullptr ? std::nullopt : refuse(refusal_text(source));
    } else if (!may_copy_) {
      return why_ == nullptr ? std::nullopt : refuse_memory(refusal_text(source));
    } else if (const mismatch found = check_shape(wants_, view.sizes()); found != mismatch::none) {
      if (why_ == nullptr) return std::nullopt;
      return refuse(found, view.dtype, device_of(view), view.sizes(), came_as::array,
                    describe(source.array));
    }
    return copy(source, target_.dtype.value_or(view.dtype), checked_target());
  }

  std::optional<at::Tensor> read_other(py::handle object) {
    const holder_kind kind = api().is_scalar(object) ? holder_kind::none : find_holder(object);
    // Of an array_like nobody knows whether it would be a copy.
    if (kind == holder_kind::none || (kind == holder_kind::array_like && !may_copy_)) {
      return read_nested_argument(object);
    }
    if (is_read_by_numpy(kind)) return read_array_argument(array_of(object, kind));
    if (kind == holder_kind::capsule) return read_capsule_argument(object);

    at::Tensor tensor = share_holder(object, kind);
    if (tensor.is_nested()) return refuse(nested_is_not_dense);  // it has no sizes to check
    const mismatch found = check_argument(wants_, tensor, shows_writes(tensor.storage()));
    if (found == mismatch::none) return tensor;
    if (can_be_mended(found)) return copy(tensor, checked_target());
    if (why_ == nullptr) return std::nullopt;
    return refuse(found, tensor.scalar_type(), tensor.device(), tensor.sizes(), came_as::tensor,
                  describe(tensor));
  }

  // Asks what is in it before that is taken: where this overload refuses it, the next one may not.
  std::optional<at::Tensor> read_capsule_argument(py::handle capsule) {
    const dlpack_memory memory = read_capsule(capsule);
    const strided_view& view = memory.view;
    mismatch found = check_argument(wants_, view.dtype, view.device, view.sizes(), view.strides(),
                                    view.writable && !memory.is_copy);
    if (found == mismatch::none && reads_bools(wants_) && is_on_cpu(view) &&
        !has_valid_bools(view.data, view.nbytes, view.sizes(), view.strides())) {
      found = mismatch::bools;
    }
    if (found != mismatch::none && !can_be_mended(found)) {
      if (why_ == nullptr) return std::nullopt;
      return refuse(found, view.dtype, device_of(view), view.sizes(), came_as::tensor,
                    describe(*memory.described));
    }
    const target& wanted = checked_target();
    if (capsules_ == capsules::leave) return at::Tensor();
    const at::Tensor tensor = share_capsule(capsule);
    return found == mismatch::none ? tensor : copy(tensor, wanted);
  }

  std::optional<at::Tensor> read_nested_argument(py::handle object) {
    if (!may_copy_) {
      return refuse(why_ == nullptr
                        ? std::string()
                        : c10::str("expected an array (got ", type_name(object), ")",
                                   wants_.writes
                                       ? ": the function writes into its memory. Pass one."
                                       : ". Convert it first, with np.asarray(data)."));
    }
    const nested_data data = read_nested(object, target_.dtype);
    if (const mismatch found = check_shape(wants_, data.sizes); found != mismatch::none) {
      return refuse(found, data.dtype, at::Device(at::kCPU), data.sizes, came_as::array,
                    c10::str("a ", type_name(object), " of shape ",
                             tuple_text(data.sizes.data(), data.sizes.size())));
    }
    return copy_nested(data, checked_target());
  }

  const requirements& wants_;
  bool may_copy_;
  std::string* why_;
  capsules capsules_;
  target target_;
};

}  // namespace detail
}  // namespace ndtorch
