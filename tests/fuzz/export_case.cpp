// Tensors, to NumPy and to others by every way there is.
#include <ATen/native/Resize.h>
#include <ATen/ops/imag.h>
#include <ndtorch/exchange.h>
#include <ndtorch/explain.h>
#include <ndtorch/from_numpy.h>
#include <ndtorch/to_numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/cases.h"

namespace fuzz {

namespace {

conversion of_numpy("numpy"), of_to_numpy("to_numpy"), of_to_numpy_typed("to_numpy<T>"),
    of_round_trip("from_numpy of numpy"), of_to_dlpack("to_dlpack"),
    of_our_dlpack("as_tensor of to_dlpack"), of_numpys("np.from_dlpack of to_dlpack"),
    of_to_torch("to_torch"), of_torchs("as_tensor of to_torch");

// What a user may have done to a tensor before.
at::Tensor changed(input& bytes, const at::Tensor& tensor) {
  const std::int64_t ndim = tensor.dim();
  switch (bytes.below(12)) {
    case 1:
      return ndim > 1 ? tensor.transpose(0, -1) : tensor;
    case 2:
      return ndim > 0 && tensor.size(0) > 1 ? tensor.narrow(0, 1, tensor.size(0) - 1) : tensor;
    case 3:
      if (ndim < 60) {
        std::vector<std::int64_t> sizes = tensor.sizes().vec();
        sizes.insert(sizes.begin(), 3);
        return tensor.unsqueeze(0).expand(sizes);
      }
      return tensor;
    case 4:
      return ndim > 0 ? tensor.slice(-1, 0, tensor.size(-1), 2) : tensor;
    case 5:
      return ndim > 0 && tensor.size(0) > 0 ? tensor.select(0, -1) : tensor;
    case 6:
      return tensor.is_complex() ? tensor.conj() : tensor;
    case 7:
      return tensor.is_complex() && tensor.scalar_type() != at::kComplexHalf
                 ? at::imag(tensor.conj())
                 : tensor;
    case 8:
      return tensor.is_floating_point() ? tensor.detach().requires_grad_() : tensor;
    case 9:
      return ndim > 1 ? tensor.diagonal(0, 0, 1) : tensor;
    case 10:
      return tensor.squeeze();
    case 11: {  // 65 dimensions, which NumPy has not
      at::Tensor deep = tensor;
      while (deep.dim() < 65) deep = deep.unsqueeze(0);
      return deep;
    }
    default:
      return tensor;
  }
}

// Whether two indices lead to one element.
bool overlaps(const at::Tensor& tensor) {
  std::vector<std::int64_t> places;
  for_each_element(static_cast<std::size_t>(tensor.dim()), tensor.sizes().data(),
                   tensor.strides().data(), [&](std::int64_t place) {
                     places.push_back(place);
                     return true;
                   });
  std::sort(places.begin(), places.end());
  return std::adjacent_find(places.begin(), places.end()) != places.end();
}

// The array is on the tensor's memory and has its shape, dtype and strides.
void expect_same_memory(py::handle array, const at::Tensor& tensor) {
  PyArrayObject* const a = array_of(array);
  expect(PyArray_CheckExact(array.ptr()) != 0, "it is no plain array");
  expect(at::IntArrayRef(PyArray_DIMS(a), rank(a)) == tensor.sizes(), "the array's shape");
  expect(PyArray_EquivTypes(PyArray_DESCR(a), dtype_of(tensor.scalar_type()).descr) != 0,
         "the array's dtype");
  expect(tensor.numel() == 0 || PyArray_DATA(a) == tensor.const_data_ptr(),
         "the array is on other memory");
  for (std::size_t i = 0; i < rank(a) && tensor.numel() > 0; ++i) {
    expect(PyArray_DIMS(a)[i] == 1 ||
               PyArray_STRIDES(a)[i] ==
                   tensor.strides()[i] * static_cast<std::int64_t>(tensor.element_size()),
           "the array's strides");
  }
}

// NumPy reads from the array what LibTorch reads from the tensor.
void expect_same_elements(py::handle array, const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().resolve_conj().resolve_neg().contiguous();
  const py::object read = cast(array, PyArray_DESCR(array_of(array)));
  expect(same_bytes(valid_bools(read), valid_bools(elements_of(dense))),
         "NumPy and LibTorch read different elements");
}

void expect_writeable(py::handle array, const at::Tensor& tensor, bool memory_is_writable) {
  const bool writeable = PyArray_ISWRITEABLE(array_of(array)) != 0;
  expect(!writeable || memory_is_writable, "read-only memory became writable");
  expect(!writeable || !overlaps(tensor), "overlapping elements became writable");
  expect(writeable || !memory_is_writable || !tensor.is_contiguous(), "it became read-only");
}

// explain() says that the function refuses where it did, in its words.
void expect_explained(const at::Tensor& tensor, const char* function, const outcome& result) {
  const std::string text = ndtorch::explain(tensor);
  const std::string start = std::string("\n  ") + function + ": ";
  const auto found = text.find(start);
  if (found == std::string::npos) fail("explain() says nothing of " + start + text);
  const std::string said = text.substr(found + start.size());
  const std::string refused = "refuses: " + result.text;
  const bool right = result.ok() ? said.rfind("refuses", 0) != 0 : said.rfind(refused, 0) == 0;
  if (!right) fail("explain() doesn't say what " + std::string(function) + " did: " + said);
}

// The same tensor on a storage that was freed, or lost the end of what the tensor needs.
void run_lost(input& bytes, const at::Tensor& tensor) {
  const at::Tensor own = tensor.detach().resolve_conj().resolve_neg().clone();
  const at::Tensor lost = bytes.one_in(2) && own.dim() > 1 ? own.transpose(0, -1) : own;
  const auto left = bytes.one_in(2) ? 0 : bytes.below(own.nbytes());
  at::native::resize_bytes_nocuda(own.storage(), c10::SymInt(static_cast<std::int64_t>(left)));
  const auto refuses = [&](conversion& what, const auto& convert) {
    const outcome result = attempt(what, convert);
    expect(!result.ok(), "lost memory went out");
    expect(result.says("can't export a tensor without memory") || lost.dim() > 64,
           "no word of the memory");
    return result;
  };
  expect_explained(lost, "numpy", refuses(of_numpy, [&] { ndtorch::numpy(lost); }));
  expect_explained(lost, "to_numpy", refuses(of_to_numpy, [&] { ndtorch::to_numpy(lost); }));
  refuses(of_to_numpy_typed, [&] { ndtorch::to_numpy<double>(lost); });
  refuses(of_to_numpy_typed, [&] { ndtorch::to_numpy<bool>(lost); });
  refuses(of_to_dlpack, [&] { ndtorch::to_dlpack(lost); });
  refuses(of_to_torch, [&] { ndtorch::to_torch(lost); });
}

template <class T>
void run_typed(const at::Tensor& tensor, bool exportable) {
  py::array array;
  const outcome result = attempt(of_to_numpy_typed, [&] { array = ndtorch::to_numpy<T>(tensor); });
  expect(result.ok() == exportable, "to_numpy<T> and to_numpy differ");
  if (!result.ok()) return;
  const at::Tensor plain = tensor.detach().resolve_conj().resolve_neg();
  const py::object native = elements_of(plain.contiguous());
  const at::Tensor back = ndtorch::from_numpy(array);
  expect(back.scalar_type() == ndtorch::scalar_type_of_v<T>, "the dtype is another");
  expect_cast(back, native, dtype_of(tensor.scalar_type()));
}

void run_dlpack(const at::Tensor& tensor, bool shareable, bool memory_is_writable) {
  py::object offer;
  outcome result = attempt(of_to_dlpack, [&] { offer = ndtorch::to_dlpack(tensor); });
  expect(result.ok() == shareable, "whether DLPack can say it");
  if (!result.ok()) return expect(result.error == raised::buffer, "no BufferError");

  at::Tensor again;
  result = attempt(of_our_dlpack, [&] { again = ndtorch::as_tensor(offer); });
  if (tensor.dim() > 64) {
    expect(result.error == raised::value, "65 dimensions came in");
  } else {
    expect(result.ok(), "our own offer was refused");
    expect(again.sizes() == tensor.sizes() && again.scalar_type() == tensor.scalar_type(),
           "our own offer is another tensor");
    expect(tensor.numel() == 0 || again.const_data_ptr() == tensor.const_data_ptr(),
           "our own offer is on other memory");
    expect(same_bytes(elements_of(again), elements_of(tensor)), "our own offer's elements");
    expect(ndtorch::detail::may_be_written(again.storage()) == memory_is_writable,
           "our own offer may be written");
  }
  static const auto* const from_dlpack =
      new py::object(py::module_::import("numpy").attr("from_dlpack"));
  py::object array;
  result = attempt(of_numpys, [&] { array = (*from_dlpack)(offer); });
  if (!result.ok()) {  // of a dtype that NumPy lacks, or of too many dimensions
    const bool has_dtype = ndtorch::detail::find_dtype(tensor.scalar_type())->is_built_in();
    expect(!has_dtype || tensor.dim() > 64, "NumPy refused our offer");
    return;
  }
  expect_same_memory(array, tensor);
  // NumPy's own copies make some bools 0 or 1, and leave others.
  const py::object read = cast(array, PyArray_DESCR(array_of(array)));
  expect(same_bytes(valid_bools(read), valid_bools(elements_of(tensor))),
         "NumPy reads other elements from our offer");
  // Before NumPy 2.1 nobody could say so, and the tensor moved to memory of its own.
  memory_is_writable = ndtorch::detail::may_be_written(tensor.storage());
  expect(tensor.numel() == 0 || memory_is_writable || PyArray_ISWRITEABLE(array_of(array)) == 0,
         "NumPy may write to read-only memory");
}

void run_torch(const at::Tensor& tensor, bool shareable) {
  py::object before;
  if (tensor.dim() <= 64) before = elements_of(tensor.detach().resolve_conj().resolve_neg());
  py::object theirs;
  outcome result = attempt(of_to_torch, [&] { theirs = ndtorch::to_torch(tensor); });
  expect(result.ok() == shareable, "whether torch can have it");
  if (!result.ok()) return expect(result.error == raised::buffer, "no BufferError");
  expect(tensor.numel() == 0 || theirs.attr("data_ptr")().cast<std::uintptr_t>() ==
                                    reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()),
         "torch's tensor is on other memory");
  expect(py::tuple(theirs.attr("shape")).equal(py::tuple(py::cast(tensor.sizes().vec()))),
         "torch's tensor is of another shape");
  at::Tensor again;
  result = attempt(of_torchs, [&] { again = ndtorch::as_tensor(theirs); });
  if (tensor.dim() > 64) return;
  expect(result.ok(), "torch's tensor was refused");
  expect(same_bytes(elements_of(again), before), "torch's tensor has other elements");
}

}  // namespace

