// tensor_t's type, without running anything: compiles only if constraints mean the same in any
// order, and if a signature is what a type checker is to read.
#include <c10/util/complex.h>
#include <ndtorch/typed.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

using ndtorch::c_contig;
using ndtorch::f_contig;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;
using ndtorch::detail::axis_order;
using ndtorch::detail::requirements;
namespace device = ndtorch::device;

template <class T>
constexpr requirements of = T::constraints;

constexpr bool same(const requirements& a, const requirements& b) {
  for (std::size_t i = 0; i < a.sizes.size(); ++i) {
    if (a.sizes[i] != b.sizes[i]) return false;
  }
  return a.dtype == b.dtype && a.writes == b.writes && a.ndim == b.ndim &&
         a.has_sizes == b.has_sizes && a.order == b.order && a.has_device == b.has_device &&
         a.device == b.device;
}

// Nothing is asked for where nothing is said.
constexpr requirements none = of<tensor_t<>>;
static_assert(!none.has_dtype() && !none.writes && !none.has_sizes && !none.has_device);
static_assert(none.ndim == ndtorch::detail::any_ndim && none.order == axis_order::kept);
static_assert(std::is_void_v<tensor_t<>::element_type>);

// Each constraint says its own thing.
static_assert(of<tensor_t<float>>.dtype == at::kFloat && of<tensor_t<float>>.writes);
static_assert(of<tensor_t<const float>>.dtype == at::kFloat && !of<tensor_t<const float>>.writes);
static_assert(of<tensor_t<const c10::complex<double>>>.dtype == at::kComplexDouble);
static_assert(std::is_same_v<tensor_t<ndim<1>, const bool>::element_type, const bool>);
static_assert(of<tensor_t<ndim<0>>>.ndim == 0 && !of<tensor_t<ndim<0>>>.has_sizes);
static_assert(of<tensor_t<shape<>>>.ndim == 0 && of<tensor_t<shape<>>>.has_sizes);
static_assert(of<tensor_t<shape<-1, 3>>>.ndim == 2);
static_assert(of<tensor_t<shape<-1, 3>>>.sizes[0] == -1 &&
              of<tensor_t<shape<-1, 3>>>.sizes[1] == 3);
static_assert(of<tensor_t<c_contig>>.order == axis_order::c);
static_assert(of<tensor_t<f_contig>>.order == axis_order::f);
static_assert(of<tensor_t<device::cuda>>.device == at::kCUDA);
static_assert(of<tensor_t<device::of<at::kXPU>>>.device == at::kXPU);
static_assert(of<tensor_t<device::cpu>>.has_device && of<tensor_t<device::cpu>>.device == at::kCPU);

// Their order says nothing.
constexpr requirements all = of<tensor_t<const double, shape<2, -1>, c_contig, device::cuda>>;
static_assert(same(all, of<tensor_t<device::cuda, c_contig, shape<2, -1>, const double>>));
static_assert(same(all, of<tensor_t<shape<2, -1>, const double, device::cuda, c_contig>>));
static_assert(!same(all, of<tensor_t<shape<2, 3>, const double, device::cuda, c_contig>>));

// What can fail has to be written out; what can't need not be.
static_assert(!std::is_convertible_v<at::Tensor, tensor_t<>>);
static_assert(std::is_constructible_v<tensor_t<float>, at::Tensor>);
static_assert(!std::is_convertible_v<tensor_t<float>, tensor_t<double>>);
static_assert(std::is_convertible_v<tensor_t<float>, at::Tensor>);
static_assert(std::is_nothrow_move_constructible_v<tensor_t<float>>);
static_assert(sizeof(tensor_t<float, ndim<2>>) == sizeof(at::Tensor));

// Signatures. pybind11 replaces "@a@b@" by a in an argument and by b in a result.
template <class T>
constexpr std::string_view text() {
  constexpr auto& name = pybind11::detail::make_caster<T>::name;
  return {name.text, sizeof(name.text) - 1};
}

static_assert(text<tensor_t<>>() == "@numpy.typing.ArrayLike@numpy.typing.NDArray[typing.Any]@");
static_assert(text<tensor_t<const float>>() ==
              "@typing.Annotated[numpy.typing.ArrayLike, numpy.float32]"
              "@typing.Annotated[numpy.typing.NDArray[numpy.float32], \"read-only\"]@");
static_assert(text<tensor_t<float>>() ==
              "typing.Annotated[numpy.typing.NDArray[numpy.float32], \"flags.writeable\"]");
static_assert(text<tensor_t<shape<-1, 3, -1, 0>>>() ==
              "@typing.Annotated[numpy.typing.ArrayLike, typing.Any, \"[m, 3, p, 0]\"]"
              "@typing.Annotated[numpy.typing.NDArray[typing.Any], \"[m, 3, p, 0]\"]@");
static_assert(text<tensor_t<double, ndim<2>, f_contig>>() ==
              "typing.Annotated[numpy.typing.NDArray[numpy.float64], \"[m, n]\", "
              "\"flags.writeable\", \"flags.f_contiguous\"]");
static_assert(text<tensor_t<std::int64_t, shape<>, c_contig, device::cpu>>() ==
              "typing.Annotated[numpy.typing.NDArray[numpy.int64], \"[]\", \"device=cpu\", "
              "\"flags.writeable\", \"flags.c_contiguous\"]");
static_assert(text<tensor_t<bool, ndim<12>>>() ==
              "typing.Annotated[numpy.typing.NDArray[numpy.bool], \"[m, n, p, q, r, s, t, u, v, "
              "w, d10, d11]\", \"flags.writeable\"]");
static_assert(text<tensor_t<c10::BFloat16>>() ==
              "typing.Annotated[numpy.typing.NDArray[typing.Any], \"dtype=bfloat16\", "
              "\"flags.writeable\"]");
static_assert(text<tensor_t<const float, ndim<1>, device::cuda>>() ==
              "typing.Annotated[typing.Any, numpy.float32, \"[m]\", \"device=cuda\"]");
static_assert(text<tensor_t<ndtorch::writable, ndtorch::any_contig>>() ==
              "typing.Annotated[numpy.typing.NDArray[typing.Any], \"flags.writeable\", "
              "\"flags.forc\"]");
static_assert(text<tensor_t<float, ndtorch::returns::torch>>() ==
              "@typing.Annotated[numpy.typing.NDArray[numpy.float32], \"flags.writeable\"]"
              "@torch.Tensor@");
