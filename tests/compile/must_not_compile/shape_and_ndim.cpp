// error: ndtorch: contradictory constraints: give either shape<...> or ndim<...>, once
#include <ndtorch/typed.h>

void take(const ndtorch::tensor_t<ndtorch::shape<-1, 3>, float, ndtorch::ndim<2>>& x) { x.numel(); }