void export_case(input& bytes, const at::Tensor& original) {
  const bool memory_is_writable = ndtorch::detail::may_be_written(original.storage());
  at::Tensor tensor = original;
  try {
    tensor = changed(bytes, original);
  } catch (const c10::Error&) {
    // LibTorch multiplies strides that are never used, and takes no negative one.
  }
  const bool too_deep = tensor.dim() > 64;
  const bool lazy = tensor.is_conj() || tensor.is_neg() || tensor.requires_grad();
  {
    py::array array;
    const outcome result = attempt(of_numpy, [&] { array = ndtorch::numpy(tensor); });
    expect_explained(tensor, "numpy", result);
    expect(result.ok() == !(lazy || too_deep), "numpy should have done otherwise");
    if (result.ok()) {
      expect_same_memory(array, tensor);
      expect_writeable(array, tensor, memory_is_writable);
      expect_same_elements(array, tensor);
      at::Tensor back;
      expect(attempt(of_round_trip, [&] { back = ndtorch::from_numpy(array); }).ok(),
             "the way back was refused");
      expect(same_bytes(elements_of(back), elements_of(tensor)), "the way back");
    } else {
      expect(result.error == (too_deep ? raised::value : raised::runtime), "another exception");
    }
  }
  {
    py::array array;
    const outcome result = attempt(of_to_numpy, [&] { array = ndtorch::to_numpy(tensor); });
    expect_explained(tensor, "to_numpy", result);
    expect(result.ok() == !too_deep, "to_numpy should have done otherwise");
    if (result.ok()) expect_same_elements(array, tensor);
    if (!tensor.is_conj() && !tensor.is_neg() && result.ok()) expect_same_memory(array, tensor);
  }
  switch (bytes.below(4)) {
    case 0:
      run_typed<float>(tensor, !too_deep);
      break;
    case 1:
      run_typed<std::int32_t>(tensor, !too_deep);
      break;
    case 2:
      run_typed<c10::complex<double>>(tensor, !too_deep);
      break;
    default:
      run_typed<c10::BFloat16>(tensor, !too_deep);
  }
  run_dlpack(tensor, !lazy, memory_is_writable);
  run_torch(tensor, !lazy);
  if (tensor.numel() > 0 && tensor.numel() < 4096 && bytes.one_in(3)) run_lost(bytes, tensor);
}

}  // namespace fuzz
