// detail/arguments/libtorch_templates.h: a tensor_t in every template of LibTorch's is the tensor that it is
#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/index.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
// After torch/nn
#include <ndtorch/typed.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/support.h"

namespace {

using ndtorch::tensor_t;
using typed = tensor_t<const double, ndtorch::ndim<1>>;

at::Tensor leaf(std::int64_t size = 3) { return at::rand({size}, at::kDouble).requires_grad_(); }

// x * scale, whose gradient is scale; typed arguments of each form.
struct scaled : torch::autograd::Function<scaled> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const typed& x,
                            double scale) {
    context->saved_data["scale"] = scale;
    return x * scale;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0] * context->saved_data["scale"].toDouble(), at::Tensor()};
  }
};

// The same of a number first, of an optional tensor, and of a list.
struct last : torch::autograd::Function<last> {
  static at::Tensor forward(torch::autograd::AutogradContext*, double scale, const typed& x) {
    return x * scale;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    return {at::Tensor(), gradients[0] * 2};
  }
};

struct maybe : torch::autograd::Function<maybe> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const std::optional<typed>& x) {
    return *x * 2;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0] * 2};
  }
};

struct both : torch::autograd::Function<both> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const std::vector<typed>& list) {
    return list[0] + 3 * list[1];
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0], gradients[0] * 3};
  }
};

void expect_gradient(const at::Tensor& result, const at::Tensor& x, double expected) {
  ASSERT_TRUE(result.requires_grad());
  result.sum().backward();
  ASSERT_TRUE(x.grad().defined());
  EXPECT_TRUE(at::allclose(x.grad(), at::ones({3}, at::kDouble) * expected));
}

TEST(a_typed_tensor, gets_its_gradient_through_an_autograd_function) {
  const at::Tensor x = leaf();
  const typed t(x);
  expect_gradient(scaled::apply(t, 2.0), x, 2);
}

TEST(a_typed_tensor, gets_its_gradient_wherever_it_stands_among_the_arguments) {
  const at::Tensor x = leaf();
  expect_gradient(last::apply(2.0, typed(x)), x, 2);
  const at::Tensor y = leaf();
  typed changeable(y);
  expect_gradient(scaled::apply(changeable, 4.0), y, 4);
}

TEST(a_typed_tensor, gets_its_gradient_in_an_optional_and_in_a_list) {
  const at::Tensor x = leaf();
  expect_gradient(maybe::apply(std::optional<typed>(typed(x))), x, 2);
  const at::Tensor first = leaf(), second = leaf();
  const at::Tensor sum = both::apply(std::vector<typed>{typed(first), typed(second)});
  sum.sum().backward();
  EXPECT_TRUE(at::allclose(first.grad(), at::ones({3}, at::kDouble)));
  EXPECT_TRUE(at::allclose(second.grad(), at::ones({3}, at::kDouble) * 3));
}

// torch.autograd.gradcheck's way: the gradient beside a difference quotient.
TEST(a_typed_tensor, passes_a_gradient_check) {
  const at::Tensor x = leaf();
  scaled::apply(typed(x), 1.5).sum().backward();
  constexpr double step = 1e-6;
  for (std::int64_t i = 0; i < 3; ++i) {
    const at::NoGradGuard no_gradients;
    at::Tensor more = x.detach().clone();
    more[i] += step;
    const double quotient = (scaled::apply(typed(more), 1.5).sum().item<double>() -
                             scaled::apply(typed(x.detach()), 1.5).sum().item<double>()) /
                            step;
    EXPECT_NEAR(x.grad()[i].item<double>(), quotient, 1e-6);
  }
}

TEST(a_typed_tensor, goes_through_a_sequential_and_a_module) {
  torch::nn::Sequential layers(torch::nn::Linear(3, 2), torch::nn::ReLU());
  const at::Tensor x = at::rand({4, 3});
  const tensor_t<const float, ndtorch::ndim<2>> t(x);
  EXPECT_TRUE(at::allclose(layers->forward(t), layers->forward(x)));
  EXPECT_TRUE(at::allclose(torch::nn::Linear(layers->ptr<torch::nn::LinearImpl>(0))(t),
                           layers->ptr<torch::nn::LinearImpl>(0)->forward(x)));
  torch::nn::AnyModule any(torch::nn::Linear(3, 2));
  EXPECT_TRUE(at::allclose(any.forward(t), any.forward(x)));
}

TEST(a_typed_tensor, is_a_tensor_in_an_ivalue) {
  const at::Tensor x = leaf();
  const typed t(x);
  const c10::IValue value(t);
  ASSERT_TRUE(value.isTensor());
  EXPECT_TRUE(value.toTensor().is_same(x));
  const std::vector<c10::IValue> arguments = {t, 3};
  EXPECT_TRUE(arguments[0].toTensor().is_same(x));
  const c10::IValue moved = typed(x);
  EXPECT_TRUE(moved.toTensor().is_same(x));
  const c10::IValue pair = std::make_tuple(static_cast<const at::Tensor&>(t), 1);
  EXPECT_TRUE(pair.toTuple()->elements()[0].toTensor().is_same(x));
}

TEST(a_typed_tensor, is_a_tensor_in_the_containers) {
  const at::Tensor x = leaf();
  const typed t(x);
  c10::List<at::Tensor> list;
  list.push_back(t);
  EXPECT_TRUE(list.get(0).is_same(x));
  c10::Dict<std::string, at::Tensor> dict;
  dict.insert("t", t);
  EXPECT_TRUE(dict.at("t").is_same(x));
  const std::vector<at::Tensor> vector = {t, t};
  EXPECT_TRUE(vector[1].is_same(x));
  const std::optional<at::Tensor> optional = t;
  EXPECT_TRUE(optional->is_same(x));
  const torch::autograd::variable_list gradients =
      torch::autograd::grad({t.sum()}, {t}, {}, /*retain_graph=*/false);
  EXPECT_TRUE(at::allclose(gradients[0], at::ones({3}, at::kDouble)));
}

TEST(a_typed_tensor, goes_into_operators_as_a_tensor_does) {
  const at::Tensor x = leaf();
  const typed t(x);
  EXPECT_TRUE(at::allclose(t.sum(), x.sum()));
  EXPECT_TRUE(at::allclose(t * 2, x * 2));
  EXPECT_TRUE(at::allclose(2 * t + t, 3 * x));
  EXPECT_TRUE(at::allclose(at::cat({t, t}), at::cat({x, x})));
  EXPECT_TRUE(at::allclose(at::stack({t, x}), at::stack({x, x})));
  EXPECT_TRUE(at::allclose(at::cdist(t.unsqueeze(0), t.unsqueeze(0)),
                           at::cdist(x.unsqueeze(0), x.unsqueeze(0))));
  EXPECT_TRUE(at::allclose(at::where(t > 0.5, t, 0.0), at::where(x > 0.5, x, 0.0)));
  const tensor_t<const std::int64_t, ndtorch::ndim<1>> index(at::ones({2}, at::kLong));
  EXPECT_TRUE(at::allclose(x.index({index}), x.index({static_cast<const at::Tensor&>(index)})));
}

}  // namespace
