// Tensors on a C++ object's own memory that are set as members of that object again.
//
// at::from_blob() over a member owns nothing, so its array keeps the object alive (see expose_tensor() in
// torch/expose_tensor.h), and a tensor of the array does so too. As a member of that very object it would keep it
// for ever: Python's collector sees neither C++ members nor what an array keeps.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/StorageImpl.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/owner.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

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

// How often the address stands in the memory of a C++ value. That is how an at::Tensor among its members
// looks; those behind a pointer aren't found.
#if defined(__GNUC__)
__attribute__((no_sanitize("address", "thread")))
#endif
inline std::size_t count_in_memory(const py::detail::value_and_holder& value, const void* address) {
  if (value.type->type_align < alignof(void*)) return 0;
  const auto* const words = static_cast<const void* const*>(value.value_ptr());
  std::size_t count = 0;
  for (std::size_t i = 0; i < value.type->type_size / sizeof(void*); ++i) {
    count += words[i] == address;
  }
  return count;
}

inline const at::Tensor& tensor_in(const at::Tensor& item) { return item; }
template <class Key, class Tensor>
const at::Tensor& tensor_in(const std::pair<const Key, Tensor>& item) {
  return item.second;
}

// The same for the elements of a container, if the value is one.
template <class Container>
std::size_t count_in_container(const py::detail::value_and_holder& value, const void* address) {
  if (!py::detail::same_type(*value.type->cpptype, typeid(Container))) return 0;
  std::size_t count = 0;
  for (const auto& item : *static_cast<const Container*>(value.value_ptr())) {
    count += tensor_in(item).unsafeGetTensorImpl() == address;
  }
  return count;
}

template <class Tensor>
std::size_t count_in_containers(const py::detail::value_and_holder& value, const void* address) {
  return count_in_container<std::vector<Tensor>>(value, address) +
         count_in_container<std::map<std::string, Tensor>>(value, address) +
         count_in_container<std::unordered_map<std::string, Tensor>>(value, address);
}

// How often the tensor at the address is a member of the object, or an element of a bound container.
template <class... Tensors>
std::size_t count_in_instance(PyObject* instance, const void* address) {
  std::size_t count = 0;
  for (const auto& value :
       py::detail::values_and_holders(reinterpret_cast<py::detail::instance*>(instance))) {
    if (value.value_ptr() == nullptr) continue;
    count += (count_in_memory(value, address) + ... + count_in_containers<Tensors>(value, address));
  }
  return count;
}

// Lives as long as a call of a pybind11 function with a tensor of such an array as its argument. Where
// all that is left of the tensor then is a member of that object, the tensor lets the object go.
class returning_tensor {
 public:
  using counter = std::size_t (*)(PyObject* instance, const void* address);

  // Needs the GIL. Nothing happens where the tensor isn't on the memory of such an object, or where
  // there is no call.
  static void watch(const at::Tensor& tensor, counter count) {
    if (!tensor.has_storage()) return;
    const storage_memory memory = memory_of(tensor.storage());
    if (memory.holder == nullptr || !api().is_array(memory.holder)) return;
    PyObject* const instance = instance_behind(memory.holder);
    if (instance == nullptr) return;
    auto watching = std::make_unique<returning_tensor>(
        tensor, memory.holder, instance, count,
        hold_nobody(const_cast<void*>(memory.data), may_be_written(memory.holder),
                    tensor.device()));
    const auto capsule = py::reinterpret_steal<py::object>(
        PyCapsule_New(watching.get(), nullptr, [](PyObject* self) {
          const std::unique_ptr<returning_tensor> ended(
              static_cast<returning_tensor*>(PyCapsule_GetPointer(self, nullptr)));
          try {
            ended->settle();
          } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
            // No memory to look where the tensor is: it keeps the object.
          }
        }));
    if (!capsule) throw_python_error();
    watching.release();  // the capsule has it now
    try {
      py::detail::loader_life_support::add_patient(capsule);
    } catch (const py::cast_error&) {  // py::cast(), outside of any call
    }
  }

  returning_tensor(at::Tensor tensor, PyObject* array, PyObject* instance, counter count,
                   at::DataPtr hold)
      : hold_(std::move(hold)),
        tensor_(std::move(tensor)),
        storage_(tensor_.storage()),
        array_(array),
        instance_(instance),
        count_(count),
        members_before_(count_members()) {}

 private:
  void settle() {
    // The function may have given the tensor another storage, or the storage other memory.
    if (tensor_.unsafeGetTensorImpl()->storage().unsafeGetStorageImpl() !=
        storage_.unsafeGetStorageImpl()) {
      return;
    }
    const bool is_kept_once = tensor_.use_count() == 2 && storage_.use_count() == 2;
    if (!is_kept_once || count_members() != members_before_ + 1) return;
    c10::StorageImpl& storage = *storage_.unsafeGetStorageImpl();
    std::unique_lock<std::mutex> lock;
    if (may_move(storage)) lock = keep_in_place();
    at::DataPtr& hold = hold_of(storage);
    // The instance lives as long as the array, which the storage still holds.
    if (hold.get_deleter() == object_deleter() && hold.get_context() == array_) {
      std::swap(hold, hold_);
    }
  }

  // Before the call there are such words by chance only, in memory that is in use no more.
  std::size_t count_members() const { return count_(instance_, tensor_.unsafeGetTensorImpl()); }

  at::DataPtr hold_;  // of nobody, until it is exchanged: then of the array
  at::Tensor tensor_;
  at::Storage storage_;
  PyObject* array_;  // that the storage holds
  PyObject* instance_;
  counter count_;
  std::size_t members_before_;
};

}  // namespace detail
}  // namespace ndtorch
