// error: deleted (member )?function .*view
#include <ndtorch/typed.h>

ndtorch::tensor_t<float, ndtorch::ndim<1>> make();

// The view refers to the tensor's sizes, which are gone with it.
auto view() { return make().view(); }
