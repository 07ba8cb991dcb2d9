// Memory to and from those who are not NumPy: buffers, torch.Tensor objects, DLPack.
// (as_tensor and tensor, in from_numpy.h, take all of these as they are.)
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <ndtorch/to_numpy.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#if defined(NDTORCH_TORCH_PYTHON)  // set by the CMake target ndtorch::torch_python
#include <torch/csrc/autograd/python_variable.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What DLPack can't say of a tensor. PyTorch's words (torch/_tensor.py, 2.13) where it has any.
inline void check_exchangeable(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    throw py::type_error(
        "can't export an undefined tensor. Give it a value first; at::Tensor() has none.");
  }
  if (tensor.is_nested()) {
    throw py::buffer_error(
        "Can't export nested tensors. Use Tensor.to_padded_tensor(0) or Tensor.unbind() first.");
  }
  if (tensor.layout() != at::kStrided) {
    throw py::buffer_error(
        c10::str("Can't export tensors with layout other than torch.strided. Got layout ",
                 tensor.layout(), ": use Tensor.to_dense() first."));
  }
  if (tensor.requires_grad()) {
    throw py::buffer_error("Can't export tensors that require gradient, use tensor.detach()");
  }
  if (tensor.is_conj()) {
    throw py::buffer_error(
        "Can't export tensors with the conjugate bit set. Use tensor.resolve_conj() first.");
  }
  if (tensor.is_neg()) {
    throw py::buffer_error(
        "Can't export tensors with the negative bit set. Use tensor.resolve_neg() first.");
  }
  if (is_dispatched_to_python(tensor)) {
    throw py::buffer_error(
        "Can't export tensor subclasses with __torch_dispatch__, whose memory needn't be what they "
        "mean. Export the plain tensor inside.");
  }
  if (tensor._is_zerotensor()) {
    throw py::buffer_error(
        "Can't export a ZeroTensor, which has no memory. Use tensor.clone() first.");
  }
  dlpack_dtype(tensor.scalar_type());  // these throw where there is none
  dlpack_device(tensor.device());
  check_stands_for_itself(tensor);
  if (is_to_have_memory(tensor) && !has_all_memory(tensor)) {
    throw py::buffer_error(lost_memory_text(tensor));
  }
}

// The Python object that to_dlpack() returns.
class dlpack_exporter {
 public:
  explicit dlpack_exporter(at::Tensor tensor) : tensor_(std::move(tensor)) {}

  py::object device() const {
    const DLDevice device = dlpack_device(tensor_.device());
    return build_value("(ii)", static_cast<int>(device.device_type), device.device_id);
  }

  // For the buffer protocol.
  py::array to_array() const {
    check_exchangeable(tensor_);  // which may have changed since
    if (!tensor_.is_cpu()) {
      throw py::buffer_error(c10::str("a tensor on ", tensor_.device(),
                                      " has no buffer: copy it first, with tensor.cpu()."));
    }
    if (!find_dtype(tensor_.scalar_type())->is_built_in()) {
      throw py::buffer_error(c10::str("the buffer protocol has no format for ",
                                      tensor_.scalar_type(),
                                      ": cast the tensor first, or read its bytes, with "
                                      "tensor.view(at::kByte)."));
    }
    return numpy(tensor_);
  }

