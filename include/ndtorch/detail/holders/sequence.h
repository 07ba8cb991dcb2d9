// Python numbers and nested sequences, of numbers or of arrays: their shape, dtype and elements.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/dlpack_capsule.h>
#include <ndtorch/detail/holders/number.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/holders/protocols.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/copy_array.h>
#include <ndtorch/detail/torch/copy_tensor.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/request.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// The leaves of a nested sequence, in order. They are collected, and held, before the first
// element is stored: reading a sequence may run Python code, which may change what was read
// before.
struct nested_data {
  axis_list sizes;
  at::ScalarType dtype = at::ScalarType::Undefined;  // the wanted one, or promoted from the leaves
  // Where a dtype is wanted: that of a leaf which loses what it is in the cast, as a float does as an
  // integer. Python's integers don't, whose values are checked one by one; but negative ones do as
  // unsigned.
  std::optional<at::ScalarType> lossy;

  struct leaf {
    py::object object;  // a number, an array or a DLPack capsule
    at::Tensor tensor;  // or the memory of another holder
  };
  std::vector<leaf> leaves;  // all of one shape
};

class nested_reader {
 public:
  // Where a dtype is wanted, the leaves need have none in common.
  nested_reader(nested_data& data, std::optional<at::ScalarType> wanted)
      : data_(data), promotes_(!wanted) {
    if (wanted) data.dtype = *wanted;
  }

  void read(py::handle object, std::size_t depth = 0) {
    if (api().is_array(object)) {
      const array_source source = read_array(object);
      if (!source.can_be_copied()) throw_refused(source);
      const strided_view& view = source.view;
      for (std::size_t i = 0; i < view.ndim; ++i) enter(object, view.size_of[i], depth + i);
      add_leaf({py::reinterpret_borrow<py::object>(object), {}}, view.dtype, depth + view.ndim);
    } else if (api().is_scalar(object)) {
      auto array = py::reinterpret_steal<py::object>(api().from_scalar(object.ptr(), nullptr));
      if (!array) throw_python_error();
      const array_descr* const descr = reinterpret_cast<const array_object*>(array.ptr())->descr;
      const dtype_entry* entry = find_dtype(descr);
      if (entry == nullptr && !promotes_ && is_number(descr)) {
        add_leaf({py::reinterpret_borrow<py::object>(object), {}}, data_.dtype, depth);
      } else if (entry != nullptr && entry->is_built_in() && entry->kind != 'c') {
        // A number is checked against the dtype, the elements of an array are cast. PyTorch casts
        // complex scalars too.
        add_leaf({array.attr("item")(), {}}, entry->scalar_type, depth);
      } else {
        read(array, depth);
      }
    } else if (PyBool_Check(object.ptr())) {
      add_leaf({py::reinterpret_borrow<py::object>(object), {}}, at::kBool, depth);
    } else if (PyLong_Check(object.ptr())) {
      add_leaf({py::reinterpret_borrow<py::object>(object), {}}, at::kLong, depth);
    } else if (PyFloat_Check(object.ptr())) {
      add_leaf({py::reinterpret_borrow<py::object>(object), {}},
               c10::get_default_dtype_as_scalartype(), depth);
    } else if (PyComplex_Check(object.ptr())) {
      add_leaf({py::reinterpret_borrow<py::object>(object), {}},
               promotes_ ? default_complex_dtype() : data_.dtype, depth);
    } else if (const protocol* const spoken = find_protocol(object);
               spoken != nullptr && spoken->array_of != nullptr) {
      read(spoken->array_of(object), depth);
    } else if (spoken != nullptr && spoken->look_into != nullptr) {
      const strided_view view = spoken->look_into(object).view;
      for (std::size_t i = 0; i < view.ndim; ++i) enter(object, view.size_of[i], depth + i);
      add_leaf({py::reinterpret_borrow<py::object>(object), {}}, view.dtype, depth + view.ndim);
    } else if (spoken != nullptr) {
      const at::Tensor held = spoken->share(object);
      if (held.is_nested()) throw py::type_error(nested_is_not_dense);
      if (is_wrapper(held)) {
        throw py::type_error(
            "can't copy a tensor of a subclass with __torch_dispatch__, or one inside of "
            "torch.func, "
            "out of a sequence: its memory needn't be what it means. Put the plain tensor inside "
            "there, or pass torch.stack(tensors).");
      }
      const own_work unseen;
      at::Tensor tensor = held.detach();
      const auto ndim = static_cast<std::size_t>(tensor.dim());
      for (std::size_t i = 0; i < ndim; ++i) enter(object, tensor.sizes()[i], depth + i);
      const at::ScalarType dtype = tensor.scalar_type();
      add_leaf({{}, std::move(tensor)}, dtype, depth + ndim);
    } else if (PySequence_Check(object.ptr()) == 0 && is_number_like(object)) {
      if (promotes_) {
        throw py::type_error(c10::str("Could not infer dtype of ", type_name(object),
                                      ". Say the dtype in the options, or convert it first, with "
                                      "float(number)."));
      }
      add_leaf({py::reinterpret_borrow<py::object>(object), {}}, data_.dtype, depth);
    } else {
      read_sequence(object, depth);
    }
  }

