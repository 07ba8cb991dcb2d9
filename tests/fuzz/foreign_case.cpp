// Memory of others: DLPack structures, descriptions of CUDA arrays, and buffers, true or not.
#include <ATen/dlpack.h>
#include <ndtorch/exchange.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/typed.h>
#include <pybind11/eval.h>
#include <pybind11/stl.h>

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/cases.h"

namespace fuzz {

namespace {

using ndtorch::tensor_t;

__extension__ using wide = __int128;

constexpr std::uint64_t most_bytes = INT64_MAX;

conversion of_dlpack("as_tensor, DLPack"), of_dlpack_copy("tensor, DLPack"),
    of_dlpack_dtype("as_tensor, DLPack, dtype"), of_dlpack_item("tensor, DLPack in a tuple"),
    of_dlpack_typed("tensor_t, DLPack"), of_dlpack_again("as_tensor, a refused capsule"),
    of_cuda("read_cuda_array"), of_cuda_object("as_tensor, CUDA array"), of_buffer("frombuffer"),
    of_whole_buffer("as_tensor, buffer");

// ----- DLPack

// What a producer gives away at each call of its __dlpack__, and what became of it.
struct producer {
  DLTensor tensor{};
  DLPackVersion version{};
  std::uint64_t flags = 0;
  bool has_deleter = true;
  std::vector<std::int64_t> sizes, strides;
  int made = 0, deleted = 0;

  template <class Managed>
  Managed* give() {
    // Kept by the case where nobody is to delete it.
    auto managed = std::make_unique<Managed>();
    managed->dl_tensor = tensor;
    managed->manager_ctx = this;
    managed->deleter = [](Managed* self) {
      ++static_cast<producer*>(self->manager_ctx)->deleted;
      delete self;
    };
    if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) {
      managed->version = version;
      managed->flags = flags;
    }
    ++made;
    if (!has_deleter) {
      managed->deleter = nullptr;
      left.emplace_back(managed.get(), [](void* one) { delete static_cast<Managed*>(one); });
    }
    return managed.release();
  }

  std::vector<std::unique_ptr<void, void (*)(void*)>> left;
};

producer* current = nullptr;

template <class Managed>
py::object capsule_named(const char* name) {
  return py::reinterpret_steal<py::object>(
      PyCapsule_New(current->give<Managed>(), name, [](PyObject* self) {
        const char* const given = PyCapsule_GetName(self);
        auto* const managed = static_cast<Managed*>(PyCapsule_GetPointer(self, given));
        if (std::string(given).rfind("used", 0) == 0) return;
        if (managed->deleter != nullptr) managed->deleter(managed);
      }));
}

int give_to_table(void*, DLManagedTensorVersioned** out) {
  *out = current->give<DLManagedTensorVersioned>();
  return 0;
}

constexpr const char* producers_in_python = R"(
class versioned:
  def __dlpack_device__(self): return (1, 0)
  def __dlpack__(self, **arguments): return give_versioned()
class old(versioned):
  def __dlpack__(self, stream=None): return give_old()
class old_with_arguments(versioned):
  def __dlpack__(self, **arguments): return give_old()
class table(versioned):
  __dlpack_c_exchange_api__ = functions
class used(versioned):
  def __dlpack__(self, **arguments): return give_used()
class same(versioned):
  capsule = None
  def __dlpack__(self, **arguments):
    if self.capsule is None: self.capsule = give_versioned()
    return self.capsule
objects = [versioned, old, old_with_arguments, table, used, same]
)";
// Their places in the list; 1 and 2 are the old protocol's. Then capsules that nobody gives.
constexpr std::size_t versioned = 0, table = 3, used = 4, same = 5;
constexpr std::size_t capsule = 6, old_capsule = 7, used_capsule = 8, kinds = 9;

bool has_version(std::size_t kind) {
  return kind == versioned || kind == table || kind == same || kind == capsule;
}

