// error: ndtorch: no torch dtype for this C\+\+ type
#include <ndtorch/typed.h>

void take(const ndtorch::tensor_t<const long double>& x) { x.numel(); }
