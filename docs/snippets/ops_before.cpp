// Operations of a training package, as an extension of torch.utils.cpp_extension.
#include <torch/extension.h>

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Scales each row to length 1, in place.
void normalize_(torch::Tensor x, double eps) {
  TORCH_CHECK(x.dim() == 2, "expected a matrix, got ", x.dim(), " dimensions");
  TORCH_CHECK(x.is_floating_point(), "expected floats, got ", x.scalar_type());
  const torch::NoGradGuard no_grad;
  x.div_(x.norm(2, {1}, true).clamp_min(eps));
}

// One step of gradient descent, in place, for a list of parameters.
void step_(const std::vector<torch::Tensor>& parameters,
           const std::vector<torch::Tensor>& gradients, double rate) {
  TORCH_CHECK_VALUE(parameters.size() == gradients.size(), "expected ", parameters.size(),
                    " gradients, got ", gradients.size());
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.size(); ++i) {
    torch::Tensor parameter = parameters[i];
    parameter.sub_(gradients[i], rate);
  }
}

// A row for each label, with a one at its place, of the dtype that is asked for.
torch::Tensor one_hot(const torch::Tensor& labels, int64_t classes, torch::ScalarType dtype) {
  TORCH_CHECK(labels.dim() == 1, "expected a row of labels, got ", labels.dim(), " dimensions");
  TORCH_CHECK(labels.scalar_type() == torch::kLong, "expected int64, got ", labels.scalar_type());
  torch::Tensor result = torch::zeros({labels.size(0), classes}, torch::dtype(dtype));
  return result.scatter_(1, labels.unsqueeze(1), 1);
}

// How many elements are in each of the bins between low and high, or the sum of their weights.
torch::Tensor histogram(const torch::Tensor& x, int64_t bins, double low, double high,
                        const std::optional<torch::Tensor>& weights) {
  TORCH_CHECK(x.dim() == 1, "expected a row of numbers, got ", x.dim(), " dimensions");
  TORCH_CHECK(x.scalar_type() == torch::kFloat, "expected float32, got ", x.scalar_type());
  TORCH_CHECK_VALUE(bins > 0 && low < high, "expected bins between low and high");
  TORCH_CHECK_VALUE(!weights || weights->size(0) == x.size(0),
                    "expected a weight for each element");
  torch::Tensor result = torch::zeros({bins}, torch::kFloat);
  const auto values = x.accessor<float, 1>();
  auto counts = result.accessor<float, 1>();
  const double width = (high - low) / static_cast<double>(bins);
  for (int64_t i = 0; i < x.size(0); ++i) {
    const auto bin = static_cast<int64_t>(std::floor((values[i] - low) / width));
    if (bin < 0 || bin >= bins) continue;
    counts[bin] += weights ? (*weights)[i].item<float>() : 1.0F;
  }
  return result;
}

// Distances between the rows of x and of y, and for each row of x the nearest of y.
std::tuple<torch::Tensor, torch::Tensor> nearest(const torch::Tensor& x, const torch::Tensor& y) {
  TORCH_CHECK(x.dim() == 2 && y.dim() == 2, "expected two matrices");
  const torch::Tensor distances = torch::cdist(x, y);
  return {distances, distances.argmin(1)};
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

torch::Tensor soft_clip(const torch::Tensor& x, double limit) {
  TORCH_CHECK_VALUE(limit > 0, "expected a positive limit, got ", limit);
  return SoftClip::apply(x, limit);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("normalize_", &normalize_, py::arg("x"), py::arg("eps") = 1e-12);
  m.def("step_", &step_, py::arg("parameters"), py::arg("gradients"), py::arg("rate"));
  m.def("one_hot", &one_hot, py::arg("labels"), py::arg("classes"),
        py::arg("dtype") = torch::kFloat);
  m.def("histogram", &histogram, py::arg("x"), py::arg("bins"), py::arg("low") = 0.0,
        py::arg("high") = 1.0, py::arg("weights") = py::none());
  m.def("nearest", &nearest, py::arg("x"), py::arg("y"));
  m.def("soft_clip", &soft_clip, py::arg("x"), py::arg("limit") = 1.0);
}
