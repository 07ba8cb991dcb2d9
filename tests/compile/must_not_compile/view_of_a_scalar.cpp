// error: ndtorch: a 0-d tensor's element is \*t.data_ptr\(\)
#include <ndtorch/typed.h>

auto value(const ndtorch::tensor_t<const float, ndtorch::shape<>>& x) { return x.view(); }
