// LibTorch's operators as ndtorch calls them for itself, which is nobody else's business.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DispatchKey.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <optional>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// All that stands before an operator's kernel: tracers, Python's dispatch modes, functorch, autograd,
// autocast, functionalization. (PyTorch's own torch.tensor leaves out the same: internal_new_from_data
// in torch/csrc/utils/tensor_new.cpp, 2.13.) What the conj, neg and zero bit mean is kernels' work.
// (FULL_AFTER has PythonDispatcher in every set.)
inline constexpr c10::DispatchKeySet before_kernels =
    (c10::DispatchKeySet(c10::DispatchKeySet::FULL) -
     c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, c10::DispatchKey::Fake) -
     c10::DispatchKeySet(
         {c10::DispatchKey::Conjugate, c10::DispatchKey::Negative, c10::DispatchKey::ZeroTensor})) |
    c10::DispatchKeySet(c10::DispatchKey::PythonDispatcher);

// Whether the tensor has no memory, but others in its place, as inside torch.vmap and torch.func.
// (Some devices' tensors have no storage either, and can be copied.)
inline bool stands_for_others(const at::Tensor& tensor) {
  constexpr c10::DispatchKeySet wrapped(
      {c10::DispatchKey::FuncTorchBatched, c10::DispatchKey::FuncTorchGradWrapper,
       c10::DispatchKey::BatchedNestedTensor, c10::DispatchKey::Functionalize});
  return tensor.unsafeGetTensorImpl()->key_set().has_any(wrapped) ||
         (tensor.is_cpu() && tensor.layout() == at::kStrided && !tensor.has_storage());
}

// Whether it is of a subclass of torch.Tensor with __torch_dispatch__, which may mean something else
// than its memory says, or have none.
inline bool is_dispatched_to_python(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->is_python_dispatch();
}

// Either of the two: only its operators know what it means.
inline bool is_wrapper(const at::Tensor& tensor) {
  return is_dispatched_to_python(tensor) || stands_for_others(tensor);
}

// Whether others have to see operators on this tensor even so: autograd, the tensor's wrapper, or its
// layout, whose own operators make copies too. With libtorch_python the tensor may be the caller's, and
// a trace or a mode has to follow it through a conversion as through torch.as_tensor.
inline bool is_followed(const at::Tensor& tensor) {
  if (tensor.requires_grad() || is_wrapper(tensor) || tensor.layout() != at::kStrided) return true;
#if defined(NDTORCH_TORCH_PYTHON)  // set by the CMake target ndtorch::torch_python
  constexpr c10::DispatchKeySet followers(
      {c10::DispatchKey::Fake, c10::DispatchKey::Python, c10::DispatchKey::PythonTLSSnapshot,
       c10::DispatchKey::PythonDispatcher, c10::DispatchKey::PreDispatch,
       c10::DispatchKey::DeferredInit, c10::DispatchKey::Functionalize, c10::DispatchKey::Tracer,
       c10::DispatchKey::FuncTorchDynamicLayerFrontMode, c10::DispatchKey::FuncTorchVmapMode});
  const c10::impl::LocalDispatchKeySet local = c10::impl::tls_local_dispatch_key_set();
  return (local.included_ - local.excluded_).has_any(followers);
#else
  return false;
#endif
}

// As long as one lives, operators that this thread calls go to the kernels at once. Whoever listens would
// see tensors on memory that is only borrowed, and might keep them.
class own_work {
 public:
  own_work() { keys_.emplace(before_kernels); }
  // The same, unless operators on this tensor are followed.
  explicit own_work(const at::Tensor& tensor) {
    if (!is_followed(tensor)) keys_.emplace(before_kernels);
  }

 private:
  std::optional<c10::impl::ExcludeDispatchKeyGuard> keys_;
};

}  // namespace detail
}  // namespace ndtorch
