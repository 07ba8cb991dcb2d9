// Which requirement of a typed argument is not met, and how to say so.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/arguments/access.h>
#include <ndtorch/detail/arguments/requirements.h>
#include <ndtorch/detail/arguments/rule.h>
#include <ndtorch/detail/memory/bools.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Why an argument is refused: the number of a rule that isn't met, or what is wrong with its memory.
enum class mismatch : int {
  none = no_rule,
  lazy = -2,       // it doesn't say what the tensor means
  no_memory = -3,  // there is none
  bools = -4       // bools other than 0 and 1
};

inline bool is_of_rule(mismatch found) { return static_cast<int>(found) > no_rule; }

// What stands in the way of a copy too, where `found` stands in the way of what came.
inline mismatch left_by_copy(const requirements& wants, mismatch found, const facts& came) {
  if (found == mismatch::no_memory) return found;
  return static_cast<mismatch>(first_unmet_by_copy(wants, came));
}

// Whether the function reads the memory as C++'s bools, which the bytes have to be then. Who writes has
// them made so where they are, see tensor_t: an array that is to be filled may hold anything.
constexpr bool reads_bools(const requirements& wants) {
  return wants.dtype == at::kBool && !wants.writes;
}

// A function that asks for a dtype or an order may read the memory itself, so the memory has to exist
// and to mean what the tensor means. (Only tensors can fail this: an array's memory always passes.)
inline mismatch check_memory(const requirements& wants, const at::Tensor& tensor) {
  if (!wants.has_dtype() && wants.order == axis_order::kept) return mismatch::none;
  if (is_wrapper(tensor)) return mismatch::no_memory;
  // LibTorch itself says that these have no memory of the kind.
  if (tensor.layout() != at::kStrided || !tensor.has_storage()) return mismatch::none;
  if (tensor.is_conj() || tensor.is_neg() || tensor._is_zerotensor()) return mismatch::lazy;
  const bool wants_none = wants.has_device && wants.device == at::kMeta;
  return wants_none || has_all_memory(tensor) ? mismatch::none : mismatch::no_memory;
}

inline facts facts_of(const requirements& wants, const at::Tensor& tensor, bool writable) {
  // A sparse tensor has no strides to be asked for.
  const bool has_strides = wants.order != axis_order::kept && tensor.layout() == at::kStrided;
  const int_list strides = has_strides ? int_list(tensor.strides()) : int_list();
  return {tensor.scalar_type(), tensor.device(), tensor.sizes(), strides, writable};
}

[[gnu::always_inline]] inline facts facts_of(const strided_view& view) {
  return {view.dtype, device_of(view), view.sizes(), view.strides(), view.writable};
}

// The first reason against a tensor.
inline mismatch check_argument(const requirements& wants, const at::Tensor& tensor, bool writable) {
  const mismatch memory = check_memory(wants, tensor);
  if (memory == mismatch::no_memory) return memory;
  if (const int unmet = first_unmet(wants, facts_of(wants, tensor, writable)); unmet != no_rule) {
    return static_cast<mismatch>(unmet);
  }
  if (memory != mismatch::none) return memory;
  return reads_bools(wants) && !has_valid_bools(tensor) ? mismatch::bools : mismatch::none;
}

// The same of plain memory, as an array's. (Inlined for the reason that first_unmet() is.)
[[gnu::always_inline]] inline mismatch check_argument(const requirements& wants,
                                                      const strided_view& view) {
  const int unmet = first_unmet(wants, facts_of(view));
  if (unmet != no_rule || !reads_bools(wants) || !is_on_cpu(view)) {
    return static_cast<mismatch>(unmet);
  }
  return has_valid_bools(view.data, view.nbytes, view.sizes(), view.strides()) ? mismatch::none
                                                                               : mismatch::bools;
}

inline complaint complain_of_memory(mismatch found, came_as form) {
  const bool is_array = form == came_as::array;
  switch (found) {
    case mismatch::lazy:
      return {
          "expected memory that says what the tensor means (got a tensor with the conj or neg bit, "
          "or of zeros without memory)",
          "Resolve it first, with tensor.resolve_conj().resolve_neg() or tensor.clone().",
          /*by_copy=*/true};
    case mismatch::no_memory:
      return {
          "expected a tensor with memory of its own",
          "Pass a dense one with data, not a meta tensor, one whose storage was freed or made "
          "smaller, one of a subclass with __torch_dispatch__, or one inside of torch.func (vmap, "
          "grad)."};
    default:
      return {"expected bools of 0 and 1, since C++ knows no others (got other bytes)",
              is_array ? "Copy it first, with array != 0."
                       : "Copy it first, with tensor.view(torch.uint8) != 0.",
              /*by_copy=*/true};
  }
}

// Which requirement is not met, what came instead, and what to do. `about_copy` is said where that makes a
// copy.
inline std::string mismatch_text(mismatch found, const requirements& wants, const facts& came,
                                 came_as form, const std::string& what_came,
                                 const char* about_copy = "") {
  const complaint said = is_of_rule(found) ? complain(wants, static_cast<int>(found), came, form)
                                           : complain_of_memory(found, form);
  return said.expected + ". Got " + what_came + ". " + said.remedy +
         (said.by_copy ? about_copy : "");
}

}  // namespace detail
}  // namespace ndtorch
