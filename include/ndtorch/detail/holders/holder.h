// Python objects other than arrays that hold memory: torch.Tensor objects, anything with
// __dlpack__, __cuda_array_interface__ or the buffer protocol, and DLPack's capsules themselves.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/GradMode.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(NDTORCH_TORCH_PYTHON)  // set by the CMake target ndtorch::torch_python
#include <torch/csrc/autograd/python_variable.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

enum class holder_kind { none, torch_tensor, dlpack, capsule, cuda_array, buffer, array_like };

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

// Whether a type's property says that this object has no such attribute, as of memory that is no GPU's.
inline bool denies_attribute(py::handle object, const char* name) {
  const auto found = py::reinterpret_steal<py::object>(PyObject_GetAttrString(object.ptr(), name));
  if (found) return false;
  const bool denied = PyErr_ExceptionMatches(PyExc_AttributeError) != 0;
  clear_error();
  return denied;
}

// In the order of what each way can say: DLPack knows of read-only memory, devices and streams.
inline holder_kind find_holder(py::handle object) {
  if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr())) return holder_kind::none;
  if (PyCapsule_CheckExact(object.ptr())) return holder_kind::capsule;
  const py::handle type = py::type::handle_of(object);
  if (has_attribute(type, "__dlpack__")) {
    return is_torch_tensor(object) ? holder_kind::torch_tensor : holder_kind::dlpack;
  }
  if (has_attribute(type, "__cuda_array_interface__") &&
      !denies_attribute(object, "__cuda_array_interface__")) {
    return holder_kind::cuda_array;
  }
  if (PyObject_CheckBuffer(object.ptr()) != 0) return holder_kind::buffer;
  const bool may_be_proxy = PySequence_Check(object.ptr()) == 0 && PyType_Check(object.ptr()) == 0;
  for (const char* name : {"__array_struct__", "__array_interface__", "__array__"}) {
    if (has_attribute(type, name)) return holder_kind::array_like;
    // NumPy asks the object itself, as a proxy may answer for another one. Not a sequence, which can be
    // read without it, nor a class, which has what its objects have.
    if (may_be_proxy && has_attribute(object, name)) return holder_kind::array_like;
  }
  return holder_kind::none;
}

// What NumPy makes an array of.
inline bool is_read_by_numpy(holder_kind kind) {
  return kind == holder_kind::buffer || kind == holder_kind::array_like;
}

// Whether a buffer's elements are C's char, as those of a ctypes array of c_char are, and single items of
// bytes to Python. (NumPy's own text of length 1 is `1s`.)
inline bool holds_chars(const Py_buffer& buffer) {
  if (buffer.format == nullptr || buffer.itemsize != 1 || buffer.suboffsets != nullptr)
    return false;
  const std::size_t order = std::strspn(buffer.format, "@=<>!");
  return std::strcmp(buffer.format + order, "c") == 0;
}

// The memory of a buffer as an array, whose own description of it NumPy works out: the format
// string, byte order, strides and whether it may be written. Chars are read as bytes are.
inline py::object buffer_array(py::handle object) {
  const auto memory = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(object.ptr()));
  if (!memory) throw_python_error();
  if (const Py_buffer& buffer = *PyMemoryView_GET_BUFFER(memory.ptr()); holds_chars(buffer)) {
    const auto ndim = static_cast<std::size_t>(buffer.ndim);
    return make_array(buffer.buf, buffer.readonly == 0,
                      {reinterpret_cast<const std::int64_t*>(buffer.shape), ndim},
                      {reinterpret_cast<const std::int64_t*>(buffer.strides), ndim},
                      new_descr(at::kByte), memory);
  }
  try {
    return py::module_::import("numpy").attr("asarray")(memory);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError) && !error.matches(PyExc_RuntimeError)) throw;
    throw py::type_error(c10::str("can't convert the buffer of a ", type_name(object),
                                  " of format ", utf8(py::repr(memory.attr("format"))),
                                  " and shape ", utf8(py::repr(memory.attr("shape"))), ". ",
                                  error_text(error)));
  }
}

