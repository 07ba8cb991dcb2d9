// Operations of a training package, for torch.Tensor objects and for arrays.
#include <torch/torch.h>
// After it, so that torch::nn knows typed tensors.
#include <ndtorch/ndtorch.h>
#include <pybind11/stl.h>

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::tensor_t;
using ndtorch::writable;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the callers get back, as before: torch.Tensor objects.
using result_t = tensor_t<ndtorch::returns::torch>;

// Scales each row to length 1, in place.
void normalize_(tensor_t<writable, ndim<2>> x, double eps) {
  TORCH_CHECK(x.is_floating_point(), "expected floats, got ", x.scalar_type());
  const torch::NoGradGuard no_grad;
  x.div_(x.norm(2, {1}, true).clamp_min(eps));
}

// One step of gradient descent, in place, for a list of parameters.
void step_(const std::vector<tensor_t<writable>>& parameters,
           const std::vector<tensor_t<>>& gradients, double rate) {
  TORCH_CHECK_VALUE(parameters.size() == gradients.size(), "expected ", parameters.size(),
                    " gradients, got ", gradients.size());
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.size(); ++i) {
    torch::Tensor parameter = parameters[i];
    parameter.sub_(gradients[i], rate);
  }
}

// A row for each label, with a one at its place, of the dtype that is asked for.
result_t one_hot(const tensor_t<const int64_t, ndim<1>>& labels, int64_t classes,
                 py::handle dtype) {
  torch::Tensor result =
      torch::zeros({labels.size(0), classes}, torch::dtype(ndtorch::scalar_type(dtype)));
  return result_t(result.scatter_(1, labels.unsqueeze(1), 1));
}

// How many elements are in each of the bins between low and high, or the sum of their weights.
result_t histogram(const tensor_t<const float, ndim<1>>& x, int64_t bins, double low, double high,
                   const std::optional<tensor_t<const float, ndim<1>>>& weights) {
  TORCH_CHECK_VALUE(bins > 0 && low < high, "expected bins between low and high");
  TORCH_CHECK_VALUE(!weights || weights->size(0) == x.size(0),
                    "expected a weight for each element");
  torch::Tensor result = torch::zeros({bins}, torch::kFloat);
  const auto values = x.view();
  auto counts = result.accessor<float, 1>();
  const double width = (high - low) / static_cast<double>(bins);
  for (int64_t i = 0; i < x.size(0); ++i) {
    const auto bin = static_cast<int64_t>(std::floor((values[i] - low) / width));
    if (bin < 0 || bin >= bins) continue;
    counts[bin] += weights ? weights->view()[i] : 1.0F;
  }
  return result_t(result);
}

// Distances between the rows of x and of y, and for each row of x the nearest of y.
std::tuple<result_t, result_t> nearest(const tensor_t<ndim<2>>& x, const tensor_t<ndim<2>>& y) {
  const torch::Tensor distances = torch::cdist(x, y);
  return {result_t(distances), result_t(distances.argmin(1))};
}

// limit * tanh(x / limit), which keeps its result for the way back instead of x.
struct SoftClip : torch::autograd::Function<SoftClip> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, double limit) {
    torch::Tensor y = torch::tanh(x / limit);
    context->save_for_backward({y});
    return y * limit;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const torch::Tensor y = context->get_saved_variables()[0];
    return {gradients[0] * (1 - y * y), torch::Tensor()};
  }
};

result_t soft_clip(const tensor_t<>& x, double limit) {
  TORCH_CHECK_VALUE(limit > 0, "expected a positive limit, got ", limit);
  return result_t(SoftClip::apply(x, limit));
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("normalize_", &normalize_, py::arg("x"), py::arg("eps") = 1e-12);
  m.def("step_", &step_, py::arg("parameters"), py::arg("gradients"), py::arg("rate"));
  m.def("one_hot", &one_hot, py::arg("labels"), py::arg("classes"), py::arg("dtype") = "float32");
  m.def("histogram", &histogram, py::arg("x"), py::arg("bins"), py::arg("low") = 0.0,
        py::arg("high") = 1.0, py::arg("weights") = py::none());
  m.def("nearest", &nearest, py::arg("x"), py::arg("y"));
  m.def("soft_clip", &soft_clip, py::arg("x"), py::arg("limit") = 1.0);
  ndtorch::translate_errors(m);
  ndtorch::explain_mismatches(m);
}