py::object make_producer(std::size_t kind) {
  if (kind == capsule) return capsule_named<DLManagedTensorVersioned>("dltensor_versioned");
  if (kind == old_capsule) return capsule_named<DLManagedTensor>("dltensor");
  if (kind == used_capsule) return capsule_named<DLManagedTensor>("tensor");
  static const auto* const classes = [] {
    static DLPackExchangeAPI functions{};
    functions.header = {{DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION}, nullptr};
    functions.managed_tensor_from_py_object_no_sync = &give_to_table;
    py::dict names;
    names["__builtins__"] = py::module_::import("builtins");
    names["functions"] = py::capsule(&functions, "dlpack_exchange_api");
    names["give_versioned"] = py::cpp_function(
        [] { return capsule_named<DLManagedTensorVersioned>("dltensor_versioned"); });
    names["give_old"] = py::cpp_function([] { return capsule_named<DLManagedTensor>("dltensor"); });
    names["give_used"] = py::cpp_function([] { return capsule_named<DLManagedTensor>("tensor"); });
    py::exec(producers_in_python, names);
    return new py::list(names["objects"]);
  }();
  return (*classes)[kind]();
}

// What the structure says, read anew and in wide numbers.
struct reading {
  raised error = raised::nothing;  // what it is refused with, at least
  bool may_be_refused = false;
  layout shape;         // strides in bytes
  bool inside = false;  // within the memory
};

reading read(const producer& from, std::size_t kind, const block& memory) {
  reading result;
  const auto refused = [&](raised error) {
    result.error = error;
    return result;
  };
  const bool is_versioned = has_version(kind);
  if (kind == used || kind == used_capsule) return refused(raised::type);
  if (is_versioned && from.version.major != DLPACK_MAJOR_VERSION) return refused(raised::buffer);
  const DLTensor& tensor = from.tensor;
  const dtype* type = nullptr;
  for (const ndtorch::detail::dtype_entry& entry : ndtorch::detail::dtypes) {
    if (entry.dlpack_code == tensor.dtype.code && entry.item_size * 8 == tensor.dtype.bits &&
        tensor.dtype.lanes == 1) {
      type = &dtype_of(entry.scalar_type);
    }
  }
  if (type == nullptr) return refused(raised::type);
  const bool on_host = tensor.device.device_type == kDLCPU ||
                       tensor.device.device_type == kDLCUDAHost ||
                       tensor.device.device_type == kDLROCMHost;
  if (!on_host) return refused(raised::other_python);  // by any of two types
  if (tensor.ndim < 0 || tensor.ndim > 64) return refused(raised::value);
  if (tensor.ndim > 0 && tensor.shape == nullptr) return refused(raised::value);
  const auto item = static_cast<std::int64_t>(type->item_size);
  wide product = item, next = item, end = item;
  bool empty = false;
  for (int i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] < 0) return refused(raised::value);
    empty |= tensor.shape[i] == 0;
    product *= tensor.shape[i] > 0 ? tensor.shape[i] : 1;
    if (product > most_bytes) return refused(raised::value);
  }
  result.shape.sizes.assign(tensor.shape, tensor.shape + tensor.ndim);
  result.shape.strides.resize(static_cast<std::size_t>(tensor.ndim));
  for (int i = tensor.ndim; i-- > 0;) {
    const std::int64_t size = tensor.shape[i];
    const wide stride =
        tensor.strides != nullptr ? static_cast<wide>(tensor.strides[i]) * item : next;
    next *= size > 0 ? size : 1;
    if (empty || size == 1) continue;
    if (stride < 0) return refused(raised::value);
    end += stride * (size - 1);
    if (end > most_bytes) return refused(raised::value);
    result.shape.strides[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(stride);
  }
  if (empty) {
    result.may_be_refused = tensor.data != nullptr;  // where it is misaligned
    result.inside = true;
    return result;
  }
  if (tensor.data == nullptr) return refused(raised::value);
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.byte_offset;
  const bool wraps =
      address < tensor.byte_offset || address + static_cast<std::uint64_t>(end) < address;
  if (wraps) return refused(raised::value);
  if (address % type->item_size != 0) return refused(raised::value);
  result.inside =
      memory.contains(reinterpret_cast<const void*>(address), static_cast<std::size_t>(end));
  return result;
}

