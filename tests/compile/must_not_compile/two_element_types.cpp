// error: ndtorch: contradictory constraints: a tensor has one element type
#include <ndtorch/typed.h>

void take(const ndtorch::tensor_t<float, ndtorch::c_contig, const double>& x) { x.numel(); }
