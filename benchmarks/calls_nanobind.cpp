// The functions whose calls calls.py times, written with nanobind.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <utility>

namespace nb = nanobind;

namespace {

using vector = nb::ndarray<nb::numpy, float, nb::ndim<1>>;

float result[1000];

}  // namespace

NB_MODULE(calls_nanobind, module) {
  module.def("empty", [] {});
  module.def("take", [](const nb::ndarray<float>&) {});
  module.def("take_numpy", [](const nb::ndarray<nb::numpy, float>&) {});
  // The cheapest way to say that the memory lives on; ndtorch's counts a reference to it.
  module.def("give",
             [] { return vector(result, {1000}, nb::capsule(result, [](void*) noexcept {})); });
  module.def("pass", [](nb::ndarray<nb::numpy, float> array) { return array; });
}
