#include "fuzz/arrays.h"

#include <pybind11/eval.h>

#include <algorithm>
#include <cstring>
#include <sstream>
#include <utility>

namespace fuzz {

namespace {

constexpr const char* subclasses_in_python = R"(
import numpy as np
armed = [False]
def no(*arguments, **names): raise KeyError('a subclass was asked')
class plain(np.ndarray): pass
class lying(np.ndarray):
  def __array_finalize__(self, other):
    if armed[0]: raise KeyError('__array_finalize__ was called')
  shape = strides = dtype = flags = data = base = ndim = size = property(no)
  __array_wrap__ = __array__ = __dlpack__ = __dlpack_device__ = no
  __array_interface__ = __cuda_array_interface__ = property(no)
class interface:
  def __init__(self, **fields): self.__array_interface__ = fields
)";

struct python_types {
  py::object plain, lying, armed, interface, masked_array, masked_all, matrix;
};

const python_types& types() {
  static const auto* const all = [] {
    py::dict names;
    names["__builtins__"] = py::module_::import("builtins");
    py::exec(subclasses_in_python, names);
    const auto numpy = py::module_::import("numpy");
    return new python_types{names["plain"],
                            names["lying"],
                            names["armed"],
                            names["interface"],
                            numpy.attr("ma").attr("MaskedArray"),
                            py::eval("lambda a: a.__setitem__((), masked)",
                                     py::dict(py::arg("masked") = numpy.attr("ma").attr("masked"))),
                            numpy.attr("matrix")};
  }();
  return *all;
}

py::object view_as(py::handle array, const py::object& type) {
  auto view = py::reinterpret_steal<py::object>(
      PyArray_View(array_of(array), nullptr, reinterpret_cast<PyTypeObject*>(type.ptr())));
  if (!view) throw py::error_already_set();
  return view;
}

// An array on memory that `base` keeps; null where NumPy refuses.
py::object array_on(void* data, PyArray_Descr* descr, const layout& shape, py::object base) {
  Py_INCREF(descr);
  auto made = py::reinterpret_steal<py::object>(PyArray_NewFromDescr(
      &PyArray_Type, descr, static_cast<int>(shape.sizes.size()), shape.sizes.data(),
      shape.strides.data(), data, NPY_ARRAY_WRITEABLE, nullptr));
  if (!made) {
    PyErr_Clear();
    return made;
  }
  if (PyArray_SetBaseObject(array_of(made), base.release().ptr()) != 0) {
    throw py::error_already_set();
  }
  return made;
}

// The objects that an array can have as its base, all of which own the same memory in the end.
py::object make_base(input& bytes, block& memory, std::string& history) {
  py::object capsule = block::capsule(&memory);
  const std::size_t kind = bytes.below(5);
  history += ", base " + std::to_string(kind);
  if (kind <= 1) return capsule;
  if (kind == 2) return py::make_tuple(capsule);
  const layout all{{static_cast<std::int64_t>(memory.size())}, {1}};
  py::object array = array_on(memory.data(), dtype_of(at::kByte).descr, all, std::move(capsule));
  if (kind == 3) return array;
  auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(array.ptr()));
  if (!view) throw py::error_already_set();
  return view;
}

py::object as_subclass(input& bytes, py::object array, bool& masked, std::string& history) {
  const std::size_t kind = bytes.below(12);
  switch (kind) {
    case 7:
      array = view_as(array, types().plain);
      break;
    case 8:
      array = view_as(array, types().lying);
      break;
    case 9:
    case 10:
      array = view_as(array, types().masked_array);
      if (kind == 10 && PyArray_SIZE(array_of(array)) > 0 && PyArray_SIZE(array_of(array)) < 512) {
        masked = true;
        array.attr("mask") = true;
      }
      break;
    case 11:
      if (PyArray_NDIM(array_of(array)) == 2) array = view_as(array, types().matrix);
      break;
    default:
      return array;
  }
  history += ", class " + py::cast<std::string>(py::type::handle_of(array).attr("__name__"));
  return array;
}

std::size_t make_rank(input& bytes) {
  const std::uint8_t how = bytes.byte();
  return how < 200 ? how % 5U : how < 235 ? how % 9U : how % 67U;
}

// Sizes of any kind whose elements are all one: what broadcasting makes.
layout make_vast_layout(input& bytes, std::int64_t item, std::size_t ndim) {
  layout shape;
  for (std::size_t i = 0; i < ndim; ++i) {
    shape.sizes.push_back(std::max<std::int64_t>(bytes.integer(), 0));
    shape.strides.push_back(shape.sizes.back() <= 1 || bytes.one_in(8) ? bytes.integer() : 0);
  }
  const bool empty = std::count(shape.sizes.begin(), shape.sizes.end(), 0) > 0;
  for (std::size_t i = 0; i < ndim && !empty; ++i) {
    if (shape.sizes[i] > 1 && shape.sizes[i] < 5) shape.strides[i] = item;
    if (shape.sizes[i] >= 5) shape.strides[i] = 0;
  }
  return shape;
}

}  // namespace

