// A Python object as an argument of C++ type: taken as it is, converted, or refused with the reason.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/arguments/access.h>
#include <ndtorch/detail/arguments/cast.h>
#include <ndtorch/detail/arguments/mismatch.h>
#include <ndtorch/detail/arguments/requirements.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/holders/protocols.h>
#include <ndtorch/detail/holders/sequence.h>
#include <ndtorch/detail/memory/bools.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/copy_array.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/copy_tensor.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/request.h>
#include <ndtorch/detail/torch/share_array.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

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
    if (wants.has_dtype()) request_.dtype = wants.dtype;
    if (wants.has_device) request_.device = at::Device(wants.device);
    request_.order = wants.order;
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

  std::optional<at::Tensor> refuse(mismatch found, const facts& came, came_as form,
                                   const std::string& what_came) {
    return refuse(mismatch_text(found, wants_, came, form, what_came, about_copy()));
  }

  const char* about_copy() const {
    return wants_.writes ? " The function writes into that copy: use it afterwards." : "";
  }

  // Asked before a copy is made: of a device that isn't there LibTorch would say less.
  const request& checked_request() const {
    if (request_.device) check_device(*request_.device);
    return request_;
  }

  // What stands in the way of an argument, and of a copy of it where that may be made.
  mismatch left(mismatch found, const facts& came) const {
    return may_copy_ ? left_by_copy(wants_, found, came) : found;
  }

  std::optional<at::Tensor> read_array_argument(py::handle array) {
    const array_source source = read_array(array);
    const strided_view& view = source.view;
    mismatch found = mismatch::none;
    if (source.why == refusal::none) {
      found = check_argument(wants_, view);
      if (found == mismatch::none) return share_array(array, source, on_read_only::copy_on_write);
    } else if (!may_copy_ || !source.can_be_copied()) {
      if (why_ == nullptr) return std::nullopt;
      return refuse(refusal_text(source) + (source.can_be_copied() ? about_copy() : "") +
                    wants_.at_tensor_note());
    }
    found = left(found, facts_of(view));
    if (found == mismatch::none) {
      return copy_array(source, request_.dtype.value_or(view.dtype), checked_request());
    }
    if (why_ == nullptr) return std::nullopt;
    return refuse(found, facts_of(view), came_as::array, describe(source.array));
  }

  std::optional<at::Tensor> read_other(py::handle object) {
    const protocol* const spoken = find_protocol(object);
    // Who writes wants the caller's own memory, and of some nobody knows whether it is.
    if (spoken == nullptr || (spoken->may_copy && wants_.writes)) {
      return read_nested_argument(object);
    }
    if (spoken->array_of != nullptr) return read_array_argument(spoken->array_of(object));
    if (spoken->look_into != nullptr) return read_once(object, *spoken);

    at::Tensor tensor = spoken->share(object);
    if (tensor.is_nested()) return refuse(nested_is_not_dense);  // it has no sizes to check
    mismatch found = check_argument(wants_, tensor, shows_writes(tensor.storage()));
    if (found == mismatch::none) return tensor;
    const facts came = facts_of(wants_, tensor, /*writable=*/true);
    found = left(found, came);
    if (found == mismatch::none) return copy_tensor(tensor, checked_request());
    if (why_ == nullptr) return std::nullopt;
    return refuse(found, came, came_as::tensor, describe(tensor));
  }

  // Asks what is in it before that is taken: where this overload refuses it, the next one may not.
  std::optional<at::Tensor> read_once(py::handle object, const protocol& spoken) {
    dlpack_memory memory = spoken.look_into(object);
    strided_view& view = memory.view;
    view.writable = view.writable && !memory.is_copy;
    const mismatch found = check_argument(wants_, view);
    if (found != mismatch::none) {
      if (const mismatch still = left(found, facts_of(view)); still != mismatch::none) {
        if (why_ == nullptr) return std::nullopt;
        return refuse(still, facts_of(view), came_as::tensor, describe(*memory.described));
      }
    }
    const request& wanted = checked_request();
    if (capsules_ == capsules::leave) return at::Tensor();
    const at::Tensor tensor = spoken.share(object);
    return found == mismatch::none ? tensor : copy_tensor(tensor, wanted);
  }

  std::optional<at::Tensor> read_nested_argument(py::handle object) {
    if (!may_copy_) {
      return refuse(why_ == nullptr
                        ? std::string()
                        : c10::str("expected an array (got ", type_name(object), ")",
                                   wants_.writes
                                       ? ": the function writes into its memory. Pass one."
                                       : ". Convert it first, with np.asarray(data).",
                                   wants_.at_tensor_note()));
    }
    const bool casts = wants_.cast != casting::none;
    const nested_data data = read_nested(object, casts ? request_.dtype : std::nullopt);
    facts came{data.dtype, at::Device(at::kCPU), data.sizes, {}, /*writable=*/true};
    if (casts && data.lossy) came.dtype = *data.lossy;
    if (const mismatch found = left(mismatch::none, came); found != mismatch::none) {
      return refuse(found, came, came_as::array,
                    c10::str("a ", type_name(object), " of shape ",
                             tuple_text(data.sizes.data(), data.sizes.size())));
    }
    return copy_nested(data, checked_request());
  }

  const requirements& wants_;
  bool may_copy_;
  std::string* why_;
  capsules capsules_;
  request request_;
};

}  // namespace detail
}  // namespace ndtorch
