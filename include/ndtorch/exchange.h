// Memory to and from those who are not NumPy: buffers, torch.Tensor objects, DLPack.
// (as_tensor and tensor, in from_numpy.h, take all of these as they are.)
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/dlpack_exporter.h>
#include <ndtorch/detail/holders/dlpack_object.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <ndtorch/from_numpy.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#if defined(NDTORCH_TORCH_PYTHON)  // set by the CMake target ndtorch::torch_python
#include <torch/csrc/autograd/python_variable.h>
#endif

namespace ndtorch {

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
