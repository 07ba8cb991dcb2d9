// Tensors of another library: objects with __dlpack__ that say what a test wants them to, true or
// not, and count what becomes of the structures that they gave away.
#pragma once

#include <ATen/dlpack.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "support/support.h"

namespace test {

template <class Managed>
inline constexpr bool is_versioned = std::is_same_v<Managed, DLManagedTensorVersioned>;

template <class Managed>
inline constexpr const char* capsule_name =
    is_versioned<Managed> ? "dltensor_versioned" : "dltensor";

// Two rows of three doubles, 0 to 5, and what is said of them.
struct foreign_memory {
  alignas(64) std::array<double, 6> data{0, 1, 2, 3, 4, 5};
  std::vector<std::int64_t> sizes{2, 3};
  std::vector<std::int64_t> strides{3, 1};
  DLTensor tensor{data.data(), {kDLCPU, 0}, 2, {kDLFloat, 64, 1}, sizes.data(), strides.data(), 0};
  DLPackVersion version{1, 0};
  std::uint64_t flags = 0;
  bool has_deleter = true;
  std::vector<std::shared_ptr<void>> kept;  // the structures without one

  int made = 0;     // structures that were given away
  int deleted = 0;  // and those whose deleter was called

  // For a consumer to delete.
  template <class Managed>
  Managed* give() {
    auto* const managed = new Managed{};
    managed->dl_tensor = tensor;
    managed->manager_ctx = this;
    if (has_deleter) {
      managed->deleter = [](Managed* self) {
        ++static_cast<foreign_memory*>(self->manager_ctx)->deleted;
        delete self;
      };
    } else {
      kept.emplace_back(managed);
    }
    if constexpr (is_versioned<Managed>) {
      managed->version = version;
      managed->flags = flags;
    }
    ++made;
    return managed;
  }

  // The same in a capsule, which deletes it unless somebody renames it.
  template <class Managed>
  py::object capsule() {
    return py::reinterpret_steal<py::object>(
        PyCapsule_New(give<Managed>(), capsule_name<Managed>, [](PyObject* self) {
          if (PyCapsule_IsValid(self, capsule_name<Managed>) == 0) return;
          auto* const left =
              static_cast<Managed*>(PyCapsule_GetPointer(self, capsule_name<Managed>));
          if (left->deleter != nullptr) left->deleter(left);
        }));
  }