  // The array API standard's __dlpack__ (2024.12).
  py::object capsule(const py::object& stream, const py::object& max_version,
                     const py::object& dl_device, const py::object& copy) const {
    check_exchangeable(tensor_);  // which may have changed since
    check_stream(stream, dlpack_device(tensor_.device()).device_type);
    at::Tensor tensor = tensor_;
    const int wants_copy = copy.is_none() ? 0 : PyObject_IsTrue(copy.ptr());
    if (wants_copy < 0) throw_python_error();
    const bool must_copy = wants_copy != 0;
    const bool must_share = !copy.is_none() && !must_copy;
    bool is_copy = false;
    if (!dl_device.is_none() && !device().equal(dl_device)) {
      const bool to_cpu = py::object(dl_device[py::int_(0)]).equal(py::int_(int{kDLCPU}));
      if (!to_cpu || (must_share && !tensor.is_cpu())) {
        throw py::buffer_error(c10::str("can't export a tensor on ", tensor.device(),
                                        " to DLPack device ", utf8(py::str(dl_device)),
                                        must_share ? " without a copy." : ".",
                                        " Copy it there first, with tensor.to(device)."));
      }
      tensor = with_python_errors([&] {
        const gil_release without_gil;
        const own_work unseen;
        if (tensor.is_cpu()) return tensor;
        const at::ScalarType dtype = tensor.scalar_type();
        return detail::to_cpu(readable(tensor, dtype), dtype);
      });
      is_copy = !tensor.is_same(tensor_);  // it is on the CPU already, under another name
    }
    if (must_copy && !is_copy) {
      tensor = with_python_errors([&] {
        const gil_release without_gil;
        const own_work unseen;
        return copy_of(tensor);
      });
      is_copy = true;
    }
    const bool versioned = !max_version.is_none() && py::object(max_version[py::int_(0)]) >=
                                                         py::object(py::int_(DLPACK_MAJOR_VERSION));
    if (must_share && !versioned && !may_be_written(tensor.storage())) {
      throw py::buffer_error(
          "can't export a tensor on read-only memory without a copy: only DLPack 1.0 can say that "
          "it is. Ask for that with max_version=(1, 0), or allow the copy.");
    }
    order_after_us(stream, tensor.device());
    if (versioned) {
      return dlpack_capsule_of(offer_dlpack<DLManagedTensorVersioned>(tensor, is_copy));
    }
    return dlpack_capsule_of(offer_dlpack<DLManagedTensor>(tensor));
  }

 private:
  // What no device has as a stream is a mistake of the consumer's (Tensor.__dlpack__ in torch/_tensor.py,
  // 2.13).
  static void check_stream(const py::object& stream, DLDeviceType type) {
    if (stream.is_none()) return;
    if (PyLong_Check(stream.ptr()) == 0 || PyBool_Check(stream.ptr()) != 0) {
      throw py::type_error(c10::str("stream must be ``int`` or ``none``. Got ", type_name(stream),
                                    ": pass the address of a stream as an int, or None."));
    }
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(stream.ptr(), &overflow);
    const bool is_address = overflow == 0 && number >= 0;
    if (overflow == 0 && number == -1) return;
    if (type == kDLCPU) {
      throw assertion_error(
          c10::str("stream should be None on cpu. Got ", utf8(py::repr(stream)), "."));
    }
    const bool is_taken =
        (type == kDLCUDA && number == 0) || (type == kDLROCM && (number == 1 || number == 2));
    if (!is_address || is_taken) {
      throw assertion_error(c10::str("unsupported stream: ", utf8(py::repr(stream)),
                                     ". Pass None for the default one, or -1 for no order."));
    }
  }

  // The consumer's stream must not read before ours has written. -1 asks for no order. A foreign
  // stream can't be waited on without its vendor's headers, so this waits itself.
  static void order_after_us(const py::object& stream, at::Device device) {
    if (device.is_cpu() || (!stream.is_none() && stream.equal(py::int_(-1)))) return;
    with_python_errors([&] {
      const gil_release without_gil;
      const c10::impl::VirtualGuardImpl guard(device.type());
      guard.synchronizeStream(guard.getStream(device));
    });
  }

  at::Tensor tensor_;
};

// Python's pending error as a BufferError of the same text.
inline void make_buffer_error() {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  PyObject* const text = PyObject_Str(value);
  if (text != nullptr) PyErr_SetObject(PyExc_BufferError, text);
  for (PyObject* const object : {type, value, trace, text}) Py_XDECREF(object);
}

// The buffer protocol of that object, for memory of the CPU's. It is handed on to the array that numpy()
// gives, which knows all that a consumer may ask for, and is the one who exports to him. A function of
// C's: nothing is thrown out of it.
inline int get_exporters_buffer(PyObject* self, Py_buffer* buffer, int flags) noexcept {
  buffer->obj = nullptr;
  try {
    const py::array array = with_python_errors(
        [&] { return py::handle(self).cast<const dlpack_exporter&>().to_array(); });
    if (PyObject_GetBuffer(array.ptr(), buffer, flags) == 0) return 0;
    // NumPy's word for what the array doesn't have, such as memory to write to.
    if (PyErr_ExceptionMatches(PyExc_ValueError) != 0) make_buffer_error();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_BufferError, error.what());
  }
  return -1;
}

