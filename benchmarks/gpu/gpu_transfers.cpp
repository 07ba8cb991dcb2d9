// Conversions to and from a device for benchmarks/gpu.py, as users get them and in pieces of other
// sizes.
#include <ATen/core/Tensor.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <ndtorch/ndtorch.h>

#include <cstdint>
#include <string>

namespace {

namespace py = pybind11;
namespace detail = ndtorch::detail;

// A tensor in Python's hands, which costs as much to pass as any object.
struct held {
  at::Tensor tensor;
};

std::int64_t elements_in(std::int64_t nbytes, const at::Tensor& tensor) {
  return nbytes / static_cast<std::int64_t>(tensor.element_size());
}

py::array receive_in_pieces(const held& source, std::int64_t nbytes) {
  at::Tensor result;
  {
    const py::gil_scoped_release without_gil;
    const at::Tensor& from = source.tensor;
    detail::pinned_buffers buffers(from.device(), nbytes);
    result = detail::new_cpu_tensor(from.sizes(), from.strides(), from.scalar_type(), false);
    detail::receive(from, result, from.scalar_type(), buffers, elements_in(nbytes, from));
  }
  return ndtorch::numpy(result);
}

held send_in_pieces(const py::object& array, at::Device device, std::int64_t nbytes) {
  const at::Tensor from = ndtorch::from_numpy(array);
  const py::gil_scoped_release without_gil;
  detail::pinned_buffers buffers(device, nbytes);
  const at::Tensor result =
      from.new_empty(from.sizes(), at::TensorOptions(from.scalar_type()).device(device));
  detail::transmit(from, result, from.scalar_type(), buffers, elements_in(nbytes, from));
  return {result};
}

}  // namespace

PYBIND11_MODULE(gpu_transfers, module) {
  const py::class_<held> held_class(module, "held", py::module_local());
  py::class_<at::Device>(module, "device", py::module_local()).def(py::init<const std::string&>());
  module.attr("large_export") = detail::large_export;
  module.attr("large_import") = detail::large_import;
  module.def("piece_of_transfer", &detail::piece_of_transfer);

  module.def("hold", [](const py::object& tensor) { return held{ndtorch::as_tensor(tensor)}; });
  module.def("to_numpy", [](const held& source) { return ndtorch::to_numpy(source.tensor); });
  module.def("to_numpy_async",
             [](const held& source) { return ndtorch::to_numpy_async(source.tensor).wait(); });
  module.def("tensor", [](const py::object& array, at::Device device) {
    return held{ndtorch::tensor(array, device)};
  });
  module.def("tensor_float", [](const py::object& array, at::Device device) {
    return held{ndtorch::tensor<float>(array, device)};
  });

  module.def("receive_in_pieces", &receive_in_pieces);
  module.def("receive_at_once",
             [](const held& source) { return ndtorch::numpy(source.tensor.cpu()); });
  module.def("send_in_pieces", &send_in_pieces);
  module.def("send_at_once", [](const py::object& array, at::Device device) {
    return held{ndtorch::from_numpy(array).to(device)};
  });
  module.def("synchronize", [](at::Device device) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    guard.synchronizeStream(guard.getStream(device));
  });
}
