// The one place that decides what kind of object came.
#pragma once

#include <ndtorch/detail/holders/array_like.h>
#include <ndtorch/detail/holders/buffer.h>
#include <ndtorch/detail/holders/cuda_array.h>
#include <ndtorch/detail/holders/dlpack_capsule.h>
#include <ndtorch/detail/holders/dlpack_object.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/holders/torch_tensor.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// In the order of what each can say: DLPack knows of read-only memory, devices and streams.
inline constexpr const protocol* protocols[] = {
    &capsule_protocol,    &torch_tensor_protocol, &dlpack_protocol,
    &cuda_array_protocol, &buffer_protocol,       &array_like_protocol,
};

// How an object that is no array holds memory; nullptr where it holds none, as a number or a list.
inline const protocol* find_protocol(py::handle object) {
  if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr()) || api().is_scalar(object)) {
    return nullptr;
  }
  for (const protocol* const each : protocols) {
    if (each->is_spoken_by(object)) return each;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace ndtorch
