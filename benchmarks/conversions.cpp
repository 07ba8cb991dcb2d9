// What one conversion costs inside a process, beside the ways that a user would pick instead. Each
// benchmark is named row/who: report.py divides ours by the peer's.
#include <ATen/DLConvertor.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <benchmark/benchmark.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/embed.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/tensor_numpy.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "by_hand.h"

namespace py = pybind11;

namespace {

py::object numpy_module() { return py::module_::import("numpy"); }

py::object zeros(const std::vector<std::int64_t>& shape) {
  return numpy_module().attr("zeros")(py::cast(shape), "float32");
}

// --- NumPy -> LibTorch

at::Tensor by_ndtorch(py::handle array) { return ndtorch::from_numpy(array); }

at::Tensor by_torch(py::handle array) { return torch::utils::tensor_from_numpy(array.ptr()); }

at::Tensor import_by_hand(py::handle array) {
  return by_hand::to_tensor(py::reinterpret_borrow<py::array_t<float>>(array));
}

at::Tensor by_dlpack(py::handle array) {
  py::object capsule = array.attr("__dlpack__")();
  auto* const managed =
      static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  at::Tensor tensor = at::fromDLPack(managed);
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  return tensor;
}

// The least there is to do: all values are known, nothing is checked.
at::Tensor by_floor(py::handle array) {
  auto* const fields = reinterpret_cast<ndtorch::detail::array_object*>(array.ptr());
  Py_INCREF(array.ptr());
  const auto release = [](void* object) { Py_DECREF(static_cast<PyObject*>(object)); };
  const auto ndim = static_cast<std::size_t>(fields->nd);
  std::array<std::int64_t, 64> strides;  // NOLINT: filled up to ndim
  std::int64_t count = 1;
  for (std::size_t i = ndim; i-- > 0;) {
    strides[i] = count;
    count *= fields->dimensions[i];
  }
  auto storage = c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), c10::SymInt(count * 4),
      at::DataPtr(fields->data, array.ptr(), release, at::kCPU), nullptr, false);
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU),
      caffe2::TypeMeta::Make<float>());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(
      {reinterpret_cast<const std::int64_t*>(fields->dimensions), ndim}, {strides.data(), ndim});
  return tensor;
}

using import_function = at::Tensor (*)(py::handle);

void import_array(benchmark::State& state, import_function convert,
                  const std::vector<std::int64_t>& shape) {
  const py::object array = zeros(shape);
  for (auto _ : state) {
    at::Tensor tensor = convert(array);
    benchmark::DoNotOptimize(tensor);
  }
}

// --- LibTorch -> NumPy

py::object export_ndtorch(const at::Tensor& tensor) { return ndtorch::numpy(tensor); }

py::object export_always_safe(const at::Tensor& tensor) { return ndtorch::to_numpy(tensor); }

py::object export_torch(const at::Tensor& tensor) {
  return py::reinterpret_steal<py::object>(torch::utils::tensor_to_numpy(tensor));
}

py::object export_by_hand(const at::Tensor& tensor) { return by_hand::to_array(tensor); }

py::object export_floor(const at::Tensor& tensor) {
  const auto& api = ndtorch::detail::api();
  c10::StorageImpl* const storage = tensor.storage().unsafeGetStorageImpl();
  c10::raw::intrusive_ptr::incref(storage);
  PyObject* const owner = PyCapsule_New(storage, nullptr, [](PyObject* self) {
    c10::raw::intrusive_ptr::decref(
        static_cast<c10::StorageImpl*>(PyCapsule_GetPointer(self, nullptr)));
  });
  std::array<Py_ssize_t, 64> strides;  // NOLINT: filled up to dim
  for (std::size_t i = 0; i < static_cast<std::size_t>(tensor.dim()); ++i) {
    strides[i] = tensor.strides()[i] * 4;
  }
  PyObject* const array = api.new_from_descr(
      api.array_type, api.descr_from_type(ndtorch::detail::type_number::float32),
      static_cast<int>(tensor.dim()), reinterpret_cast<const Py_ssize_t*>(tensor.sizes().data()),
      strides.data(), tensor.unsafeGetTensorImpl()->mutable_data(),
      ndtorch::detail::array_flag::writeable, nullptr);
  reinterpret_cast<ndtorch::detail::array_object*>(array)->base = owner;
  return py::reinterpret_steal<py::object>(array);
}