// Registers the type with the first use, in each interpreter.
inline py::object make_exporter(const at::Tensor& tensor) {
  if (py::detail::get_type_info(typeid(dlpack_exporter)) == nullptr) {
    // Not pybind11's own buffers: of these an exception would end the process (before 3.0).
    const auto add_buffer = [](PyHeapTypeObject* type) {
      type->as_buffer.bf_getbuffer = &get_exporters_buffer;
      type->ht_type.tp_as_buffer = &type->as_buffer;
    };
    py::class_<dlpack_exporter>(py::handle(), "dlpack_exporter", py::module_local(),
                                py::custom_type_setup(add_buffer),
                                "A tensor's memory, for from_dlpack() of any library.")
        .def("__dlpack__", &dlpack_exporter::capsule, py::kw_only(), py::arg("stream") = py::none(),
             py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
             py::arg("copy") = py::none())
        .def("__dlpack_device__", &dlpack_exporter::device);
  }
  return py::cast(dlpack_exporter(tensor));
}

}  // namespace detail

// torch.frombuffer(buffer, dtype=..., count=..., offset=...): a 1-d tensor on the memory of a
// bytes, bytearray, memoryview, array.array, mmap or other object with the buffer protocol, read as
// elements of `dtype`. `offset` is in bytes, `count` in elements (-1: all there is). Nothing is
// copied; of a read-only buffer the first write gives the tensor memory of its own. The buffer
// stays exported (a bytearray can't be resized) as long as any tensor on its memory lives. Needs
// the GIL. Throws value_error, with PyTorch 2.13's words, for no buffer, an offset or count outside
// it, no elements, a length that is no multiple of the item size; and, unlike PyTorch, for data
// that is not aligned for the dtype. type_error for a dtype outside the table, runtime_error for a
// buffer that is not C-contiguous.
inline at::Tensor frombuffer(py::handle buffer, at::ScalarType dtype, std::int64_t count = -1,
                             std::int64_t offset = 0) {
  detail::check_gil("frombuffer");
  const detail::dtype_entry* const entry = detail::find_dtype(dtype);
  if (entry == nullptr) {
    throw py::type_error(c10::str("Got unsupported ScalarType ", dtype,
                                  ". The only supported types are: ", detail::supported_dtypes(),
                                  "."));
  }
  if (!buffer || PyObject_CheckBuffer(buffer.ptr()) == 0) {
    throw py::value_error(c10::str("object does not implement Python buffer protocol. Got ",
                                   buffer ? detail::type_name(buffer) : "a null handle",
                                   ". Pass bytes, a bytearray, a memoryview, or the like."));
  }
  const auto memory = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(buffer.ptr()));
  if (!memory) detail::throw_python_error();
  const Py_buffer& view = *PyMemoryView_GET_BUFFER(memory.ptr());
  if (PyBuffer_IsContiguous(&view, 'C') == 0) {
    throw std::runtime_error(c10::str("could not retrieve buffer from object: that of a ",
                                      detail::type_name(buffer),
                                      " is not C-contiguous. Copy it first, with bytes(buffer)."));
  }

  const std::int64_t length = view.len;
  const std::int64_t item = entry->item_size;
  if (length <= 0 || count == 0) {
    throw py::value_error(
        c10::str("both buffer length (", length, ") and count (", count, ") must not be 0"));
  }
  if (offset < 0 || offset >= length) {
    throw py::value_error(c10::str(
        "offset (", offset, " bytes) must be non-negative and no greater than buffer length (",
        length, " bytes) minus 1"));
  }
  if (count < 0 && (length - offset) % item != 0) {
    throw py::value_error(c10::str("buffer length (", length - offset, " bytes) after offset (",
                                   offset, " bytes) must be a multiple of element size (", item,
                                   ")"));
  }
  const std::int64_t available = (length - offset) / item;
  if (count > available) {
    throw py::value_error(
        c10::str("requested buffer length (", count, " * ", item, " bytes) after offset (", offset,
                 " bytes) must not be greater than actual buffer length (", length, " bytes)"));
  }

  detail::strided_view described;
  described.data = static_cast<char*>(view.buf) + offset;
  described.dtype = dtype;
  described.writable = view.readonly == 0;
  described.ndim = 1;
  described.size_of[0] = count < 0 ? available : count;
  detail::set_dense_strides(described, static_cast<std::size_t>(item));
  if (!detail::is_aligned(described.data, item)) {
    throw py::value_error(
        c10::str("the buffer at offset ", offset, " bytes is not aligned for ", entry->name,
                 ". Read it as uint8 and copy it first, for example "
                 "with ndtorch::frombuffer(buffer, at::kByte).clone().view(dtype)."));
  }
  at::Tensor tensor = detail::make_tensor(
      described, detail::hold_object(described.data, memory.ptr(), at::Device(at::kCPU)));
  if (!described.writable) {
    detail::make_copy_on_write(*tensor.storage().unsafeGetStorageImpl());
  }
  return tensor;
}

