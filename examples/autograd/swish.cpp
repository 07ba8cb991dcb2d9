// A function with a gradient of its own, forward and backward, for torch.Tensor objects and for arrays.
//
// LibTorch's narrow headers are included: <torch/torch.h> would do as well, and take longer to compile.
#include <ATen/TensorOperators.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>
#include <torch/csrc/autograd/custom_function.h>

namespace py = pybind11;
using ndtorch::tensor_t;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// x * sigmoid(x). LibTorch's own operators would keep x and sigmoid(x) for the way back; this keeps x
// alone, and computes the other one anew.
struct swish_function : torch::autograd::Function<swish_function> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return x * x.sigmoid();
  }

  // One gradient for each of forward's arguments.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const at::Tensor sigmoid = x.sigmoid();
    return {gradients[0] * sigmoid * (x * (1 - sigmoid) + 1)};
  }
};

// A torch.Tensor keeps its graph: its gradient goes through backward() above. An array has none.
tensor_t<ndtorch::returns::torch> swish(const tensor_t<>& x) {
  TORCH_CHECK_TYPE(x.is_floating_point(), "expected floats, got ", x.scalar_type());
  return tensor_t<ndtorch::returns::torch>(swish_function::apply(x));
}

// The same for arrays: the slope at each element, as a new array, without Python's torch.
tensor_t<double> slope(const tensor_t<const double>& x) {
  const at::Tensor leaf = x.detach().requires_grad_();
  const py::gil_scoped_release without_gil;  // which backward() may wait for
  swish_function::apply(leaf).sum().backward();
  return tensor_t<double>(leaf.grad());
}

}  // namespace

PYBIND11_MODULE(swish, module) {
  module.doc() = "x * sigmoid(x), with a gradient of its own.";
  module.def("swish", &swish, py::arg("x"), "x * sigmoid(x): a torch.Tensor.");
  module.def("slope", &slope, py::arg("x"), "Its derivative at each element: a NumPy array.");
  ndtorch::translate_errors(module);
  ndtorch::explain_mismatches(module);
}
