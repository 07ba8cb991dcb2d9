// Tensors on a C++ object's own memory that are set as members of that object again.
//
// at::from_blob() over a member owns nothing, so its array keeps the object alive (see share() in
// to_numpy.h), and a tensor of the array does so too. As a member of that very object it would keep it
// for ever: Python's collector sees neither C++ members nor what an array keeps.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <ndtorch/detail/copy_on_write.h>
#include <ndtorch/detail/interpreter.h>
#include <ndtorch/detail/numpy_api.h>
#include <ndtorch/detail/owner.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// The object of a pybind11 class that an array's memory belongs to, by the array's last base; nullptr
// where that is something else. Borrowed.
inline PyObject* instance_behind(PyObject* base) {
  for (;;) {
    if (base == nullptr) return nullptr;
    if (api().is_array(base)) {
      base = reinterpret_cast<array_object*>(base)->base;
    } else if (PyMemoryView_Check(base)) {
      base = PyMemoryView_GET_BUFFER(base)->obj;
    } else {
      auto* const type = reinterpret_cast<PyTypeObject*>(py::detail::get_internals().instance_base);
      return PyObject_TypeCheck(base, type) ? base : nullptr;
    }
  }
}

// How often the address stands in the object's C++ values. That is how an at::Tensor among their
// members looks; those behind a pointer, as the elements of a std::vector, aren't found.
#if defined(__GNUC__)
__attribute__((no_sanitize("address", "thread")))
#endif
inline std::size_t count_in_values(PyObject* instance, const void* address) {
  std::size_t count = 0;
  for (auto& value :
       py::detail::values_and_holders(reinterpret_cast<py::detail::instance*>(instance))) {
    const auto* const words = static_cast<const void* const*>(value.value_ptr());
    if (words == nullptr || value.type->type_align < alignof(void*)) continue;
    for (std::size_t i = 0; i < value.type->type_size / sizeof(void*); ++i) {
      count += words[i] == address;
    }
  }
  return count;
}

// Lives as long as a call with a tensor of such an array as its argument. Where all that is left of the
// tensor then is a member of that object, the tensor lets the object go.
class returning_tensor {
 public:
  // nullptr where the tensor isn't on the memory of such an object. Needs the GIL.
  static std::unique_ptr<returning_tensor> of(const at::Tensor& tensor) {
    if (!tensor.has_storage()) return nullptr;
    const storage_memory memory = memory_of(tensor.storage());
    if (memory.holder == nullptr || !api().is_array(memory.holder)) return nullptr;
    PyObject* const instance = instance_behind(memory.holder);
    if (instance == nullptr) return nullptr;
    return std::unique_ptr<returning_tensor>(
        new returning_tensor(tensor, instance,
                             hold_nobody(const_cast<void*>(memory.data),
                                         detail::may_be_written(memory.holder), tensor.device())));
  }

  ~returning_tensor() {
    // The instance lives as long as the array, which the storage still holds.
    const bool is_kept_once = tensor_.use_count() == 2 && tensor_.storage().use_count() == 1;
    if (!is_kept_once || count_members() != members_before_ + 1) return;
    c10::StorageImpl& storage = *tensor_.storage().unsafeGetStorageImpl();
    std::unique_lock<std::mutex> lock;
    if (may_move(storage)) lock = keep_in_place();
    std::swap(hold_of(storage), hold_);
  }
  returning_tensor(const returning_tensor&) = delete;
  returning_tensor& operator=(const returning_tensor&) = delete;

 private:
  returning_tensor(at::Tensor tensor, PyObject* instance, at::DataPtr hold)
      : hold_(std::move(hold)),
        tensor_(std::move(tensor)),
        instance_(instance),
        members_before_(count_members()) {}

  // Before the call there are such words by chance only, in memory that is in use no more.
  std::size_t count_members() const {
    return count_in_values(instance_, tensor_.unsafeGetTensorImpl());
  }

  at::DataPtr hold_;  // of nobody, until it is exchanged: then of the array
  at::Tensor tensor_;
  PyObject* instance_;
  std::size_t members_before_;
};

}  // namespace detail
}  // namespace ndtorch
