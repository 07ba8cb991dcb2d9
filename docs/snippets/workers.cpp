// The functions of docs/processes.md, which threads and worker processes call.
#include <ATen/Parallel.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::tensor_t;

namespace {

// Reads its argument where it is. Other Python threads run meanwhile: the arguments are converted with
// the GIL, then the call guard gives it up, and takes it again for the result.
double norm(const tensor_t<const double>& x) { return x.square().sum().sqrt().item<double>(); }

// The largest singular value, for each matrix of a batch.
tensor_t<double, ndim<1>> spread(const tensor_t<const double, ndim<3>>& matrices) {
  return tensor_t<double, ndim<1>>(at::linalg_svdvals(matrices).amax(1));
}

}  // namespace

PYBIND11_MODULE(workers, module) {
  module.def("norm", &norm, py::arg("x"), py::call_guard<py::gil_scoped_release>());
  module.def("spread", &spread, py::arg("matrices"), py::call_guard<py::gil_scoped_release>());

  // LibTorch's own pool of threads, of which each process has one.
  module.def("set_num_threads", &at::set_num_threads, py::arg("count"));
  module.def("get_num_threads", &at::get_num_threads);

  ndtorch::translate_errors(module);
  ndtorch::explain_mismatches(module);
}