 private:
  void read_sequence(py::handle object, std::size_t depth) {
    if (PyUnicode_Check(object.ptr()) || PySequence_Check(object.ptr()) == 0 ||
        is_mapping(object)) {
      throw py::type_error(
          c10::str("can't convert an object of type '", type_name(object),
                   "' to a tensor. Pass an array, a number, or a nested sequence of these."));
    }
    const py::object items = items_of(object);
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.ptr());
    enter(object, count, depth);
    if (count == 0) {
      finish_shape(depth + 1, object);
      promote(c10::get_default_dtype_as_scalartype());
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
      // A list is read in place, and reading an item may shorten it.
      if (PySequence_Fast_GET_SIZE(items.ptr()) != count) {
        throw py::value_error("a list changed its length while it was read.");
      }
      const auto item =
          py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(items.ptr(), i));
      read(item, depth + 1);
    }
  }

  // Some sequences have keys too, such as the rows of sqlite3.
  static bool is_mapping(py::handle object) {
    if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr())) return false;  // most, quickly
    return has_attribute(py::type::handle_of(object), "keys") &&
           py::isinstance(object, py::module_::import("collections.abc").attr("Mapping"));
  }

  // A list or a tuple. Of other sequences as many items as they say, by their numbers: what an iteration
  // gives may be something else, such as a table's columns.
  static py::object items_of(py::handle sequence) {
    if (PyList_Check(sequence.ptr()) || PyTuple_Check(sequence.ptr())) {
      return py::reinterpret_borrow<py::object>(sequence);
    }
    const Py_ssize_t count = PySequence_Size(sequence.ptr());
    if (count < 0) throw_python_error();
    auto items = py::reinterpret_steal<py::object>(PyList_New(0));
    if (!items) throw_python_error();
    for (Py_ssize_t i = 0; i < count; ++i) {
      const auto item = py::reinterpret_steal<py::object>(PySequence_GetItem(sequence.ptr(), i));
      if (!item || PyList_Append(items.ptr(), item.ptr()) != 0) throw_python_error();
    }
    return items;
  }

  // The axis at `depth` has `size` items here; everywhere else it must have as many.
  void enter(py::handle object, std::int64_t size, std::size_t depth) {
    if (depth >= max_ndim) {
      throw py::value_error(c10::str("too many dimensions '", type_name(object),
                                     "': a tensor made "
                                     "from nested sequences has at most ",
                                     max_ndim, "."));
    }
    if (depth == data_.sizes.size() && !shape_is_known_) {
      data_.sizes.push_back(size);
      return;
    }
    if (depth >= data_.sizes.size()) {
      throw py::value_error(c10::str("expected a number at dim ", depth, " (got a ",
                                     type_name(object), "): ", ragged));
    }
    if (data_.sizes[depth] != size) {
      throw py::value_error(c10::str("expected sequence of length ", data_.sizes[depth], " at dim ",
                                     depth, " (got ", size, "): ", ragged));
    }
  }

  // The first leaf, or the first empty sequence, tells the number of dimensions.
  void finish_shape(std::size_t depth, py::handle leaf) {
    shape_is_known_ = true;
    if (depth != data_.sizes.size()) {
      throw py::value_error(c10::str("expected sequence of length ", data_.sizes[depth], " at dim ",
                                     depth, " (got a ", leaf ? type_name(leaf) : "tensor",
                                     "): ", ragged));
    }
  }

  void add_leaf(nested_data::leaf leaf, at::ScalarType dtype, std::size_t depth) {
    finish_shape(depth, leaf.object);
    const bool is_checked = leaf.object && PyLong_Check(leaf.object.ptr()) != 0 &&
                            c10::isIntegralType(data_.dtype, /*includeBool=*/false) &&
                            !wraps_round(leaf.object, data_.dtype);
    if (!promotes_ && !is_checked && !is_same_kind_cast(dtype, data_.dtype)) data_.lossy = dtype;
    promote(dtype);
    data_.leaves.push_back(std::move(leaf));
  }

  // As PyTorch has it, -1 is 255 in uint8.
  static bool wraps_round(py::handle number, at::ScalarType dtype) {
    if (c10::isSignedType(dtype)) return false;
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    return overflow < 0 || (overflow == 0 && value < 0);
  }

  void promote(at::ScalarType dtype) {
    if (data_.dtype == at::ScalarType::Undefined) {
      data_.dtype = dtype;
    } else if (promotes_ && data_.dtype != dtype) {
      data_.dtype = with_python_errors([&] { return c10::promoteTypes(data_.dtype, dtype); });
    }
  }

  static constexpr const char* ragged =
      "the parts of a tensor must be of the same shape. Pad them, or convert them one by one.";

  nested_data& data_;
  bool promotes_;
  bool shape_is_known_ = false;
};