// pandas makes objects of columns of several dtypes, and of numbers that may be missing, also where none
// is.
inline void check_table(py::handle object, py::handle array) {
  if (!api().is_array(array)) return;
  const array_descr* const dtype = reinterpret_cast<const array_object*>(array.ptr())->descr;
  if (dtype->kind != 'O' || !has_attribute(py::type::handle_of(object), "to_numpy")) return;
  throw py::type_error(c10::str(
      "can't convert a ", type_name(object), ", of which np.asarray() makes an array of dtype ",
      dtype_text(dtype), ". The only supported types are: ", supported_dtypes(),
      ". Convert it to one of these first, in pandas with "
      "data.to_numpy(dtype='float32', na_value=np.nan)."));
}

// Whether __array_interface__ has a mask that masks something. NumPy doesn't look at it.
inline bool has_masked_interface(py::handle object) {
  const auto found = py::reinterpret_steal<py::object>(
      PyObject_GetAttrString(object.ptr(), "__array_interface__"));
  if (!found) clear_error();
  if (!found || !py::isinstance<py::dict>(found)) return false;
  const auto interface = py::reinterpret_borrow<py::dict>(found);
  if (!interface.contains("mask") || interface["mask"].is_none()) return false;
  return py::module_::import("numpy").attr("any")(interface["mask"]).cast<bool>();
}

// A buffer's memory, or what NumPy makes of an object that can be an array, such as a table of pandas:
// its memory or a copy, which only the object knows. Where that is a masked array it stays one, for
// whoever reads it to refuse.
inline py::object array_of(py::handle object, holder_kind kind) {
  if (kind == holder_kind::buffer) return buffer_array(object);
  if (is_masked(object)) throw_masked("a " + type_name(object));
  if (has_masked_interface(object)) {
    throw py::type_error(c10::str("can't convert the __array_interface__ of a ", type_name(object),
                                  ": its mask would be lost. Fill the masked values first, and "
                                  "leave the mask out."));
  }
  py::object array = py::module_::import("numpy").attr("asanyarray")(object);
  check_table(object, array);
  return array;
}

inline std::vector<std::int64_t> read_ints(py::handle sequence) {
  std::vector<std::int64_t> ints;
  for (const py::handle item : py::tuple(py::reinterpret_borrow<py::object>(sequence))) {
    const long long value = PyLong_AsLongLong(item.ptr());
    if (value == -1 && PyErr_Occurred() != nullptr) throw_python_error();
    ints.push_back(value);
  }
  return ints;
}

// What `__cuda_array_interface__` (version 3) says of memory; the device's index is not among it.
inline strided_view read_cuda_array(const py::dict& interface) {
  const auto refuse = [&](const char* reason) {
    throw py::value_error(c10::str("can't share this __cuda_array_interface__: ", reason, " Got ",
                                   utf8(py::repr(interface)), "."));
  };
  for (const char* key : {"shape", "typestr", "data"}) {
    if (!interface.contains(key)) refuse("it lacks one of shape, typestr and data.");
  }
  if (interface.contains("mask") && !interface["mask"].is_none()) {
    refuse("its mask would be lost. Fill the masked values first.");
  }
  const py::object typestr = interface["typestr"];
  if (!py::isinstance<py::str>(typestr)) refuse("typestr must be a string.");  // None is float64
  array_descr* descr = nullptr;
  if (api().descr_converter(typestr.ptr(), &descr) == 0) {
    throw_python_error();
  }
  const auto dtype = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(descr));
  const dtype_entry* entry = find_dtype(descr);
  if (entry == nullptr) throw_unsupported_dtype(descr, "dtype " + dtype_text(descr));
  if (descr->byteorder == foreign_byte_order) refuse("its byte order is not the native one.");

  strided_view view;
  view.dtype = entry->scalar_type;
  view.device = at::kCUDA;
  const py::tuple data = pair_in(interface["data"]);
  if (data.size() != 2) refuse("data must be (pointer, read-only flag).");
  view.data = PyLong_AsVoidPtr(py::object(data[0]).ptr());
  if (view.data == nullptr && PyErr_Occurred() != nullptr) throw_python_error();
  const int read_only = PyObject_IsTrue(py::object(data[1]).ptr());
  if (read_only < 0) throw_python_error();
  view.writable = read_only == 0;

  const auto shape = read_ints(interface["shape"]);
  if (shape.size() > max_ndim) refuse("it has more than 64 dimensions.");
  view.ndim = shape.size();
  auto count = static_cast<std::uint64_t>(entry->item_size);
  for (std::size_t i = 0; i < view.ndim; ++i) {
    if (shape[i] < 0) refuse("a size is negative.");
    view.size_of[i] = shape[i];
    const auto size = static_cast<std::uint64_t>(shape[i] > 0 ? shape[i] : 1);
    if (__builtin_mul_overflow(count, size, &count) || count > INT64_MAX) {
      refuse("it spans more bytes than there can be.");
    }
  }
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    const auto strides = read_ints(interface["strides"]);
    if (strides.size() != view.ndim) refuse("shape and strides are of different lengths.");
    switch (set_shape(view, shape.data(), strides.data(), 1, entry->item_size)) {
      case refusal::negative_stride:
        refuse("At least one stride is negative, and LibTorch has no such tensors.");
        break;
      case refusal::odd_stride:
        refuse("its strides are no multiple of the item size.");
        break;
      case refusal::too_large:
        refuse("it spans more bytes than there can be.");
        break;
      default:
        break;
    }
  } else {
    set_dense_strides(view, static_cast<std::size_t>(entry->item_size));
  }
  if (view.data == nullptr && view.nbytes > 0) refuse("its data pointer is null.");
  return view;
}

