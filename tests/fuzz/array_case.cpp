// Arrays, into tensors by every way there is.
#include <c10/core/StorageImpl.h>
#include <ndtorch/explain.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/typed.h>

#include <algorithm>
#include <string>
#include <utility>

#include "fuzz/cases.h"

namespace fuzz {

namespace {

using ndtorch::on_read_only;
using ndtorch::tensor_t;

// What the caster says.
constexpr const char* no_reason = "load() said no";

// An array under conversion, and what is checked around each call.
class checked_array {
 public:
  explicit checked_array(const fuzzed_array& of)
      : of_(of), reasons_(reasons_against_a_view(of)), references_(Py_REFCNT(of.object.ptr())) {}

  bool viewable() const { return of_.copyable() && reasons_.empty(); }
  const fuzzed_array& of() const { return of_; }
  bool has_elements() const { return static_cast<bool>(of_.native); }  // to compare with

  // Runs the conversion, lets `look` look at the tensor, and drops it: nothing may be left.
  template <class Convert, class Look>
  void run(conversion& what, bool should_succeed, Convert&& convert, Look&& look) const {
    {
      at::Tensor tensor;
      const outcome result = attempt(what, [&] { tensor = convert(of_.object); });
      if (result.ok() != should_succeed) {
        fail(result.ok() ? "it should have been refused" : "it was refused: " + result.text);
      }
      if (result.ok()) {
        look(tensor);
      } else {
        expect(result.error == raised::type || result.error == raised::value ||
                   result.error == raised::runtime,
               "the exception is of another type");
        refused(result);
      }
    }
    expect(Py_REFCNT(of_.object.ptr()) == references_, "references to the array are left");
    expect(of_.memory->is_as_kept(), "the array's memory was written");
  }

  // The words for what is wrong with the array; a call can be refused for other reasons.
  void refused(const outcome& result) const {
    if (result.says(no_reason)) return;
    if (!of_.supported()) {
      expect(result.says("can't convert np.ndarray of type"), "the dtype is not named");
    } else if (of_.masked) {
      expect(result.says("can't convert a masked array with masked values"), "no word of the mask");
    }
  }
  bool names_a_reason(const outcome& result) const {
    return std::any_of(reasons_.begin(), reasons_.end(),
                       [&](const char* reason) { return result.says(reason); });
  }

  // A tensor on the array's own memory, as the array describes it.
  void expect_view(const at::Tensor& tensor) const {
    PyArrayObject* const array = of_.array();
    const auto item = static_cast<std::int64_t>(of_.type->item_size);
    expect(Py_REFCNT(of_.object.ptr()) == references_ + 1, "it does not hold the array once");
    expect(tensor.scalar_type() == of_.type->type, "the dtype is another");
    expect(tensor.sizes() == at::IntArrayRef(PyArray_DIMS(array), rank(array)), "the shape");
    expect(tensor.storage_offset() == 0 && tensor.storage().data() == PyArray_DATA(array),
           "it is on other memory");
    const std::size_t nbytes = tensor.storage().nbytes();
    if (of_.empty()) {
      expect(nbytes == 0, "the storage of an empty tensor is not empty");
      return;
    }
    expect(of_.memory->contains(tensor.storage().data(), nbytes), "it reaches beyond the memory");
    std::int64_t end = item;
    for (std::size_t i = 0; i < rank(array); ++i) {
      if (PyArray_DIMS(array)[i] == 1) continue;
      end += PyArray_STRIDES(array)[i] * (PyArray_DIMS(array)[i] - 1);
      expect(tensor.strides()[i] * item == PyArray_STRIDES(array)[i], "a stride is another");
    }
    expect(static_cast<std::int64_t>(nbytes) == end, "the storage is of another size");
    if (has_elements()) expect_cast(tensor, of_.native, *of_.type);
  }

  // A tensor on memory of its own.
  void expect_copy(const at::Tensor& tensor, at::ScalarType dtype) const {
    expect(Py_REFCNT(of_.object.ptr()) == references_, "a copy holds the array");
    expect(tensor.scalar_type() == dtype, "the dtype is another");
    expect(tensor.is_non_overlapping_and_dense(), "a copy has gaps");
    expect(tensor.storage().nbytes() == tensor.nbytes(), "a copy's storage is of another size");
    expect(tensor.nbytes() == 0 || !of_.memory->contains(tensor.const_data_ptr(), 1),
           "it shares the memory");
    expect_cast(tensor, of_.native, *of_.type);
    expect(has_valid_bools(elements_of(tensor)), "a copy holds bools other than 0 and 1");
  }