// Python code that ran since an array was first seen may have given it another shape or dtype.
[[noreturn]] inline void throw_changed() {
  throw py::value_error("an array changed its size while the sequence that holds it was read.");
}

// Copies an array or a tensor to `element`, where its part of a C-contiguous result begins;
// returns the end of that part, which is not past `end`.
inline std::byte* store_part(const nested_data::leaf& leaf, at::ScalarType dtype,
                             std::byte* element, const std::byte* end) {
  strided_view part;
  part.data = element;
  part.dtype = dtype;
  const auto result = [&] {
    set_dense_strides(part, c10::elementSize(dtype));
    if (part.nbytes > static_cast<std::size_t>(end - element)) throw_changed();
    return borrow_tensor(part);
  };
  if (leaf.tensor.defined()) {
    part.ndim = static_cast<std::size_t>(leaf.tensor.dim());
    std::copy(leaf.tensor.sizes().begin(), leaf.tensor.sizes().end(), part.size_of.begin());
    check_storage(leaf.tensor);  // which Python code that ran since may have freed
    const own_work unseen;
    result().copy_(readable(leaf.tensor, dtype));
  } else {
    const array_source source = read_array(leaf.object);
    if (!source.can_be_copied()) throw_refused(source);
    part.ndim = source.view.ndim;
    std::copy_n(source.view.size_of.begin(), part.ndim, part.size_of.begin());
    const own_work unseen;
    copy_elements(source, result());
  }
  return element + part.nbytes;
}

// Collects anything but a whole array. The dtype is the wanted one, or that of the leaves, or the
// default one where there are none.
inline nested_data read_nested(py::handle object, std::optional<at::ScalarType> wanted) {
  nested_data data;
  nested_reader(data, wanted).read(object);
  if (data.dtype == at::ScalarType::Undefined) data.dtype = c10::get_default_dtype_as_scalartype();
  return data;
}

// A new tensor of what was collected. Each element is stored once, in its final place. What a number's own
// __float__ does is not ndtorch's work.
inline at::Tensor copy_nested(const nested_data& data, const request& wanted) {
  const at::ScalarType dtype = data.dtype;
  if (wanted.requires_grad) check_may_require_grad(dtype);

  return with_python_errors([&]() -> at::Tensor {
    at::Tensor result = new_cpu_tensor(data.sizes, dtype, wanted.pinned);
    auto* element = static_cast<std::byte*>(result.mutable_data_ptr());
    const std::byte* const end = element + result.nbytes();
    struct place {
      const nested_data::leaf& leaf;
      std::byte *begin, *end;
    };
    // A capsule can be taken only once: that comes after all else that may be refused.
    std::vector<place> capsules;
    for (const nested_data::leaf& leaf : data.leaves) {
      if (leaf.tensor.defined() || api().is_array(leaf.object)) {
        element = store_part(leaf, dtype, element, end);
      } else if (PyCapsule_CheckExact(leaf.object.ptr())) {
        strided_view part = read_capsule(leaf.object).view;
        part.dtype = dtype;
        set_dense_strides(part, c10::elementSize(dtype));
        if (part.nbytes > static_cast<std::size_t>(end - element)) throw_changed();
        capsules.push_back({leaf, element, element + part.nbytes});
        element += part.nbytes;
      } else {
        if (element == end) throw_changed();
        store_number(leaf.object.ptr(), dtype, element);
        element += c10::elementSize(dtype);
      }
    }
    if (element != end) throw_changed();  // one that shrank would leave the rest uninitialised
    for (const place& one : capsules) {
      const nested_data::leaf taken{{}, share_capsule(one.leaf.object)};
      if (store_part(taken, dtype, one.begin, one.end) != one.end) throw_changed();
    }
    const at::Device device = wanted.device.value_or(at::Device(at::kCPU));
    if (device.is_cpu() && wanted.order != axis_order::f) return result;
    request moved = wanted;
    moved.dtype = dtype;
    moved.device = device;
    const own_work unseen;
    return copy_tensor(result, moved);
  });
}

}  // namespace detail
}  // namespace ndtorch
