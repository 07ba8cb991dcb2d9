// A C++ program that runs Python inside itself, and shares arrays with it in both directions.
#include <ATen/ops/arange.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/embed.h>
#include <pybind11/numpy.h>

namespace py = pybind11;

int main() {
  // First in, last out: everything below that holds an array or a dtype dies before Python does.
  const py::scoped_interpreter python;
  const py::module_ np = py::module_::import("numpy");

  py::print("NumPy to LibTorch, on the same memory");
  const py::array array = np.attr("arange")(6, py::arg("dtype") = "float32").attr("reshape")(2, 3);
  at::Tensor tensor = ndtorch::from_numpy(array);
  py::print("  the array                    ", array.attr("tolist")());
  tensor.mul_(10);
  py::print("  after C++ wrote: tensor *= 10", array.attr("tolist")());
  const py::object base = ndtorch::numpy(tensor).attr("base");
  py::print("  back in NumPy, its base is the array itself:", base.is(array));

  py::print("NumPy to LibTorch, a copy with a dtype of our choice");
  tensor = ndtorch::tensor(array, at::kLong);
  tensor.zero_();
  py::print("  the array, the copy zeroed   ", array.attr("tolist")());

  py::print("LibTorch to NumPy, on the same memory");
  tensor = at::arange(4, at::kDouble);
  const py::array exported = ndtorch::numpy(tensor);
  exported[py::int_(0)] = 42;
  py::print("  after Python wrote: a[0] = 42, C++ reads", tensor.select(0, 0).item<double>());
  tensor.reset();
  py::print("  without the tensor, the array stays     ", exported.attr("tolist")());
}
