// Tensors of another library: objects with __dlpack__ that say what a test wants them to, true or
// not, and count what becomes of the structures that they gave away.
#pragma once

#include <ATen/dlpack.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
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

}  // namespace test