std::string describe(const producer& from, std::size_t kind) {
  std::ostringstream text;
  text << "DLPack by way " << kind << ": " << ndtorch::detail::describe(from.tensor)
       << ", byte offset " << from.tensor.byte_offset << ", version " << from.version.major << "."
       << from.version.minor << ", flags " << from.flags << ", data "
       << (from.tensor.data == nullptr ? "null" : "there");
  return text.str();
}

void make_structure(input& bytes, producer& made, block& memory, const dtype& type,
                    const layout& shape, std::uint8_t* first) {
  const auto item = static_cast<std::int64_t>(type.item_size);
  made.sizes = shape.sizes;
  for (const std::int64_t stride : shape.strides) made.strides.push_back(stride / item);
  const ndtorch::detail::dtype_entry* const entry = ndtorch::detail::find_dtype(type.type);
  DLTensor& tensor = made.tensor;
  tensor.dtype = {static_cast<std::uint8_t>(entry->dlpack_code),
                  static_cast<std::uint8_t>(item * 8), 1};
  tensor.ndim = static_cast<std::int32_t>(shape.sizes.size());
  tensor.device = {kDLCPU, 0};
  tensor.data = first;
  made.version = {1, static_cast<std::uint32_t>(bytes.below(5))};
  made.flags = bytes.below(8);
  made.has_deleter = !bytes.one_in(8);
  // Then lies, mostly none.
  const std::size_t count = bytes.one_in(2) ? bytes.below(4) : 0;
  for (std::size_t i = 0; i < count; ++i) {
    switch (bytes.below(12)) {
      case 0:
        tensor.data = nullptr;
        break;
      case 1:
        tensor.byte_offset =
            bytes.one_in(4) ? static_cast<std::uint64_t>(bytes.integer()) : bytes.below(32);
        break;
      case 2:
        tensor.dtype = {bytes.byte(), bytes.byte(), bytes.take<std::uint16_t>()};
        break;
      case 3:
        tensor.dtype.bits = static_cast<std::uint8_t>(1U << bytes.below(8));
        break;
      case 4:
        tensor.device = {static_cast<DLDeviceType>(bytes.below(20)),
                         static_cast<std::int32_t>(bytes.integer())};
        break;
      case 5:
        tensor.ndim = static_cast<std::int32_t>(bytes.integer());
        break;
      case 6:
        made.version.major = static_cast<std::uint32_t>(bytes.below(4));
        break;
      case 7:
        if (!made.sizes.empty()) made.sizes[bytes.below(made.sizes.size())] = bytes.integer();
        break;
      case 8:
        if (!made.strides.empty()) made.strides[bytes.below(made.strides.size())] = bytes.integer();
        break;
      case 9:
        made.flags = bytes.take<std::uint64_t>();
        break;
      case 10:
        tensor.data = memory.data() + bytes.below(17);
        break;
      default:
        tensor.dtype.lanes = bytes.take<std::uint16_t>();
    }
  }
  // The arrays are as long as the structure says, as far as that is possible.
  if (tensor.ndim >= 0 && tensor.ndim <= 80) {
    made.sizes.resize(static_cast<std::size_t>(tensor.ndim), 1);
    made.strides.resize(static_cast<std::size_t>(tensor.ndim), 1);
  }
  tensor.shape = bytes.one_in(24) ? nullptr : made.sizes.data();
  tensor.strides = bytes.one_in(6) ? nullptr : made.strides.data();
}

}  // namespace

