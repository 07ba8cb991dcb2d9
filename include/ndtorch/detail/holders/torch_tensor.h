// torch.Tensor objects: with libtorch_python the tensor that they are, else one on the same memory.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/dlpack_object.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#if defined(NDTORCH_TORCH_PYTHON)  // set by the CMake target ndtorch::torch_python
#include <torch/csrc/autograd/python_variable.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// An object can't be of a type whose module nobody has imported.
inline bool is_torch_tensor(py::handle object) {
  const auto name = py::str("torch");
  const auto torch = py::reinterpret_steal<py::object>(PyImport_GetModule(name.ptr()));
  if (!torch) {
    if (PyErr_Occurred() != nullptr) throw_python_error();
    return false;
  }
  // A module that is being imported just now may have no Tensor yet.
  const py::object type = py::getattr(torch, "Tensor", py::none());
  // By its real type: an object that merely claims another one has none of its memory.
  return PyType_Check(type.ptr()) != 0 &&
         PyObject_TypeCheck(object.ptr(), reinterpret_cast<PyTypeObject*>(type.ptr())) != 0;
}

[[noreturn]] inline void throw_torch_dtype(const std::string& name, bool is_quantized) {
  throw py::type_error(c10::str("Got unsupported ScalarType ", name,
                                ". The only supported types are: ", supported_dtypes(), ". ",
                                is_quantized
                                    ? "Call tensor.dequantize() or tensor.int_repr() first."
                                    : "Read its bytes, with tensor.view(torch.uint8)."));
}

#if defined(NDTORCH_TORCH_PYTHON)

// Integers of less than a byte: nothing but a view can be had of them, and others take them for whole
// bytes.
inline void check_torch_dtype(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  if (find_dtype(type) != nullptr) return;
  const std::string name = c10::toString(type);
  if (name.rfind("Int", 0) == 0 || name.rfind("UInt", 0) == 0) throw_torch_dtype(name, false);
}

// The caller's own tensor.
inline at::Tensor share_torch_tensor(py::handle object) {
  const at::Tensor& tensor = THPVariable_Unpack(object.ptr());
  check_torch_dtype(tensor);
  return tensor;
}

#else

// What DLPack would lose without a word, or say in its own.
inline void check_torch_tensor(py::handle object) {
  if (object.attr("is_nested").cast<bool>()) {
    throw py::type_error(
        "can't share the memory of a nested tensor. Use Tensor.to_padded_tensor(0) or "
        "Tensor.unbind() first.");
  }
  if (c10::GradMode::is_enabled() && object.attr("requires_grad").cast<bool>()) {
    throw std::runtime_error(
        "can't take a tensor that requires grad: no gradient would come back to it. Pass "
        "tensor.detach(). (Extensions that link ndtorch::torch_python take it as it is.)");
  }
  const py::object torch = py::module_::import("torch");
  if (!object.attr("layout").is(torch.attr("strided"))) {
    throw py::type_error(c10::str("can't share the memory of a tensor of layout ",
                                  utf8(py::str(object.attr("layout"))),
                                  ". Use Tensor.to_dense() first."));
  }
  if (!object.attr("__torch_dispatch__")
           .is(torch.attr("_C").attr("_disabled_torch_dispatch_impl"))) {
    throw py::type_error(
        "can't share the memory of a subclass with __torch_dispatch__, which needn't be what it "
        "means. "
        "Pass the plain tensor inside.");
  }
  if (object.attr("is_conj")().cast<bool>()) {
    throw std::runtime_error(
        "can't take a tensor that has the conjugate bit set, whose memory isn't what it means. "
        "Pass "
        "tensor.resolve_conj().");
  }
  if (object.attr("is_neg")().cast<bool>()) {
    throw std::runtime_error(
        "can't take a tensor that has the negative bit set, whose memory isn't what it means. Pass "
        "tensor.resolve_neg().");
  }
}

// Throws type_error for a dtype outside the table: the table's names are PyTorch's too.
inline void check_torch_dtype(py::handle object) {
  const std::string name = utf8(py::str(object.attr("dtype")));
  if (find_torch_dtype(name) != nullptr) return;
  throw_torch_dtype(name, name.rfind("torch.q", 0) == 0);
}

