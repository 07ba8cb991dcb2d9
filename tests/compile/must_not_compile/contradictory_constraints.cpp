// error: ndtorch: contradictory constraints: a tensor has one element type
// error: ndtorch: contradictory constraints: give either shape<...> or ndim<...>, once
// error: ndtorch: contradictory constraints: give one of c_contig, f_contig and any_contig
// error: ndtorch: contradictory constraints: a tensor is on one device
// error: ndtorch: contradictory constraints: give either exact_dtype or any_cast, once
// error: ndtorch: exact_dtype and any_cast need an element type
// error: ndtorch: contradictory constraints: give one of returns::numpy, torch and dlpack
// error: ndtorch: a size in shape<...> is -1 \(any\) or the size
// error: ndtorch: NumPy has at most 64 dimensions
#include <ndtorch/typed.h>

#include <cstdint>

using ndtorch::c_contig, ndtorch::f_contig, ndtorch::ndim, ndtorch::shape, ndtorch::tensor_t;
namespace device = ndtorch::device;

std::int64_t elements(const tensor_t<float, c_contig, const double>& x) { return x.numel(); }
std::int64_t sizes(const tensor_t<shape<-1, 3>, float, ndim<2>>& x) { return x.numel(); }
std::int64_t orders(const tensor_t<c_contig, f_contig>& x) { return x.numel(); }
std::int64_t devices(const tensor_t<device::cpu, device::cuda>& x) { return x.numel(); }
std::int64_t casts(const tensor_t<const float, ndtorch::exact_dtype, ndtorch::any_cast>& x) {
  return x.numel();
}
std::int64_t no_element(const tensor_t<ndtorch::exact_dtype>& x) { return x.numel(); }
std::int64_t results(const tensor_t<ndtorch::returns::torch, ndtorch::returns::dlpack>& x) {
  return x.numel();
}
std::int64_t negative(const tensor_t<shape<3, -2>>& x) { return x.numel(); }
std::int64_t deep(const tensor_t<ndim<65>>& x) { return x.numel(); }