void dlpack_case(input& bytes) {
  const dtype& type = dtypes()[bytes.below(native_dtypes)];
  const auto item = static_cast<std::int64_t>(type.item_size);
  const std::size_t ndim = bytes.below(bytes.one_in(8) ? 66 : 5);
  layout shape = make_layout(bytes, item, ndim);
  for (std::int64_t& stride : shape.strides) stride = stride / item * item;
  const auto [begin, end] = shape.span(item);
  const auto memory = std::make_unique<block>(static_cast<std::size_t>(end - begin));
  fill(bytes, *memory, memory->data() - begin, shape, type);
  memory->keep();

  producer from;
  make_structure(bytes, from, *memory, type, shape, memory->data() - begin);
  const std::size_t kind = bytes.below(kinds);
  current = &from;
  const description says(
      [&] { return describe(from, kind) + "\nmemory: " + hex(memory->data(), memory->size()); });
  const reading expected = read(from, kind, *memory);
  const bool read_only = has_version(kind) && (from.flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0;

  // What NumPy reads from the same memory.
  py::object native;
  const dtype* said = nullptr;
  if (expected.error == raised::nothing) {
    for (const ndtorch::detail::dtype_entry& entry : ndtorch::detail::dtypes) {
      if (entry.dlpack_code == from.tensor.dtype.code &&
          entry.item_size * 8 == from.tensor.dtype.bits) {
        said = &dtype_of(entry.scalar_type);
      }
    }
    // A boolean out of other numbers' bytes has no meaning, and beyond the memory nobody may read.
    const bool readable = expected.inside && (said->type != at::kBool || type.type == at::kBool);
    if (readable && expected.shape.is_small()) {
      Py_INCREF(said->descr);
      void* const place = expected.shape.count() == 0  // then the offset may be any number
                              ? static_cast<void*>(memory->data())
                              : static_cast<char*>(from.tensor.data) + from.tensor.byte_offset;
      const auto view = py::reinterpret_steal<py::object>(PyArray_NewFromDescr(
          &PyArray_Type, said->descr, from.tensor.ndim, expected.shape.sizes.data(),
          expected.shape.strides.data(), place, 0, nullptr));
      if (view) {
        native = cast(view, said->descr);
      } else {
        PyErr_Clear();  // empty, but with an overflow beside the 0
      }
    }
  }

  const auto run = [&](conversion& what, auto&& convert, auto&& look) {
    {
      const py::object object = make_producer(kind);
      at::Tensor tensor;
      const outcome result = attempt(what, [&] { tensor = convert(object); });
      if (result.ok()) {
        expect(expected.error == raised::nothing, "it should have been refused");
        look(tensor);
      } else if (&what != &of_dlpack_typed && expected.error != raised::other_python) {
        if (expected.error == raised::nothing && !expected.may_be_refused) {
          fail("it was refused: " + result.text);
        }
        expect(result.error == expected.error || expected.may_be_refused, "another exception");
      }
      expect(Py_REFCNT(object.ptr()) == 1 || (result.ok() && tensor.defined()),
             "a reference to the producer is left");
    }
    expect(!from.has_deleter || from.made == from.deleted, "not each structure was deleted once");
    expect(memory->is_as_kept(), "the memory was written");
  };
  run(
      of_dlpack, [](py::handle object) { return ndtorch::as_tensor(object); },
      [&](const at::Tensor& tensor) {
        expect(tensor.scalar_type() == said->type, "the dtype is another");
        expect(tensor.sizes() == at::IntArrayRef(expected.shape.sizes), "the sizes are others");
        expect(ndtorch::detail::may_be_written(tensor.storage()) == !read_only,
               "whether it may be written");
        if (tensor.numel() == 0) return;
        expect(tensor.storage().data() ==
                   static_cast<char*>(from.tensor.data) + from.tensor.byte_offset,
               "it is on other memory");
        for (std::size_t i = 0; i < expected.shape.sizes.size(); ++i) {
          if (expected.shape.sizes[i] == 1) continue;
          expect(tensor.strides()[i] * static_cast<std::int64_t>(said->item_size) ==
                     expected.shape.strides[i],
                 "a stride is another");
        }
        if (native) export_case(bytes, tensor);
        if (native) expect_cast(tensor, native, *said);
      });
  if (expected.error == raised::nothing && !native) return;  // of this nobody may make a copy
  const auto look = [&](const at::Tensor& tensor) { expect_cast(tensor, native, *said); };
  const auto look_at_copy = [&](const at::Tensor& tensor) {
    expect_cast(tensor, native, *said);
    expect(has_valid_bools(elements_of(tensor)), "a copy holds bools other than 0 and 1");
  };
  const at::ScalarType other = some_scalar_type(bytes);
  run(of_dlpack_copy, [](py::handle object) { return ndtorch::tensor(object); }, look_at_copy);
  run(of_dlpack_dtype, [&](py::handle object) { return ndtorch::as_tensor(object, other); }, look);
  if (from.tensor.ndim < 64) {
    run(
        of_dlpack_item, [](py::handle object) { return ndtorch::tensor(py::make_tuple(object)); },
        [&](const at::Tensor& tensor) { look_at_copy(tensor[0]); });
  }
  if (kind == capsule || kind == old_capsule) {
    // What an overload looked at is there for the next.
    run(
        of_dlpack_again,
        [](py::handle object) {
          // Loaded and not called with, as where another argument is refused.
          using one_byte = tensor_t<const std::uint8_t, ndtorch::ndim<1>>;
          py::detail::make_caster<one_byte> refuses;
          py::detail::make_caster<tensor_t<const double>> looks_only;
          static_cast<void>(refuses.load(object, false));
          static_cast<void>(looks_only.load(object, true));
          return ndtorch::as_tensor(object);
        },
        look);
  }
  run(
      of_dlpack_typed,
      [](py::handle object) {
        return tensor_t<const float, ndtorch::c_contig, ndtorch::any_cast>::from(object,
                                                                                 /*convert=*/true);
      },
      look);
}

// ----- descriptions of CUDA arrays

namespace {

// An object that describes itself so, to NumPy as memory of the CPU and to others as a GPU's.
py::object described(const py::dict& fields) {
  static const auto* const type = [] {
    py::dict names;
    names["__builtins__"] = py::module_::import("builtins");
    py::exec(
        "class described:\n"
        "  def __init__(self, fields): self.fields = fields\n"
        "  __array_interface__ = __cuda_array_interface__ = property(lambda self: self.fields)\n",
        names);
    return new py::object(names["described"]);
  }();
  return (*type)(fields);
}

}  // namespace

void cuda_array_case(input& bytes) {
  // The memory is the CPU's: read_cuda_array() only reads the description. NumPy reads the same as
  // an __array_interface__.
  const dtype& type = dtypes()[bytes.below(dtypes().size())];
  const auto item = static_cast<std::int64_t>(type.item_size);
  const layout shape = make_layout(bytes, item, bytes.below(bytes.one_in(8) ? 66 : 5));
  const auto [first, end] = shape.span(item);
  const auto memory = std::make_unique<block>(static_cast<std::size_t>(end - first));
  memory->keep();

  const auto odd_object = [&]() -> py::object {
    switch (bytes.below(9)) {
      case 0:
        return py::none();
      case 1:
        return py::int_(bytes.integer());
      case 2:
        return py::float_(1.5);
      case 3:
        return py::str("<f4");
      case 4:
        return py::make_tuple(1, py::str("x"));
      case 5:
        return py::make_tuple(bytes.integer(), bytes.integer());
      case 6:
        return py::list();
      case 7:
        return py::int_(1).attr("__lshift__")(bytes.byte());
      default:
        return py::bytes("\xff\x00");
    }
  };
  py::dict interface;
  interface["shape"] = py::tuple(py::cast(shape.sizes));
  interface["strides"] = py::tuple(py::cast(shape.strides));
  interface["typestr"] =
      py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(type.descr)).attr("str");
  interface["data"] =
      py::make_tuple(reinterpret_cast<std::uintptr_t>(memory->data() - first), bytes.one_in(2));
  interface["version"] = 3;
  static constexpr const char* keys[] = {"shape", "strides", "typestr", "data", "mask", "stream"};
  const std::size_t lies = bytes.one_in(2) ? 1 + bytes.below(2) : 0;
  for (std::size_t i = 0; i < lies; ++i) {
    const char* const key = keys[bytes.below(6)];
    const std::size_t how = bytes.below(4);
    if (how == 0 && interface.contains(key)) {
      interface.attr("pop")(key);
    } else if (how == 1 && py::isinstance<py::tuple>(interface.attr("get")(key))) {
      py::list changed(interface[key]);
      if (!changed.empty()) changed[bytes.below(changed.size())] = odd_object();
      interface[key] = py::tuple(changed);
    } else {
      interface[key] = odd_object();
    }
  }
  const description says([&] { return "CUDA array " + std::string(py::repr(interface)); });
  const py::tuple values(interface.attr("values")());
  const auto references_to_values = [&] {
    std::vector<Py_ssize_t> counts{Py_REFCNT(interface.ptr())};
    for (const py::handle value : values) {
      if (PyTuple_CheckExact(value.ptr()) && py::len(value) > 0) {  // not shared with others
        counts.push_back(Py_REFCNT(value.ptr()));
      }
    }
    return counts;
  };
  const std::vector<Py_ssize_t> references = references_to_values();

  ndtorch::detail::strided_view view{};
  const outcome result =
      attempt(of_cuda, [&] { view = ndtorch::detail::read_cuda_array(interface); });
  expect(references_to_values() == references, "references are left");
  if (result.ok()) {
    static const auto* const asarray = new py::object(py::module_::import("numpy").attr("asarray"));
    py::object array;
    try {
      if (!interface.contains("mask")) array = (*asarray)(described(interface));
    } catch (const py::error_already_set& error) {
      // NumPy multiplies all sizes, and takes no flag but True and False.
    }
    if (array && view.nbytes > 0) {
      PyArrayObject* const a = array_of(array);
      expect(view.sizes().equals({PyArray_DIMS(a), rank(a)}), "other sizes than NumPy");
      expect(PyArray_DATA(a) == view.data, "other memory than NumPy");
      expect(PyArray_EquivTypes(PyArray_DESCR(a), dtype_of(view.dtype).descr) != 0,
             "another dtype than NumPy");
      expect((PyArray_ISWRITEABLE(a) != 0) == view.writable, "other flags than NumPy");
      for (std::size_t i = 0; i < rank(a); ++i) {
        expect(PyArray_DIMS(a)[i] == 1 ||
                   PyArray_STRIDES(a)[i] ==
                       view.stride_of[i] * static_cast<std::int64_t>(c10::elementSize(view.dtype)),
               "other strides than NumPy");
      }
    }
  } else {
    expect(result.error == raised::value || result.error == raised::type ||
               result.error == raised::overflow,
           "another exception");
  }
  const py::object object = described(interface);
  const outcome whole = attempt(of_cuda_object, [&] { ndtorch::as_tensor(object); });
  expect(whole.error == (result.ok() ? raised::runtime : result.error), "another exception");
  expect(Py_REFCNT(object.ptr()) == 1, "a reference to the object is left");
}

