// tensor_t where LibTorch's templates ask for the type of what they are given, and would take a class that
// is derived of at::Tensor for no tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace torch::autograd {
// Of torch/csrc/autograd/custom_function.h, which few need.
template <typename... Args>
void extract_vars(std::vector<bool>& is_var, std::vector<at::Tensor>& list, Args&&... args);
}  // namespace torch::autograd

namespace ndtorch {

template <class... Constraints>
class tensor_t;

namespace [[gnu::visibility("hidden")]] detail {

// An argument with plain tensors in place of typed ones: `differs` says whether it has any.
template <class T>
struct plain_argument {
  static constexpr bool differs = false;
  static const T& of(const T& argument) { return argument; }
};
// A vector is no list of variables to LibTorch, but a TensorList is.
template <class T>
const T& passed(const T& argument) {
  return argument;
}
inline at::TensorList passed(const std::vector<at::Tensor>& argument) { return argument; }
template <class... Constraints>
struct plain_argument<tensor_t<Constraints...>> {
  static constexpr bool differs = true;
  static const at::Tensor& of(const at::Tensor& argument) { return argument; }
};
template <class... Constraints>
struct plain_argument<std::optional<tensor_t<Constraints...>>> {
  static constexpr bool differs = true;
  static std::optional<at::Tensor> of(const std::optional<tensor_t<Constraints...>>& argument) {
    if (!argument) return std::nullopt;
    return static_cast<const at::Tensor&>(*argument);
  }
};
template <class... Constraints>
struct plain_argument<std::vector<tensor_t<Constraints...>>> {
  static constexpr bool differs = true;
  static std::vector<at::Tensor> of(const std::vector<tensor_t<Constraints...>>& argument) {
    return {argument.begin(), argument.end()};
  }
};

template <class T>
using plain_argument_of = plain_argument<std::remove_cv_t<std::remove_reference_t<T>>>;

}  // namespace detail

// torch::autograd::Function<...>::apply() calls this by its name alone to learn which of its arguments need a
// gradient, and so finds it here where one is a tensor_t. The first argument stands by itself to be
// preferred to LibTorch's own, which has all in a pack.
template <class First, class... Rest,
          std::enable_if_t<detail::plain_argument_of<First>::differs ||
                               (detail::plain_argument_of<Rest>::differs || ...),
                           int> = 0>
void extract_vars(std::vector<bool>& is_var, std::vector<at::Tensor>& list, First&& first,
                  Rest&&... rest) {
  torch::autograd::extract_vars(is_var, list,
                                detail::passed(detail::plain_argument_of<First>::of(first)),
                                detail::passed(detail::plain_argument_of<Rest>::of(rest))...);
}

}  // namespace ndtorch

#if defined(TORCH_MODULE)  // torch/nn is there, when it was included before this
// torch::nn::Sequential and AnyModule keep their arguments with the types that they come as, and ask for an
// at::Tensor: that is what is kept of a tensor_t.
template <class... Constraints>
struct torch::nn::AnyValue::Holder<ndtorch::tensor_t<Constraints...>>
    : torch::nn::AnyValue::Holder<at::Tensor> {
  using torch::nn::AnyValue::Holder<at::Tensor>::Holder;
};
#endif
