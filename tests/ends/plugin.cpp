// A plug-in of a program's own, which isn't a Python module.
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>

extern "C" [[gnu::visibility("default")]] void convert(pybind11::handle array, at::Tensor* result) {
  *result = ndtorch::from_numpy(array);
}

extern "C" [[gnu::visibility("default")]] void give(const at::Tensor& tensor,
                                                    pybind11::object* result) {
  *result = ndtorch::numpy(tensor);
}