std::int64_t layout::count() const {
  std::int64_t total = 1;
  for (const std::int64_t size : sizes) {
    if (size == 0) return 0;
    if (__builtin_mul_overflow(total, size, &total)) total = INT64_MAX;
  }
  return total;
}

bool layout::is_small() const {
  layout without_zeros = *this;
  for (std::int64_t& size : without_zeros.sizes) size = std::max<std::int64_t>(size, 1);
  return count() <= 512 && without_zeros.count() <= (std::int64_t{1} << 40);
}

std::pair<std::int64_t, std::int64_t> layout::span(std::int64_t item) const {
  if (count() == 0) return {0, 0};
  std::int64_t first = 0, end = item;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) continue;  // its stride is never stepped, and may be any number
    const std::int64_t reach = strides[i] * (sizes[i] - 1);
    (reach < 0 ? first : end) += reach;
  }
  return {first, end};
}

layout make_layout(input& bytes, std::int64_t item, std::size_t ndim) {
  static constexpr std::int64_t some_sizes[] = {1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64};
  layout shape;
  std::int64_t total = 1;
  for (std::size_t i = 0; i < ndim; ++i) {
    const std::uint8_t how = bytes.byte();
    std::int64_t size = how < 8 ? 0 : ndim > 6 ? 1 + (how % 5 == 0) : some_sizes[how % 11];
    if (total * size > 512) size = 1;
    if (size > 0) total *= size;
    shape.sizes.push_back(size);
  }
  // Dense in some order of the axes, then changed.
  const std::size_t how = bytes.below(6);
  std::vector<std::size_t> order(ndim);
  for (std::size_t i = 0; i < ndim; ++i) order[i] = how == 1 ? i : ndim - 1 - i;
  if (how >= 2) {
    for (std::size_t i = 1; i < ndim && i < 8; ++i) std::swap(order[i], order[bytes.below(i + 1)]);
  }
  shape.strides.resize(ndim);
  std::int64_t next = item;
  for (const std::size_t axis : order) {
    static constexpr std::int64_t steps[] = {1, 1, 1, 2, 3, -1, -2, 0};
    const std::int64_t step = how >= 3 ? steps[bytes.below(8)] : 1;
    shape.strides[axis] = next * step;
    next *= std::max<std::int64_t>(shape.sizes[axis], 1) * std::max<std::int64_t>(step, 1);
    next = std::min(next, std::int64_t{1} << 40);  // too large in any case, as is seen below
  }
  for (std::size_t i = 0; i < ndim; ++i) {
    if (how == 4 && bytes.one_in(3)) shape.strides[i] = bytes.take<std::int8_t>() * item;
    if (how == 5 && bytes.one_in(3)) shape.strides[i] = bytes.take<std::int16_t>() % 700;
    if (shape.sizes[i] <= 1 && bytes.one_in(6)) shape.strides[i] = bytes.integer();
  }
  const auto [first, end] = shape.span(item);
  if (end - first > (1 << 16)) {
    for (std::size_t i = 0; i < ndim; ++i) shape.strides[i] = 0;
  }
  return shape;
}

void fill(input& bytes, block& memory, std::uint8_t* first, const layout& shape,
          const dtype& type) {
  std::memset(memory.data(), 0, memory.size());
  if (type.type == at::ScalarType::Undefined || shape.count() == 0 || shape.count() > 512) return;
  const std::size_t how = bytes.below(4);
  if (how == 0) {
    std::size_t i = bytes.byte();
    for_each_element(
        shape.sizes.size(), shape.sizes.data(), shape.strides.data(), [&](std::int64_t offset) {
          std::memcpy(first + offset, &type.values[i++ % 64 * type.item_size], type.item_size);
          return true;
        });
    return;
  }
  // A boolean may be any byte in NumPy, and mostly is 0 or 1.
  const std::uint8_t mask = type.type == at::kBool && how != 3 ? 1 : 0xff;
  std::uint64_t state = bytes.take<std::uint16_t>() | 1U;
  for (std::size_t i = 0; i < memory.size(); ++i) {
    if (how == 1) state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    const std::uint8_t byte = how == 1 ? static_cast<std::uint8_t>(state >> 20)
                              : how == 2
                                  ? static_cast<std::uint8_t>(i % 3 == 0 ? bytes.byte() : 0x7f)
                                  : static_cast<std::uint8_t>(i % 2 == 0 ? state >> 8 : state);
    memory.data()[i] = byte & mask;
  }
}

