// Runs each hot path under callgrind, which counts its instructions: hot_paths.py compares them.
#include <ATen/ops/empty.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/embed.h>
#include <valgrind/callgrind.h>

namespace py = pybind11;

namespace {

// Calls `path` a thousand times between callgrind's marks, after it has set up what it keeps, and
// has the total written under its name.
template <class Path>
void count(const char* name, const Path& path) {
  constexpr int warm_up = 100;
  constexpr int calls = 1000;
  for (int i = 0; i < warm_up; ++i) path();
  CALLGRIND_ZERO_STATS;
  CALLGRIND_START_INSTRUMENTATION;
  for (int i = 0; i < calls; ++i) path();
  CALLGRIND_STOP_INSTRUMENTATION;
  CALLGRIND_DUMP_STATS_AT(name);
}

void call(const py::object& function, const py::object& argument) {
  const py::object result =
      py::reinterpret_steal<py::object>(PyObject_CallOneArg(function.ptr(), argument.ptr()));
  if (!result) throw py::error_already_set();
}

}  // namespace

int main() {
  const py::scoped_interpreter python;
  const py::object zeros = py::module_::import("numpy").attr("zeros");
  const py::object array_1d = zeros(1000, "float32");
  const py::object array_4d = zeros(py::make_tuple(2, 3, 4, 5), "float32");
  const at::Tensor tensor_1d = at::empty({1000});
  const at::Tensor tensor_4d = at::empty({2, 3, 4, 5});
  const py::cpp_function argument([](const ndtorch::tensor_t<float>&) {});
  const py::cpp_function result(
      [tensor = ndtorch::tensor_t<float>(tensor_1d)](const py::object&) { return tensor; });

  count("from_numpy 1-d", [&] { ndtorch::from_numpy(array_1d); });
  count("from_numpy 4-d", [&] { ndtorch::from_numpy(array_4d); });
  count("numpy 1-d", [&] { ndtorch::numpy(tensor_1d); });
  count("numpy 4-d", [&] { ndtorch::numpy(tensor_4d); });
  count("to_numpy 1-d", [&] { ndtorch::to_numpy(tensor_1d); });
  count("round trip", [&] { ndtorch::numpy(ndtorch::from_numpy(array_1d)); });
  count("tensor_t argument", [&] { call(argument, array_1d); });
  count("tensor_t result", [&] { call(result, array_1d); });
}
