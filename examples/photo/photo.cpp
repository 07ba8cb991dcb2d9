// A Python extension that works on photographs: NumPy arrays outside, LibTorch tensors inside.
//
// The first half is plain LibTorch and knows nothing of Python. The second half lets arrays in and
// out. LibTorch's narrow headers are included, not <ATen/ATen.h> or <torch/torch.h>: those would
// take several times as long to compile.
#include <ATen/ops/arange.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/hypot.h>
#include <ATen/ops/replication_pad2d.h>
#include <ATen/ops/tensor.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "guide.h"

namespace py = pybind11;

namespace {

// Nothing casts by itself: bytes become floats, and floats bytes, where these two are called.
at::Tensor to_float(const at::Tensor& bytes) { return bytes.to(at::kFloat); }
at::Tensor to_bytes(const at::Tensor& floats) {
  return floats.round().clamp(0, 255).to(at::kByte).contiguous();
}

// The brightness of each pixel as the eye sees it (ITU-R BT.601): rows x columns.
at::Tensor brightness(const at::Tensor& pixels) {
  return to_float(pixels).matmul(at::tensor({0.299F, 0.587F, 0.114F}));
}

// The outermost pixels are repeated outwards, so that the borders don't darken.
at::Tensor gaussian_blur(const at::Tensor& pixels, std::int64_t radius) {
  const double sigma = radius > 0 ? static_cast<double>(radius) / 2 : 1;
  at::Tensor kernel =
      at::arange(-radius, radius + 1, at::kFloat).div(sigma).square().mul(-0.5).exp();
  kernel = kernel.div(kernel.sum());

  at::Tensor planes = to_float(pixels).permute({2, 0, 1}).unsqueeze(1);  // 3 x 1 x rows x columns
  planes = at::replication_pad2d(planes, {radius, radius, radius, radius});
  planes = at::conv2d(planes, kernel.view({1, 1, 1, -1}));
  planes = at::conv2d(planes, kernel.view({1, 1, -1, 1}));
  return planes.squeeze(1).permute({1, 2, 0});
}

// How steeply the brightness changes (Sobel): rows x columns.
at::Tensor steepness(const at::Tensor& pixels) {
  const at::Tensor across =
      at::tensor({-1.F, 0.F, 1.F, -2.F, 0.F, 2.F, -1.F, 0.F, 1.F}).view({1, 1, 3, 3});
  const at::Tensor down = across.transpose(2, 3);
  const at::Tensor plane = at::replication_pad2d(brightness(pixels).unsqueeze(0), {1, 1, 1, 1});
  return at::hypot(at::conv2d(plane, across), at::conv2d(plane, down)).squeeze(0);
}

// The photo's pixels, on the array's own memory.
at::Tensor pixels_of(const py::array& photo,
                     ndtorch::on_read_only policy = ndtorch::on_read_only::copy_on_write) {
  at::Tensor pixels = ndtorch::from_numpy<std::uint8_t>(photo, policy);
  if (pixels.dim() != 3 || pixels.size(2) != 3 || pixels.numel() == 0) {
    throw py::value_error("expected a photo of shape (rows, columns, 3), got shape " +
                          std::string(py::str(photo.attr("shape"))));
  }
  return pixels;
}

// Runs `step` on the photo's pixels; other Python threads go on meanwhile.
template <class Step>
py::array develop(const py::array& photo, const Step& step) {
  const at::Tensor pixels = pixels_of(photo);
  const at::Tensor result = [&] {
    const py::gil_scoped_release no_python_from_here;
    return to_bytes(step(pixels));
  }();
  return ndtorch::numpy(result);
}

py::array grayscale(const py::array& photo) { return develop(photo, brightness); }

py::array blur(const py::array& photo, std::int64_t radius) {
  if (radius < 0) {
    throw py::value_error("radius must not be negative, got " + std::to_string(radius));
  }
  return develop(photo,
                 [radius](const at::Tensor& pixels) { return gaussian_blur(pixels, radius); });
}

py::array edges(const py::array& photo) { return develop(photo, steepness); }

void invert(const py::array& photo) {
  // A write into a read-only array would go to a private copy and be lost, so ask for an error.
  at::Tensor pixels = pixels_of(photo, ndtorch::on_read_only::error);
  const py::gil_scoped_release no_python_from_here;
  pixels.bitwise_not_();
}

}  // namespace

PYBIND11_MODULE(photo, module) {
  module.doc() = "Works on photographs: uint8 arrays of shape (rows, columns, 3).";

  module.def("grayscale", &grayscale, py::arg("photo"),
             "The photo in shades of gray: a new uint8 array of shape (rows, columns).");
  module.def("blur", &blur, py::arg("photo"), py::arg("radius") = 8,
             "The photo out of focus by `radius` pixels: a new array of the photo's shape.");
  module.def("edges", &edges, py::arg("photo"),
             "The photo's outlines, white on black: a new uint8 array of shape (rows, columns).");
  module.def("invert", &invert, py::arg("photo"),
             "Turns the photo into its negative, in place. Raises ValueError if it is read-only.");

  py::module_ guide = module.def_submodule("guide", "Each conversion of ndtorch, for demo.py.");
  define_guide(guide);

  ndtorch::translate_errors(module);    // LibTorch's errors, as Python's torch raises them
  ndtorch::explain_mismatches(module);  // the last line: of the submodule's functions too
}
