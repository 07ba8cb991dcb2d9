// Objects with __dlpack__ (Python array API standard, 2024.12) or DLPack's C table.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/dlpack.h>
#include <ndtorch/detail/holders/dlpack_capsule.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Capsules from before DLPack 1.0 can't say that memory is read-only. JAX's arrays and TensorFlow's
// are, and say so where they are asked for a buffer.
inline bool refuses_writable_buffer(py::handle object) {
  if (PyObject_CheckBuffer(object.ptr()) == 0) return false;
  Py_buffer buffer;
  if (PyObject_GetBuffer(object.ptr(), &buffer, PyBUF_STRIDED) == 0) {
    PyBuffer_Release(&buffer);
    return false;
  }
  clear_error();
  return true;
}

// Of a capsule that `object` gave.
inline at::Tensor consume_dlpack(const py::object& capsule, py::handle object) {
  if (auto* const content = content_of<DLManagedTensorVersioned>(capsule)) {
    return consume_dlpack(capsule, content, /*writable=*/true);
  }
  if (content_of<DLManagedTensor>(capsule) != nullptr) {
    const bool writable = !refuses_writable_buffer(object);  // which may run anything
    if (auto* const content = content_of<DLManagedTensor>(capsule)) {
      return consume_dlpack(capsule, content, writable);
    }
  }
  throw py::type_error(c10::str(
      "__dlpack__ must return a capsule named dltensor or dltensor_versioned (got ",
      name_of_capsule(capsule),
      "). A capsule can be consumed only once: have __dlpack__ make a new one for each call."));
}

// The C functions that a type offers beside __dlpack__, of the major version that is known here;
// nullptr where it has none.
inline const DLPackExchangeAPI* exchange_table(py::handle type) {
  static constexpr char name[] = "dlpack_exchange_api";
  const auto capsule = py::reinterpret_steal<py::object>(
      PyObject_GetAttrString(type.ptr(), "__dlpack_c_exchange_api__"));
  if (!capsule) clear_error();
  if (!capsule || PyCapsule_IsValid(capsule.ptr(), name) == 0) return nullptr;
  auto* header = static_cast<DLPackExchangeAPIHeader*>(PyCapsule_GetPointer(capsule.ptr(), name));
  while (header != nullptr && header->version.major != DLPACK_MAJOR_VERSION) {
    header = header->prev_api;
  }
  return reinterpret_cast<const DLPackExchangeAPI*>(header);
}

// Throws what a function of the table raised. To its words, PyTorch's adds C++'s backtrace.
[[noreturn]] inline void throw_table_error() {
  if (PyErr_Occurred() == nullptr) {
    throw std::runtime_error(
        "a function of __dlpack_c_exchange_api__ failed without an exception.");
  }
  try {
    throw_python_error();
  } catch (const py::error_already_set& error) {
    const std::string text = error_text(error);
    if (text == std::bad_alloc().what() || text.find("Failed to allocate a ") == 0 ||
        is_about_cpu_memory(text)) {
      throw out_of_memory(text);  // a RuntimeError in PyTorch
    }
    const std::size_t backtrace = text.find("\nException raised from ");
    if (backtrace == std::string::npos || !error.matches(PyExc_RuntimeError)) throw;
    throw std::runtime_error(text.substr(0, backtrace));
  }
}

// A device's default stream in the words of __dlpack__(stream=...); None where it has no say.
inline py::object default_stream(DLDeviceType type) {
  if (type == kDLCUDA || type == kDLCUDAManaged) return py::int_(1);
  if (type == kDLROCM) return py::int_(0);
  return py::none();
}

// The kind of device that an object says its memory is on; the CPU where it says nothing.
inline DLDeviceType device_type_of(py::handle object) {
  const auto ask =
      py::reinterpret_steal<py::object>(PyObject_GetAttrString(object.ptr(), "__dlpack_device__"));
  if (!ask) {
    if (PyErr_ExceptionMatches(PyExc_AttributeError) == 0) throw_python_error();
    PyErr_Clear();
    return kDLCPU;
  }
  const py::object device = ask();
  const py::tuple pair = pair_in(device);
  // An int of NumPy's is one too.
  if (pair.size() != 2 || PyIndex_Check(PyTuple_GET_ITEM(pair.ptr(), 0)) == 0) {
    throw py::type_error(c10::str("__dlpack_device__ of a ", type_name(object),
                                  " must return (device_type, device_id) (got ",
                                  utf8(py::repr(device)), ")."));
  }
  const auto number =
      py::reinterpret_steal<py::object>(PyNumber_Index(PyTuple_GET_ITEM(pair.ptr(), 0)));
  if (!number) throw_python_error();
  const long code = PyLong_AsLong(number.ptr());
  if (code == -1 && PyErr_Occurred() != nullptr) throw_python_error();
  return static_cast<DLDeviceType>(code);
}

// Asks an object for its memory with __dlpack__.
inline at::Tensor call_dlpack(py::handle object) {
  const DLDeviceType type = device_type_of(object);
  const auto arguments = py::reinterpret_borrow<py::dict>(
      build_value("{s:(ii)}", "max_version", DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION));
  // The producer makes the default stream wait for its own work, and our stream waits for that
  // one.
  if (py::object stream = default_stream(type); !stream.is_none()) arguments["stream"] = stream;
  const py::object give = object.attr("__dlpack__");
  const py::object no_arguments = build_value("()");
  const auto call = [&] {
    auto result = py::reinterpret_steal<py::object>(
        PyObject_Call(give.ptr(), no_arguments.ptr(), arguments.ptr()));
    if (!result) throw_python_error();
    return result;
  };
  py::object capsule;
  try {
    capsule = call();
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    arguments.attr("pop")("max_version");  // from before DLPack 1.0
    capsule = call();
  }
  at::Tensor tensor = consume_dlpack(capsule, object);
  if (!tensor.device().is_cpu()) {
    with_python_errors([&] { wait_for_default_stream(tensor.device()); });
  }
  return tensor;
}

// The structure that the type's table gives for an object; nullptr where there is no such function, or
// where it gives none.
inline dlpack_owner<DLManagedTensorVersioned> structure_of(py::handle object) {
  const DLPackExchangeAPI* const table = exchange_table(py::type::handle_of(object));
  if (table == nullptr || table->managed_tensor_from_py_object_no_sync == nullptr) return nullptr;
  DLManagedTensorVersioned* managed = nullptr;
  if (table->managed_tensor_from_py_object_no_sync(object.ptr(), &managed) != 0) {
    throw_table_error();
  }
  return dlpack_owner<DLManagedTensorVersioned>(managed);
}

// A tensor on the memory of an object with __dlpack__.
inline at::Tensor share_dlpack(py::handle object) {
  auto structure = structure_of(object);
  if (structure == nullptr) return call_dlpack(object);
  // The table's functions don't order any work: elsewhere than on the CPU that is for __dlpack__.
  if (structure->version.major == DLPACK_MAJOR_VERSION &&
      structure->dl_tensor.device.device_type != kDLCPU) {
    structure.reset();
    return call_dlpack(object);
  }
  const dlpack_memory memory = read_managed(*structure);
  return share_dlpack(std::move(structure), memory);
}

inline constexpr protocol dlpack_protocol = {
    "shares its memory by __dlpack__",
    [](py::handle object) { return has_attribute(py::type::handle_of(object), "__dlpack__"); },
    /*array_of=*/nullptr,
    [](py::handle object) { return share_dlpack(object); },
    /*look_into=*/nullptr,
    /*may_copy=*/false};

}  // namespace detail
}  // namespace ndtorch