inline at::Tensor share_cuda_array(py::handle object) {
  const py::object described = object.attr("__cuda_array_interface__");
  if (!py::isinstance<py::dict>(described)) {
    throw py::type_error(c10::str("__cuda_array_interface__ of a ", type_name(object),
                                  " must be a dict (got ", type_name(described), ")."));
  }
  const auto interface = py::reinterpret_borrow<py::dict>(described);
  strided_view view = read_cuda_array(interface);
  check_device(device_of(view));
  // A capsule, whose name says whether the memory may be written.
  const auto holder = py::reinterpret_steal<py::object>(PyCapsule_New(
      object.ptr(), view.writable ? writable_capsule : read_only_capsule, [](PyObject* self) {
        Py_DECREF(static_cast<PyObject*>(PyCapsule_GetPointer(self, PyCapsule_GetName(self))));
      }));
  if (!holder) throw_python_error();
  object.inc_ref();  // the capsule's
  return with_python_errors([&] {
    const at::Device device = view.data != nullptr
                                  ? at::detail::getCUDAHooks().getDeviceFromPtr(view.data)
                                  : at::Device(at::kCUDA, 0);
    set_device(view, device);
    const py::object stream = interface.attr("get")("stream");
    if (!stream.is_none()) {
      if (stream.equal(py::int_(1))) {
        wait_for_default_stream(device);
      } else {
        // There is no way to wait for a foreign stream alone without CUDA's own headers.
        // Not with the GIL: the device may be waiting for a callback in Python.
        const gil_release without_gil;
        c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(device.index());
      }
    }
    at::Tensor tensor = make_tensor(view, hold_object(view.data, holder.ptr(), device));
    if (!view.writable) make_copy_on_write(*tensor.storage().unsafeGetStorageImpl());
    return tensor;
  });
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
  for (const dtype_entry& entry : dtypes) {
    if (name == std::string("torch.") + entry.name) return;
  }
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

inline at::Tensor share_torch_tensor(py::handle object) {
  const no_overrides guard;
  check_torch_tensor(object);
  at::Tensor tensor;
  try {
    tensor = share_dlpack(object, /*same_streams=*/true);
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

// A tensor on the memory of a holder other than a buffer.
inline at::Tensor share_holder(py::handle object, holder_kind kind) {
  switch (kind) {
    case holder_kind::torch_tensor:
#if defined(NDTORCH_TORCH_PYTHON)
      check_torch_dtype(THPVariable_Unpack(object.ptr()));
      return THPVariable_Unpack(object.ptr());
#else
      return share_torch_tensor(object);
#endif
    case holder_kind::capsule:
      return share_capsule(object);
    case holder_kind::cuda_array:
      return share_cuda_array(object);
    default:
      return share_dlpack(object, /*same_streams=*/false);
  }
}

}  // namespace detail
}  // namespace ndtorch
