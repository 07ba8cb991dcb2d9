// error: .*isinstance.*ambiguous
#include <ndtorch/typed.h>

// Where pybind11 can't be told what a tensor_t is, its own answer would always be no.
bool is_image(pybind11::handle object) {
  return pybind11::isinstance<ndtorch::tensor_t<const float, ndtorch::ndim<2>>>(object);
}
