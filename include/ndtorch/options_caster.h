// Opt-in: at::ScalarType, at::Device and at::TensorOptions as arguments and results of pybind11 functions.
// torch/extension.h has casters of the first two; a program may have only one of the two headers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/TensorOptions.h>
#include <ndtorch/detail/arguments/explain_mismatches.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>

#if defined(THP_STREAM_INC)
#error \
    "ndtorch/options_caster.h and torch/extension.h both make at::ScalarType and at::Device arguments of \
pybind11 functions, and a program may have only one of the two. Include one of them."
#endif

namespace ndtorch {

// The device that a torch.device names, or a string such as "cuda:1", in PyTorch's own form. Needs the GIL.
// Throws type_error for any other object, and what LibTorch says of a string that names none (runtime_error).
inline at::Device device_of(py::handle device) {
  detail::check_gil("device_of");
  const bool is_device =
      device && (PyUnicode_Check(device.ptr()) != 0 ||
                 std::strcmp(Py_TYPE(device.ptr())->tp_name, "torch.device") == 0);
  if (!is_device) {
    throw py::type_error("expected a device (got " +
                         (device ? detail::type_name(device) : "a null handle") +
                         "). Pass a string such as \"cuda:1\", or a torch.device.");
  }
  return detail::with_python_errors([&] { return at::Device(detail::utf8(py::str(device))); });
}

// The options that keywords name, as those of a py::kwargs: dtype (what scalar_type() takes), device (what
// device_of() takes), requires_grad and pin_memory. What is None is left out. Needs the GIL. Throws type_error
// for any other keyword, and what the two functions throw.
inline at::TensorOptions tensor_options(const py::dict& keywords) {
  detail::check_gil("tensor_options");
  at::TensorOptions options;
  for (const auto& [key, value] : keywords) {
    const std::string name = detail::utf8(py::str(key));
    const bool is_known =
        name == "dtype" || name == "device" || name == "requires_grad" || name == "pin_memory";
    if (!is_known) {
      throw py::type_error("there is no option '" + name +
                           "'. The options are dtype, device, requires_grad and pin_memory.");
    }
    if (value.is_none()) continue;
    if (name == "dtype") {
      options = options.dtype(scalar_type(value));
    } else if (name == "device") {
      options = options.device(device_of(value));
    } else {
      const int truth = PyObject_IsTrue(value.ptr());
      if (truth < 0) detail::throw_python_error();
      options = name == "requires_grad" ? options.requires_grad(truth != 0)
                                        : options.pinned_memory(truth != 0);
    }
  }
  return options;
}

namespace [[gnu::visibility("hidden")]] detail {

// What `read` returns of an object; nullopt where it refuses it, which an explanation is told of.
template <class Read>
auto read_or_explain(py::handle object, const char* signature, const Read& read) {
  using result = std::optional<decltype(read(object))>;
  return value_or_refusal([&]() -> result { return read(object); },
                          [&](std::string reason) -> result {
                            if (explanation* const asked = explanation::current()) {
                              asked->refused(object, signature, signature, std::move(reason));
                            }
                            return std::nullopt;
                          });
}

}  // namespace detail
}  // namespace ndtorch

namespace pybind11::detail {

// np.dtype, torch.dtype, "float32", float: what ndtorch::scalar_type() takes. A result is a NumPy dtype.
template <>
struct type_caster<at::ScalarType> {
  PYBIND11_TYPE_CASTER(at::ScalarType, const_name("numpy.typing.DTypeLike"));

  bool load(handle source, bool) {
    const auto read = ndtorch::detail::read_or_explain(
        source, name.text, [](handle object) { return ndtorch::scalar_type(object); });
    if (read) value = *read;
    return read.has_value();
  }
  static handle cast(at::ScalarType type, return_value_policy, handle) {
    return ndtorch::numpy_dtype(type).release();
  }
};

// What ndtorch::device_of() takes. A result is a string, "cuda:1".
template <>
struct type_caster<at::Device> {
  using type = at::Device;
  static constexpr auto name = const_name("typing.Union[str, torch.device]");

  bool load(handle source, bool) {
    const auto read = ndtorch::detail::read_or_explain(
        source, name.text, [](handle object) { return ndtorch::device_of(object); });
    if (read) value_ = *read;
    return read.has_value();
  }
  static handle cast(const at::Device& device, return_value_policy, handle) {
    return str(device.str()).release();
  }

  template <class T>
  using cast_op_type = movable_cast_op_type<T>;
  operator at::Device*() { return &value_; }
  operator at::Device&() { return value_; }
  operator at::Device&&() && { return std::move(value_); }

 private:
  at::Device value_ = at::Device(at::kCPU);  // which has no default of its own
};

// A dictionary of what ndtorch::tensor_options() takes; None for none.
template <>
struct type_caster<at::TensorOptions> {
  PYBIND11_TYPE_CASTER(at::TensorOptions, const_name("typing.Optional[dict[str, typing.Any]]"));

  bool load(handle source, bool) {
    if (!source || (!source.is_none() && !isinstance<dict>(source))) return false;
    if (source.is_none()) return true;
    const auto read = ndtorch::detail::read_or_explain(source, name.text, [](handle object) {
      return ndtorch::tensor_options(reinterpret_borrow<dict>(object));
    });
    if (read) value = *read;
    return read.has_value();
  }
  static handle cast(const at::TensorOptions& options, return_value_policy, handle) {
    dict keywords;
    if (options.has_dtype()) {
      keywords["dtype"] = ndtorch::numpy_dtype(c10::typeMetaToScalarType(options.dtype()));
    }
    if (options.has_device()) keywords["device"] = str(options.device().str());
    if (options.has_requires_grad()) keywords["requires_grad"] = bool_(options.requires_grad());
    if (options.has_pinned_memory()) keywords["pin_memory"] = bool_(options.pinned_memory());
    return keywords.release();
  }
};

}  // namespace pybind11::detail