// An object with __dlpack__ and __dlpack_device__ on the tensor's memory, for from_dlpack() of
// NumPy, PyTorch, JAX, CuPy and others; memory of the CPU's is a buffer, too, for memoryview() and
// np.asarray(), where the dtype is one of NumPy's own. Shared, not copied; a tensor on read-only memory is offered
// as read-only to those who ask for a versioned capsule (DLPack 1.0), and gets memory of its own
// for others. Not all who ask heed that: torch.from_dlpack() of PyTorch 2.13 gives a tensor that
// writes into it, to_torch() doesn't. The storage can't be resized any more. Needs the GIL. Throws
// buffer_error, with PyTorch 2.13's words, for a tensor that requires grad, has the conj or neg bit,
// is not strided, is of a dtype or on a device that DLPack lacks, or whose storage was freed or made smaller
// than the tensor; type_error for an undefined one; runtime_error for one that torch.vmap or torch.func made.
inline py::object to_dlpack(const at::Tensor& tensor) {
  detail::check_gil("to_dlpack");
  detail::check_exchangeable(tensor);
  return detail::make_exporter(tensor);
}

// A torch.Tensor object on the tensor's memory, of its dtype, shape, strides and device; nothing is
// copied, but a tensor on read-only memory gets memory of its own, since torch.Tensor can't say
// read-only. Imports torch. Needs the GIL.
// Autograd doesn't cross: the result is a new leaf, and a tensor that requires grad is refused.
// With the CMake target ndtorch::torch_python, which links libtorch_python, it does: the result is
// then the same tensor, which is still copied on write only, and the same object each time. Throws what
// to_dlpack() throws; import_error where Python has no torch.
inline py::object to_torch(const at::Tensor& tensor) {
  detail::check_gil("to_torch");
#if defined(NDTORCH_TORCH_PYTHON)
  if (!tensor.defined()) detail::check_exchangeable(tensor);
  py::module_::import("torch");
  return py::reinterpret_steal<py::object>(THPVariable_Wrap(tensor));
#else
  detail::check_exchangeable(tensor);
  py::object type;
  try {
    type = py::module_::import("torch").attr("Tensor");
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ModuleNotFoundError)) throw;
    throw py::import_error(
        "ndtorch::to_torch makes a torch.Tensor, and this Python has no torch. Install it (pip "
        "install torch), or return a NumPy array with ndtorch::numpy.");
  }
  detail::with_python_errors([&] { tensor.mutable_data_ptr(); });  // memory that may be written
  const DLPackExchangeAPI* const table = detail::exchange_table(type);
  if (table == nullptr) {  // before PyTorch 2.10
    return py::module_::import("torch").attr("from_dlpack")(to_dlpack(tensor));
  }
  auto offer = detail::offer_dlpack<DLManagedTensorVersioned>(tensor);
  void* made = nullptr;
  // Takes the structure over, also where it fails.
  if (table->managed_tensor_to_py_object_no_sync(offer.release(), &made) != 0) {
    detail::throw_table_error();
  }
  return py::reinterpret_steal<py::object>(static_cast<PyObject*>(made));
#endif
}

}  // namespace ndtorch