using export_function = py::object (*)(const at::Tensor&);

void export_tensor(benchmark::State& state, export_function convert,
                   const std::vector<std::int64_t>& shape) {
  const at::Tensor tensor = at::empty(shape);
  for (auto _ : state) {
    const py::object array = convert(tensor);
    benchmark::DoNotOptimize(array.ptr());
  }
}

// --- there and back

void round_trip(benchmark::State& state, import_function import_it, export_function export_it) {
  const py::object array = zeros({1000});
  for (auto _ : state) {
    const py::object back = export_it(import_it(array));
    benchmark::DoNotOptimize(back.ptr());
  }
}

// --- the end of a tensor without the GIL, which nobody has

// On a thread of a pool's or a server's own, which Python doesn't know. Each iteration's time is a drop's.
void drop_without_gil(benchmark::State& state, import_function convert) {
  const py::object array = zeros({1000});
  const Py_ssize_t before = Py_REFCNT(array.ptr());
  constexpr int count = 1000;
  for (auto _ : state) {
    std::vector<at::Tensor> tensors;
    for (int i = 0; i < count; ++i) tensors.push_back(convert(array));
    std::chrono::duration<double> passed{};
    {
      const py::gil_scoped_release without_gil;
      std::thread([&] {
        const auto start = std::chrono::steady_clock::now();
        tensors.clear();
        passed = std::chrono::steady_clock::now() - start;
      }).join();
    }
    while (Py_REFCNT(array.ptr()) != before) {  // ours are given back a little later
      const py::gil_scoped_release without_gil;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    state.SetIterationTime(passed.count() / count);
  }
}

void register_all() {
  const auto import_row = [](const std::string& row, const std::vector<std::int64_t>& shape) {
    const auto add = [&](const char* who, import_function convert) {
      benchmark::RegisterBenchmark((row + "/" + who).c_str(), import_array, convert, shape);
    };
    add("ndtorch", by_ndtorch);
    add("torch", by_torch);
    add("by hand", import_by_hand);
    add("dlpack", by_dlpack);
    add("floor", by_floor);
  };
  import_row("from_numpy 1-d", {1000});
  import_row("from_numpy 4-d", {2, 3, 4, 5});

  const auto export_row = [](const std::string& row, const std::vector<std::int64_t>& shape) {
    const auto add = [&](const char* who, export_function convert) {
      benchmark::RegisterBenchmark((row + "/" + who).c_str(), export_tensor, convert, shape);
    };
    add("ndtorch", export_ndtorch);
    add("to_numpy", export_always_safe);
    add("torch", export_torch);
    add("by hand", export_by_hand);
    add("floor", export_floor);
  };
  export_row("numpy 1-d", {1000});
  export_row("numpy 4-d", {2, 3, 4, 5});

  benchmark::RegisterBenchmark("round trip/ndtorch", round_trip, by_ndtorch, export_ndtorch);
  benchmark::RegisterBenchmark("round trip/torch", round_trip, by_torch, export_torch);

  const auto drop_row = [](const char* who, import_function convert) {
    benchmark::RegisterBenchmark((std::string("drop without the GIL/") + who).c_str(),
                                 drop_without_gil, convert)
        ->UseManualTime()
        ->Iterations(20);
  };
  drop_row("ndtorch", by_ndtorch);
  drop_row("torch", by_torch);

  // The cost doesn't grow with the size: 1 KB and 1 GB of float32.
  const std::vector<std::int64_t> small{256};
  const std::vector<std::int64_t> large{1 << 28};
  benchmark::RegisterBenchmark("from_numpy size/1 KB", import_array, by_ndtorch, small);
  benchmark::RegisterBenchmark("from_numpy size/1 GB", import_array, by_ndtorch, large);
  benchmark::RegisterBenchmark("numpy size/1 KB", export_tensor, export_ndtorch, small);
  benchmark::RegisterBenchmark("numpy size/1 GB", export_tensor, export_ndtorch, large);
}

}  // namespace

int main(int argc, char** argv) {
  const py::scoped_interpreter python;
  py::module_::import("torch");  // what torch's own conversions need
  register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
