// The Python object that offers a tensor's memory to others.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/dlpack_capsule.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/expose_tensor.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <new>
#include <typeinfo>
#include <utility>

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
    return make_numpy(tensor_, task::expose);
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
        return clone_tensor(tensor);
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
}  // namespace ndtorch