  foreign_memory() = default;
  foreign_memory(const foreign_memory&) = delete;  // the tensor points into it
  foreign_memory& operator=(const foreign_memory&) = delete;
};

// An object that gives that memory away, as libraries do that know DLPack 1.0. `python` is what its
// class does otherwise, where `self.versioned()` and `self.old()` make capsules. `memory` must
// outlive all that was given.
inline py::object producer(foreign_memory& memory, const std::string& python) {
  const py::dict made = exec(
      "class producer(base):\n"
      "  calls = []\n"
      "  def __dlpack_device__(self): return (1, 0)\n"
      "  def __dlpack__(self, **arguments):\n"
      "    self.calls.append(arguments)\n"
      "    return self.versioned()\n" +
          python,
      py::dict(py::arg("base") = eval("object")));
  py::object type = made["producer"];
  type.attr("versioned") =
      eval("staticmethod(f)", py::arg("f") = py::cpp_function([&memory] {
                                return memory.capsule<DLManagedTensorVersioned>();
                              }));
  type.attr("old") = eval("staticmethod(f)", py::arg("f") = py::cpp_function([&memory] {
                                               return memory.capsule<DLManagedTensor>();
                                             }));
  return type();
}

inline py::object versioned_producer(foreign_memory& memory) { return producer(memory, ""); }

// As libraries do that know nothing of versions.
inline py::object old_producer(foreign_memory& memory) {
  return producer(memory,
                  "  def __dlpack__(self, stream=None):\n"
                  "    self.calls.append(stream)\n"
                  "    return self.old()\n");
}

// What a structure may say that isn't true, or that no tensor can be made of; the exception that Python
// gets, and its words.
struct dlpack_lie {
  const char* name;
  void (*tell)(foreign_memory& memory);
  const char* type;
  const char* text;
};

inline constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

inline const dlpack_lie dlpack_lies[] = {
    {"no data", [](foreign_memory& m) { m.tensor.data = nullptr; }, "ValueError",
     "its data pointer is null. Got a DLPack tensor of 2 dimensions, shape (2, 3), strides (3, 1) "
     "elements, dtype code 2 bits 64 lanes 1, device type 1 index 0. Copy it to a plain array in "
     "its own library first."},
    {"no data at an offset",
     [](foreign_memory& m) {
       m.tensor.data = nullptr;
       m.tensor.byte_offset = 8;
     },
     "ValueError", "its data pointer is null."},
    {"misaligned data", [](foreign_memory& m) { m.tensor.byte_offset = 4; }, "ValueError",
     "the data is not aligned for its dtype."},
    {"a complex number aligned as its parts are",
     [](foreign_memory& m) {
       m.tensor.dtype.code = kDLComplex;
       m.tensor.byte_offset = 4;
     },
     "ValueError", "the data is not aligned for its dtype."},
    {"no shape", [](foreign_memory& m) { m.tensor.shape = nullptr; }, "ValueError",
     "the shape is missing. Got a DLPack tensor of 2 dimensions, shape ?, strides ?, dtype"},
    {"no shape and no strides",
     [](foreign_memory& m) { m.tensor.shape = m.tensor.strides = nullptr; }, "ValueError",
     "the shape is missing."},
    {"too many dimensions", [](foreign_memory& m) { m.tensor.ndim = 65; }, "ValueError",
     "number of dimensions must be within [0, 64]. Got a DLPack tensor of 65 dimensions, shape ?"},
    {"negative number of dimensions", [](foreign_memory& m) { m.tensor.ndim = -1; }, "ValueError",
     "number of dimensions must be within [0, 64]."},
    {"largest number of dimensions",
     [](foreign_memory& m) { m.tensor.ndim = std::numeric_limits<std::int32_t>::max(); },
     "ValueError", "number of dimensions must be within [0, 64]."},
    {"negative size", [](foreign_memory& m) { m.sizes[1] = -3; }, "ValueError",
     "a size is negative. Got a DLPack tensor of 2 dimensions, shape (2, -3)"},
    {"the most negative size",
     [](foreign_memory& m) { m.sizes = {std::numeric_limits<std::int64_t>::min(), 1}; },
     "ValueError", "a size is negative."},
    {"sizes that overflow", [](foreign_memory& m) { m.sizes = {huge, huge}; }, "ValueError",
     "it spans more bytes than there can be."},
    {"sizes that overflow beside one of 0",
     [](foreign_memory& m) {
       m.tensor.ndim = 3;
       m.sizes = {huge, 0, huge};
       m.tensor.shape = m.sizes.data();
       m.tensor.strides = nullptr;
     },
     "ValueError", "it spans more bytes than there can be."},
    {"bytes that overflow", [](foreign_memory& m) { m.sizes = {1, huge / 4}; }, "ValueError",
     "it spans more bytes than there can be."},
    {"strides that overflow", [](foreign_memory& m) { m.strides = {huge / 2, 1}; }, "ValueError",
     "it spans more bytes than there can be."},
    {"negative stride", [](foreign_memory& m) { m.strides = {3, -1}; }, "ValueError",
     "At least one stride is negative, and LibTorch has no such tensors. Got a DLPack tensor of 2 "
     "dimensions, shape (2, 3), strides (3, -1) elements"},
    {"the most negative stride",
     [](foreign_memory& m) { m.strides = {std::numeric_limits<std::int64_t>::min(), 1}; },
     "ValueError", "At least one stride is negative"},
    {"an offset that wraps round", [](foreign_memory& m) { m.tensor.byte_offset = UINT64_MAX - 7; },
     "ValueError", "it reaches beyond the last address."},
    {"memory that wraps round",
     [](foreign_memory& m) {
       m.tensor.byte_offset =
           UINT64_MAX / 8 * 8 - reinterpret_cast<std::uintptr_t>(m.tensor.data) - 16;
     },
     "ValueError", "it reaches beyond the last address."},
    {"unknown dtype code", [](foreign_memory& m) { m.tensor.dtype.code = 200; }, "TypeError",
     "can't convert this DLPack dtype. The only supported types are: float64"},
    {"opaque handles", [](foreign_memory& m) { m.tensor.dtype.code = kDLOpaqueHandle; },
     "TypeError", "dtype code 3 bits 64 lanes 1"},
    {"a dtype of another size", [](foreign_memory& m) { m.tensor.dtype.bits = 128; }, "TypeError",
     "dtype code 2 bits 128 lanes 1"},
    {"elements of 4 bits", [](foreign_memory& m) { m.tensor.dtype = {kDLInt, 4, 1}; }, "TypeError",
     "dtype code 0 bits 4 lanes 1"},
    {"lanes", [](foreign_memory& m) { m.tensor.dtype = {kDLFloat, 32, 2}; }, "TypeError",
     "dtype code 2 bits 32 lanes 2, device type 1 index 0. Convert the data to one of these "
     "first."},
    {"all lanes there can be", [](foreign_memory& m) { m.tensor.dtype.lanes = 65535; }, "TypeError",
     "lanes 65535"},
    {"no bits", [](foreign_memory& m) { m.tensor.dtype.bits = 0; }, "TypeError", "bits 0"},
    {"no lanes", [](foreign_memory& m) { m.tensor.dtype.lanes = 0; }, "TypeError", "lanes 0"},
    {"a device that LibTorch lacks", [](foreign_memory& m) { m.tensor.device = {kDLOpenCL, 0}; },
     "TypeError",
     "LibTorch has no such device. Got a DLPack tensor of 2 dimensions, shape (2, 3), strides (3, "
     "1) elements, dtype code 2 bits 64 lanes 1, device type 4 index 0. Copy the data to the CPU "
     "first."},
    {"an unknown device",
     [](foreign_memory& m) { m.tensor.device = {static_cast<DLDeviceType>(99), 0}; }, "TypeError",
     "LibTorch has no such device."},
    {"a negative device index", [](foreign_memory& m) { m.tensor.device = {kDLExtDev, -1}; },
     "TypeError", "device type 12 index -1"},
    // Cut to 8 bits, it would be device 0.
    {"a large device index", [](foreign_memory& m) { m.tensor.device = {kDLExtDev, 256}; },
     "TypeError", "device type 12 index 256"},
    {"a device that is not there", [](foreign_memory& m) { m.tensor.device = {kDLMAIA, 0}; },
     "RuntimeError", "this LibTorch has no device maia:0."},
};

}  // namespace test