  // explain() says what the function did.
  void expect_explained(const std::string& text, const char* function, bool succeeded,
                        bool shared) const {
    const std::string start = std::string("\n  ") + function + ": ";
    const auto found = text.find(start);
    if (found == std::string::npos) fail("explain() says nothing of " + start + text);
    const char* const said = !succeeded ? "refuses: " : shared ? "shares" : "copies";
    if (text.compare(found + start.size(), std::string(said).size(), said) != 0) {
      fail("explain() doesn't say '" + std::string(said) + "' of" + start + "it says " + text);
    }
  }

 private:
  const fuzzed_array& of_;
  std::vector<const char*> reasons_;
  Py_ssize_t references_;
};

conversion of_from_numpy("from_numpy"), of_from_numpy_error("from_numpy, error"),
    of_from_numpy_warn("from_numpy, warn"), of_from_numpy_typed("from_numpy<T>"),
    of_tensor("tensor"), of_tensor_dtype("tensor, dtype"), of_tensor_typed("tensor<T>"),
    of_Tensor("Tensor"), of_as_tensor("as_tensor"), of_as_tensor_dtype("as_tensor, dtype"),
    of_sequence("tensor, sequence"), of_list("tensor, list of numbers"),
    of_memoryview("as_tensor, memoryview"), of_typed("tensor_t"), of_caster("tensor_t, caster"),
    of_explain("explain");

// A tensor of a read-only array leaves its memory with the first write, and holds the array still.
void expect_copy_on_write(const checked_array& array, const at::Tensor& tensor) {
  const void* const shared = tensor.storage().data();
  const Py_ssize_t held = Py_REFCNT(array.of().object.ptr());
  if (tensor.storage().nbytes() > (1 << 16)) return;
  tensor.mutable_data_ptr();
  expect(tensor.nbytes() == 0 || tensor.storage().data() != shared, "the write went to the array");
  expect(Py_REFCNT(array.of().object.ptr()) == held, "the write let the array go");
  if (array.has_elements()) {
    expect_cast(tensor, array.of().native, *array.of().type);
  }
}

template <class T>
void run_typed(const checked_array& array) {
  const at::ScalarType type = ndtorch::scalar_type_of_v<T>;
  array.run(
      of_from_numpy_typed, array.viewable() && array.of().type->type == type,
      [](py::handle a) { return ndtorch::from_numpy<T>(a); },
      [&](const at::Tensor& tensor) { array.expect_view(tensor); });
  if (!array.has_elements()) return;
  array.run(
      of_tensor_typed, array.of().copyable(), [](py::handle a) { return ndtorch::tensor<T>(a); },
      [&](const at::Tensor& tensor) { array.expect_copy(tensor, type); });
}

bool meets(const ndtorch::detail::requirements& wants, const fuzzed_array& array, bool shape_only) {
  PyArrayObject* const a = array.array();
  if (wants.ndim >= 0 && wants.ndim != PyArray_NDIM(a)) return false;
  for (std::size_t i = 0; wants.has_sizes && i < rank(a); ++i) {
    if (wants.sizes[i] >= 0 && wants.sizes[i] != PyArray_DIMS(a)[i]) return false;
  }
  if (shape_only) return true;
  if (wants.dtype != at::ScalarType::Undefined && wants.dtype != array.type->type) return false;
  if (wants.dtype == at::kBool && !wants.writes && !array.valid_bools) return false;
  if (wants.order == ndtorch::detail::axis_order::c && !PyArray_IS_C_CONTIGUOUS(a)) return false;
  if (wants.order == ndtorch::detail::axis_order::f && !PyArray_IS_F_CONTIGUOUS(a)) return false;
  return !wants.writes || array.writable();
}

template <class... Constraints>
void run_argument(const checked_array& array, bool convert) {
  using type = tensor_t<Constraints...>;
  constexpr const auto& wants = type::constraints;
  const bool as_it_is = array.viewable() && meets(wants, array.of(), /*shape_only=*/false);
  const bool may_cast = !wants.has_dtype() ||
                        ndtorch::detail::may_cast(array.of().type->type, wants.dtype, wants.cast);
  const bool as_copy = convert && !wants.writes && array.of().copyable() && may_cast &&
                       meets(wants, array.of(), /*shape_only=*/true);
  if (as_copy && !as_it_is && !array.has_elements()) return;  // too large to copy
  const auto look = [&](const at::Tensor& tensor) {
    if (as_it_is) {
      array.expect_view(tensor);
    } else {
      array.expect_copy(tensor, wants.has_dtype() ? wants.dtype : array.of().type->type);
      if (wants.order == ndtorch::detail::axis_order::c) {
        expect(tensor.is_contiguous(), "it is not in C order");
      }
      if (wants.order == ndtorch::detail::axis_order::f) {
        expect(tensor.permute(ndtorch::detail::reversed_axes(tensor)).is_contiguous(),
               "it is not in Fortran order");
      }
    }
  };
  array.run(
      of_typed, as_it_is || as_copy, [&](py::handle a) { return type::from(a, convert); }, look);
  array.run(
      of_caster, as_it_is || as_copy,
      [&](py::handle a) {
        py::detail::make_caster<type> caster;
        if (!caster.load(a, convert)) throw py::type_error(no_reason);
        return py::detail::cast_op<type&>(caster);
      },
      look);
}

void run_some_argument(const checked_array& array, std::size_t which, bool convert) {
  using ndtorch::c_contig, ndtorch::f_contig, ndtorch::ndim, ndtorch::shape;
  switch (which) {
    case 0:
      return run_argument<float>(array, convert);
    case 1:
      return run_argument<const float, c_contig>(array, convert);
    case 2:
      return run_argument<const double, f_contig, ndim<2>>(array, convert);
    case 3:
      return run_argument<const std::int64_t, shape<-1, 3>>(array, convert);
    case 4:
      return run_argument<std::uint8_t, c_contig>(array, convert);
    case 5:
      return run_argument<const c10::BFloat16>(array, convert);
    case 6:
      return run_argument<f_contig>(array, convert);
    case 7:
      return run_argument<const bool, ndim<1>>(array, convert);
    default:
      return run_argument<const c10::complex<float>, c_contig>(array, convert);
  }
}

// [array, array], and the array's numbers one by one.
void run_sequences(const checked_array& array) {
  const fuzzed_array& of = array.of();
  const bool fits = PyArray_NDIM(of.array()) < 64;
  array.run(
      of_sequence, of.copyable() && fits,
      [](py::handle a) { return ndtorch::tensor(py::make_tuple(a, a)); },
      [&](const at::Tensor& tensor) {
        for (const int i : {0, 1}) expect_cast(tensor[i], of.native, *of.type);
        expect(has_valid_bools(elements_of(tensor)), "a copy holds bools other than 0 and 1");
      });
  // Where numbers of Python are numbers of the dtype. An empty list forgets the axes behind it.
  if (!of.copyable() || of.empty() || of.type->type == at::kComplexHalf ||
      (of.type->type != at::kHalf && c10::isReducedFloatingType(of.type->type))) {
    return;
  }
  // Lists in lists in lists take most of the time.
  if (PyArray_SIZE(of.array()) > 64 || PyArray_NDIM(of.array()) > 6) return;
  const py::object numbers = of.native.attr("tolist")();
  array.run(
      of_list, true,
      [&](py::handle) { return ndtorch::tensor(numbers, at::TensorOptions(of.type->type)); },
      [&](const at::Tensor& tensor) { expect_numbers(tensor, of.native, *of.type); });
}

void run_memoryview(const checked_array& array) {
  auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(array.of().object.ptr()));
  if (!view) {  // of a dtype that buffers have no name for
    PyErr_Clear();
    return;
  }
  at::Tensor tensor;
  const outcome result = attempt(of_memoryview, [&] { tensor = ndtorch::as_tensor(view); });
  if (!result.ok()) {
    const bool refusal = result.error == raised::type || result.error == raised::value;
    expect(refusal, "the exception is of another type");
    // What NumPy itself doesn't read: more than a memoryview can say.
    expect(!array.of().supported() || array.of().type->type == at::kComplexHalf ||
               result.says("can't convert the buffer"),
           "a buffer was refused");
    return;
  }
  if (array.has_elements()) expect_cast(tensor, array.of().native, *array.of().type);
}

}  // namespace

