// error: ndtorch: view\(\) needs the number of dimensions: add ndim<...> or shape<...>
#include <ndtorch/typed.h>

float first(const ndtorch::tensor_t<float>& x) { return x.view()[0]; }