std::optional<fuzzed_array> make_array(input& bytes) {
  fuzzed_array made{};
  made.type = &dtypes()[bytes.below(dtypes().size())];
  const auto item = static_cast<std::int64_t>(made.type->item_size);
  const std::size_t ndim = make_rank(bytes);
  const bool vast = bytes.one_in(24);
  const layout shape = vast ? make_vast_layout(bytes, item, ndim) : make_layout(bytes, item, ndim);
  const auto [first, end] = shape.span(item);
  const std::size_t offset = bytes.one_in(4) ? bytes.below(17) : 0;

  made.memory = new block(static_cast<std::size_t>(end - first) + offset);
  std::uint8_t* const data = made.memory->data() + offset - first;
  std::string& history = made.history;
  history = vast ? "vast" : "small";
  py::object base = make_base(bytes, *made.memory, history);
  fill(bytes, *made.memory, data, shape, *made.type);
  made.memory->keep();
  // Vast arrays are all zero.
  made.valid_bools = made.type->type != at::kBool || !shape.is_small() ||
                     for_each_element(shape.sizes.size(), shape.sizes.data(), shape.strides.data(),
                                      [&](std::int64_t place) { return data[place] <= 1; });
  py::object plain = array_on(data, made.type->descr, shape, std::move(base));
  if (!plain) return std::nullopt;
  if (made.supported() && shape.is_small()) made.native = cast(plain, made.type->native);

  const std::uint8_t flags = bytes.byte();
  if ((flags & 1) != 0) PyArray_CLEARFLAGS(array_of(plain), NPY_ARRAY_WRITEABLE);
  if ((flags & 31) == 30) PyArray_CLEARFLAGS(array_of(plain), NPY_ARRAY_ALIGNED);
  const py::object class_ = types().interface;
  if ((flags & 14) == 14 && made.supported() && made.type->type != at::kComplexHalf && !vast &&
      PyArray_ISALIGNED(array_of(plain))) {
    // The same as another library would describe it.
    history += ", by __array_interface__";
    try {
      const py::dict fields = plain.attr("__array_interface__");
      const py::object holder = class_(**fields);
      holder.attr("keeps") = plain;
      const py::object again = py::module_::import("numpy").attr("asarray")(holder);
      if (PyArray_EquivTypes(PyArray_DESCR(array_of(again)), made.type->descr)) plain = again;
    } catch (const py::error_already_set& error) {
      history += std::string(" (no: ") + error.what() + ")";
    }
  }
  try {
    made.object = as_subclass(bytes, std::move(plain), made.masked, history);
  } catch (const py::error_already_set&) {
    return std::nullopt;
  }
  return made;
}

std::vector<const char*> reasons_against_a_view(const fuzzed_array& of) {
  PyArrayObject* const array = of.array();
  const auto item = static_cast<std::int64_t>(of.type->item_size);
  std::vector<const char*> reasons;
  for (std::size_t i = 0; i < rank(array) && !of.empty(); ++i) {
    if (PyArray_DIMS(array)[i] == 1) continue;
    const std::int64_t stride = PyArray_STRIDES(array)[i];
    if (stride % item != 0) reasons.push_back("given numpy array strides not a multiple of the");
    if (stride < 0) reasons.push_back("At least one stride in the given numpy array is negative");
  }
  if (of.type->swapped && item > 1) reasons.push_back("given numpy array has byte order different");
  // The address counts: NumPy's flag can be cleared by hand, and asks less of complex numbers.
  if (!of.empty() &&
      reinterpret_cast<std::uintptr_t>(PyArray_DATA(array)) % of.type->item_size != 0) {
    reasons.push_back("given numpy array is not aligned for its dtype.");
  }
  return reasons;
}

void arm_subclasses(bool armed) { types().armed[py::int_(0)] = armed; }

std::string fuzzed_array::describe() const {
  std::ostringstream text;
  const auto list = [&](const char* name, const npy_intp* numbers) {
    text << name << "(";
    for (std::size_t i = 0; i < rank(array()); ++i) text << numbers[i] << ", ";
    text << ")";
  };
  text << "array of dtype " << type->name << (type->swapped ? " (foreign byte order)" : "");
  list(", shape ", PyArray_DIMS(array()));
  list(", strides ", PyArray_STRIDES(array()));
  text << " bytes, at byte "
       << static_cast<const std::uint8_t*>(PyArray_DATA(array())) - memory->data() << " of "
       << memory->size() << ", flags " << PyArray_FLAGS(array()) << (writable() ? "" : " read-only")
       << (masked ? " masked" : "") << "; " << history
       << "\nmemory: " << hex(memory->data(), memory->size());
  return text.str();
}

}  // namespace fuzz
