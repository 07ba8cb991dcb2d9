// error: ndtorch: typed access needs an element type, as in tensor_t<const float>
#include <ndtorch/typed.h>

auto first(const ndtorch::tensor_t<ndtorch::ndim<1>>& x) { return *x.begin(); }
