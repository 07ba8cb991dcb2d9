// error: ndtorch: contradictory constraints: give either c_contig or f_contig, once
#include <ndtorch/typed.h>

void take(const ndtorch::tensor_t<ndtorch::c_contig, ndtorch::f_contig>& x) { x.numel(); }
