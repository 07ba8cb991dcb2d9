// error: ndtorch: contradictory constraints: a tensor is on one device
#include <ndtorch/typed.h>

void take(const ndtorch::tensor_t<ndtorch::device::cpu, ndtorch::device::cuda>& x) { x.numel(); }