// ----- buffers

void buffer_case(input& bytes) {
  static const auto* const makers = new py::list(py::eval(
      "[lambda d: d, lambda d: bytearray(d), lambda d: memoryview(d), lambda d: "
      "memoryview(bytearray(d)),"
      " lambda d: memoryview(bytearray(d))[::2], lambda d: array('b', d), lambda d: array('H', d),"
      " lambda d: memoryview(bytearray(d))[1:], lambda d: memoryview(d)[::-1], lambda d: 'text']",
      py::dict(py::arg("array") = py::module_::import("array").attr("array"))));
  std::string content;
  const std::size_t size = bytes.below(130);
  const std::uint8_t seed = bytes.byte();
  for (std::size_t i = 0; i < size; ++i) content += static_cast<char>(seed + 31 * i);
  const std::size_t kind = bytes.below(makers->size());
  if (kind == 6) content.resize(size / 2 * 2);
  const py::object object = (*makers)[kind](py::bytes(content));
  const std::size_t which = bytes.below(native_dtypes + 1);
  const at::ScalarType type = which < native_dtypes ? dtypes()[which].type : at::kQUInt8;
  const std::int64_t count = bytes.one_in(2) ? -1 : bytes.integer();
  const std::int64_t offset = bytes.one_in(2) ? 0 : bytes.integer();
  const description says([&] {
    return "buffer " + std::string(py::repr(object)) + " as " + c10::toString(type) + ", count " +
           std::to_string(count) + ", offset " + std::to_string(offset);
  });
  const Py_ssize_t references = Py_REFCNT(object.ptr());

  Py_buffer buffer{};
  const bool has_buffer = PyObject_GetBuffer(object.ptr(), &buffer, PyBUF_FULL_RO) == 0;
  PyErr_Clear();
  const bool contiguous = has_buffer && PyBuffer_IsContiguous(&buffer, 'C') != 0;
  const auto* const data = static_cast<const std::uint8_t*>(buffer.buf);
  const std::int64_t length = has_buffer ? buffer.len : 0;
  const bool writable = has_buffer && buffer.readonly == 0;
  if (has_buffer) PyBuffer_Release(&buffer);
  std::int64_t item = 1;
  bool can_be = contiguous && which < native_dtypes && length > 0 && count != 0 && offset >= 0 &&
                offset < length;
  if (can_be) {
    item = static_cast<std::int64_t>(dtypes()[which].item_size);
    const std::int64_t left = length - offset;
    can_be = count < 0 ? left % item == 0 : count <= left / item;
    can_be &=
        reinterpret_cast<std::uintptr_t>(data + offset) % static_cast<std::uintptr_t>(item) == 0;
  }
  {
    at::Tensor tensor;
    const outcome result =
        attempt(of_buffer, [&] { tensor = ndtorch::frombuffer(object, type, count, offset); });
    expect(result.ok() == can_be, "frombuffer should have done otherwise");
    if (result.ok()) {
      expect(tensor.storage().data() == data + offset, "it is on other memory");
      expect(tensor.numel() == (count < 0 ? (length - offset) / item : count), "its length");
      expect(ndtorch::detail::may_be_written(tensor.storage()) == writable,
             "whether it may be written");
      if (!writable && bytes.one_in(2)) {
        tensor.mutable_data_ptr();
        expect(tensor.storage().data() != data + offset, "a write would go to read-only memory");
      }
      if (type != at::kBool) export_case(bytes, tensor);
    } else {
      expect(result.error == raised::value || result.error == raised::type ||
                 result.error == raised::runtime,
             "another exception");
    }
  }
  expect(Py_REFCNT(object.ptr()) == references, "references to the buffer are left");
  {
    at::Tensor tensor;
    const outcome result = attempt(of_whole_buffer, [&] { tensor = ndtorch::as_tensor(object); });
    expect(result.ok() == has_buffer, "as_tensor should have done otherwise");
    if (result.ok()) {
      const py::object array = py::module_::import("numpy").attr("asarray")(object);
      // bytes are text to NumPy, and numbers as a buffer.
      if (kind != 0) {
        expect(same_bytes(elements_of(tensor), cast(array, PyArray_DESCR(array_of(array)))),
               "NumPy reads the buffer otherwise");
      }
    }
  }
  expect(Py_REFCNT(object.ptr()) == references, "references to the buffer are left");
}

}  // namespace fuzz