// Asked where DLPack refused, whose words nobody expects who passed a tensor.
inline void check_torch_memory(py::handle object) {
  check_torch_dtype(object);
  if (object.attr("is_meta").cast<bool>()) {
    throw py::type_error(
        "can't share the memory of a meta tensor, which has none. Make one with data first, for "
        "example with torch.empty_like(tensor, device='cpu').");
  }
  if (py::module_::import("torch").attr("_is_zerotensor")(object).cast<bool>()) {
    throw std::runtime_error(
        "can't share the memory of a ZeroTensor, which has none. Use Tensor.clone() first.");
  }
  const auto dimensions = object.attr("dim")().cast<std::size_t>();
  if (dimensions > max_ndim) {
    throw py::value_error(c10::str("number of dimensions must be within [0, ", max_ndim, "]. Got ",
                                   dimensions,
                                   ". Merge some with Tensor.flatten() or Tensor.reshape()."));
  }
}

// Does for a torch.Tensor what check_storage(tensor) does. The DLPack structure doesn't say how large
// the storage is, so Python is asked. (UntypedStorage.data_ptr() isn't: it counts as a first write.)
inline void check_storage(py::handle object, const DLTensor& described) {
  strided_view view;
  const dtype_entry* const entry = find_dtype(described.dtype);
  if (entry == nullptr || described.ndim > static_cast<std::int32_t>(max_ndim)) return;  // refused
  view.ndim = static_cast<std::size_t>(described.ndim);
  if (set_shape(view, described.shape, described.strides, entry->item_size, entry->item_size) !=
          refusal::none ||
      view.nbytes == 0) {
    return;
  }
  const py::object storage = object.attr("untyped_storage")();
  const auto nbytes = storage.attr("nbytes")().cast<std::uint64_t>();
  const std::uint64_t offset = object.attr("storage_offset")().cast<std::uint64_t>() *
                               static_cast<std::uint64_t>(entry->item_size);
  const bool has_none = reinterpret_cast<std::uintptr_t>(described.data) == offset;
  if (offset + view.nbytes <= nbytes) {
    if (has_none) throw_refused(described, "its data pointer is null.");  // of a ZeroTensor
    return;
  }
  const std::string what =
      c10::str("a torch.Tensor of shape ", tuple_text(described.shape, view.ndim));
  throw std::runtime_error(lost_memory_text(what, offset + view.nbytes, nbytes,
                                            storage.attr("resizable")().cast<bool>()));
}

// Python's overrides of PyTorch's functions, which __torch_function__ and modes are, are off as long as one
// lives: what is asked of a tensor here is no business of theirs.
class no_overrides {
 public:
  no_overrides() : guard_(py::module_::import("torch._C").attr("DisableTorchFunction")()) {
    guard_.attr("__enter__")();
  }
  no_overrides(const no_overrides&) = delete;
  no_overrides& operator=(const no_overrides&) = delete;
  ~no_overrides() {
    const py::error_scope pending;
    try {
      guard_.attr("__exit__")(py::none(), py::none(), py::none());
    } catch (const py::error_already_set&) {  // NOLINT(bugprone-empty-catch)
    }
  }

 private:
  py::object guard_;
};

// A tensor on the memory of a torch.Tensor, whose work is on the stream that is current here too.
inline at::Tensor share_torch_memory(py::handle object) {
  auto structure = [&] {
    const own_work unseen;  // PyTorch calls an operator (as_strided) for an axis of size 1
    return structure_of(object);
  }();
  if (structure == nullptr) return call_dlpack(object);
  check_storage(object, structure->dl_tensor);
  const dlpack_memory memory = read_managed(*structure);
  return share_dlpack(std::move(structure), memory);
}

inline at::Tensor share_torch_tensor(py::handle object) {
  const no_overrides guard;
  check_torch_tensor(object);
  at::Tensor tensor;
  try {
    tensor = share_torch_memory(object);
  } catch (const std::exception&) {
    check_torch_memory(object);
    throw;
  }
  // PyTorch 2.13 has DLPack's names of uint8 and int8 for uint4, int3 and their like.
  if (tensor.scalar_type() == at::kByte || tensor.scalar_type() == at::kChar) {
    check_torch_dtype(object);
  }
  return tensor;
}

#endif

inline constexpr protocol torch_tensor_protocol = {"shares the memory of the torch.Tensor",
                                                   &is_torch_tensor,
                                                   /*array_of=*/nullptr,
                                                   &share_torch_tensor,
                                                   /*look_into=*/nullptr,
                                                   /*may_copy=*/false};

}  // namespace detail
}  // namespace ndtorch
