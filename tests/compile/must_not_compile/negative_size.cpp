// error: ndtorch: a size in shape<...> is -1 \(any\) or the size
#include <ndtorch/typed.h>

void take(const ndtorch::tensor_t<ndtorch::shape<3, -2>>& x) { x.numel(); }