void array_case(input& bytes) {
  const std::optional<fuzzed_array> made = make_array(bytes);
  if (!made) return;
  const description says([&] { return made->describe(); });
  arm_subclasses(true);
  const checked_array array(*made);
  const bool supported = made->copyable();

  std::string text;
  expect(attempt(of_explain, [&] { text = ndtorch::explain(made->object); }).ok(), "explain threw");
  array.expect_explained(text, "from_numpy", array.viewable(), true);
  array.expect_explained(text, "as_tensor", supported, array.viewable());
  array.expect_explained(text, "tensor", supported, false);

  array.run(
      of_from_numpy, array.viewable(), [](py::handle a) { return ndtorch::from_numpy(a); },
      [&](const at::Tensor& tensor) {
        array.expect_view(tensor);
        expect(ndtorch::detail::may_be_written(tensor.storage()) == made->writable(),
               "whether it may be written");
        if (!made->writable()) expect_copy_on_write(array, tensor);
      });
  if (supported && !array.viewable()) {
    const outcome again = attempt(of_from_numpy, [&] { ndtorch::from_numpy(made->object); });
    expect(again.error == raised::value && array.names_a_reason(again), "no reason was named");
  }
  if (!made->writable()) {
    array.run(
        of_from_numpy_error, false,
        [](py::handle a) { return ndtorch::from_numpy(a, on_read_only::error); },
        [](const at::Tensor&) {});
    array.run(
        of_from_numpy_warn, array.viewable(),
        [](py::handle a) { return ndtorch::from_numpy(a, on_read_only::warn); },
        [&](const at::Tensor& tensor) { array.expect_view(tensor); });
  }
  const bool too_large = supported && !array.has_elements();  // for a copy
  if (array.viewable() || !too_large) {
    array.run(
        of_as_tensor, supported, [](py::handle a) { return ndtorch::as_tensor(a); },
        [&](const at::Tensor& tensor) {
          if (array.viewable()) {
            array.expect_view(tensor);
          } else {
            array.expect_copy(tensor, made->type->type);
          }
        });
  }
  switch (bytes.below(4)) {
    case 0:
      run_typed<float>(array);
      break;
    case 1:
      run_typed<std::int64_t>(array);
      break;
    case 2:
      run_typed<c10::Half>(array);
      break;
    default:
      run_typed<std::uint8_t>(array);
  }
  const bool convert = bytes.one_in(2);
  run_argument<>(array, convert);
  run_some_argument(array, bytes.below(9), convert);
  if (too_large) return arm_subclasses(false);

  const at::ScalarType dtype = some_scalar_type(bytes);
  const at::TensorOptions options =
      at::TensorOptions(dtype).requires_grad(c10::isFloatingType(dtype) && bytes.one_in(4));
  array.run(
      of_tensor, supported, [](py::handle a) { return ndtorch::tensor(a); },
      [&](const at::Tensor& tensor) { array.expect_copy(tensor, made->type->type); });
  array.run(
      of_Tensor, supported, [](py::handle a) { return ndtorch::Tensor(a); },
      [&](const at::Tensor& tensor) { array.expect_copy(tensor, at::kFloat); });
  array.run(
      of_tensor_dtype, supported, [&](py::handle a) { return ndtorch::tensor(a, options); },
      [&](const at::Tensor& tensor) {
        expect(tensor.requires_grad() == options.requires_grad(), "requires_grad");
        array.expect_copy(tensor.detach(), dtype);
      });
  array.run(
      of_as_tensor_dtype, supported, [&](py::handle a) { return ndtorch::as_tensor(a, options); },
      [&](const at::Tensor& tensor) {
        expect(tensor.requires_grad() == options.requires_grad(), "requires_grad");
        if (array.viewable() && dtype == made->type->type) {
          array.expect_view(tensor);
        } else {
          array.expect_copy(tensor.detach(), dtype);
        }
      });
  run_sequences(array);
  run_memoryview(array);
  if (supported) export_case(bytes, ndtorch::as_tensor(made->object));
  arm_subclasses(false);
  expect(made->memory->is_as_kept(), "the array's memory was written");
}

}  // namespace fuzz
