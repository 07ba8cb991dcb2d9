// error: (assignment of read-only location|cannot assign to return value)
#include <ndtorch/typed.h>

void clear(const ndtorch::tensor_t<const float, ndtorch::ndim<2>>& x) { x.view()[0][0] = 0; }
