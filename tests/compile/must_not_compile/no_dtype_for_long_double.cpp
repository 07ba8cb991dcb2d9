// error: ndtorch: no torch dtype for this C\+\+ type
#include <ndtorch/from_numpy.h>

at::Tensor convert(pybind11::handle array) { return ndtorch::from_numpy<long double>(array); }
