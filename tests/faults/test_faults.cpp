// Each allocation of each conversion fails in turn. Whatever fails: the error is that of memory, no
// reference and no block is left behind, no Python error is pending, and the next call works.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <c10/util/Exception.h>
#include <ndtorch/ndtorch.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <new>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "faults/failing_allocators.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using test::eval;
using test::references;

// A call with its data, a Python expression; it keeps what it makes until it is told to drop that.
struct conversion {
  const char* name;
  const char* data;
  std::function<void(const py::object&, std::vector<py::object>&, std::vector<at::Tensor>&)> call;
  std::optional<faults::kind> spared = {};
};

enum class ending { worked, out_of_memory, wrong_error };

struct outcome {
  ending how = ending::worked;
  bool happened = false;  // whether an allocation failed, and whose
  faults::kind what{};
  std::string text;
};

// Calls with one failing allocation, or with all of its kind from there on; drops what was made.
outcome run(const conversion& one, const py::object& data, long first, bool onwards) {
  std::vector<py::object> objects;
  std::vector<at::Tensor> tensors;
  objects.reserve(4);
  tensors.reserve(4);
  outcome result;
  faults::failing failing(first, onwards, one.spared);
  try {
    one.call(data, objects, tensors);
    failing.stop();
  } catch (py::error_already_set& error) {
    failing.stop();
    const bool right = error.matches(PyExc_MemoryError);
    result.how = right ? ending::out_of_memory : ending::wrong_error;
    if (!right) result.text = error.what();
  } catch (const c10::Error& error) {  // from a first write, inside LibTorch
    failing.stop();
    result.text = error.what_without_backtrace();
    const bool right = result.text.find("can't allocate memory") != std::string::npos;
    result.how = right ? ending::out_of_memory : ending::wrong_error;
  } catch (const std::bad_alloc&) {
    failing.stop();
    result.how = ending::out_of_memory;
  } catch (const std::exception& error) {
    failing.stop();
    result.text = error.what();
    result.how = ending::wrong_error;
  }
  result.happened = failing.happened();
  result.what = failing.what();
  return result;
}

constexpr long never = 1L << 40;

void PrintTo(const conversion& one, std::ostream* stream) { *stream << one.name; }

class faults_of : public testing::TestWithParam<conversion> {
 protected:
  static void TearDownTestSuite() { std::printf("all conversions: %d points\n", all_points); }
  static inline int all_points = 0;
};

py::object call_python(const py::object& function, const py::object& argument) {
  PyObject* const result = PyObject_CallOneArg(function.ptr(), argument.ptr());
  faults::failing::stop();  // the exception is the test's
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

using objects = std::vector<py::object>;
using tensors = std::vector<at::Tensor>;

auto gives_tensor(at::Tensor (*convert)(const py::object&)) {
  return
      [convert](const py::object& data, objects&, tensors& made) { made.push_back(convert(data)); };
}

auto gives_object(py::object (*convert)(const py::object&)) {
  return
      [convert](const py::object& data, objects& made, tensors&) { made.push_back(convert(data)); };
}

// What is made by the first call, which doesn't fail, and lives for good.
const at::Tensor& numbers() {
  static const auto* const tensor = new at::Tensor(at::arange(6.));
  return *tensor;
}

py::object new_capsule() {
  return ndtorch::detail::dlpack_capsule_of(
      ndtorch::detail::offer_dlpack<DLManagedTensorVersioned>(numbers()));
}

template <class Argument>
py::object pass(const py::object& data) {
  static const auto* const function =
      new py::cpp_function([](const Argument& argument) { return argument.dim(); });
  return call_python(*function, data);
}

py::object result(const py::object& data) {
  static const auto* const function =
      new py::cpp_function([](const py::object&) { return ndtorch::tensor_t<float>(numbers()); });
  return call_python(*function, data);
}

using ndtorch::tensor_t;

const conversion conversions[] = {
    {"from_numpy", "np.arange(6.)",
     gives_tensor([](const py::object& a) { return ndtorch::from_numpy(a); })},
    {"from_numpy_of_a_read_only_array", "np.broadcast_to(1., 3)",
     gives_tensor([](const py::object& a) { return ndtorch::from_numpy(a); })},
    {"from_numpy_of_a_subclass", "np.ma.array([1., 2.])",
     gives_tensor([](const py::object& a) { return ndtorch::from_numpy(a); })},
    {"from_numpy_of_bfloat16", "np.zeros(3, ml_dtypes.bfloat16)",
     gives_tensor([](const py::object& a) { return ndtorch::from_numpy(a); })},
    {"first_write", "np.broadcast_to(np.arange(3.), (1, 3))[0]",
     gives_tensor([](const py::object& a) { return ndtorch::from_numpy(a).add_(1); })},
    {"as_tensor", "np.arange(6.)",
     gives_tensor([](const py::object& a) { return ndtorch::as_tensor(a); })},
    {"as_tensor_by_a_copy", "np.arange(6.)[::-1]",
     gives_tensor([](const py::object& a) { return ndtorch::as_tensor(a); })},
    {"as_tensor_of_bytes", "b'abc'",
     gives_tensor([](const py::object& a) { return ndtorch::as_tensor(a); })},
    {"as_tensor_of_torch", "torch.ones(3)",
     gives_tensor([](const py::object& a) { return ndtorch::as_tensor(a); })},
    {"as_tensor_of_dlpack",
     "type('producer', (), {'__dlpack__': lambda s, **k: s.a.__dlpack__(**k), "
     "'__dlpack_device__': lambda s: (1, 0), 'a': np.arange(6.)})()",
     gives_tensor([](const py::object& a) { return ndtorch::as_tensor(a); })},
    {"as_tensor_of_old_dlpack",  // which raises TypeError first
     "type('producer', (), {'__dlpack__': lambda s: s.a.__dlpack__(), "
     "'__dlpack_device__': lambda s: (1, 0), 'a': np.arange(6.)})()",
     gives_tensor([](const py::object& a) { return ndtorch::as_tensor(a); })},
    {"as_tensor_of_a_capsule", "()",
     gives_tensor([](const py::object&) { return ndtorch::as_tensor(new_capsule()); })},
    {"tensor_of_capsules_in_a_list", "()", gives_tensor([](const py::object&) {
       const py::object first = new_capsule(), second = new_capsule();
       return ndtorch::tensor(ndtorch::detail::build_value("[OO]", first.ptr(), second.ptr()));
     })},
    {"as_tensor_of_chars", "(ctypes.c_char * 3)()",
     gives_tensor([](const py::object& a) { return ndtorch::as_tensor(a); })},
    {"tensor_of_others_numbers", "[__import__('decimal').Decimal(3), np.longdouble(2)]",
     gives_tensor([](const py::object& a) { return ndtorch::tensor<float>(a); })},
    {"tensor", "np.arange(6.).reshape(2, 3).T",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"tensor_of_T_of_swapped_bytes", "np.arange(6.).astype('>f8')",
     gives_tensor([](const py::object& a) { return ndtorch::tensor<float>(a); })},
    {"tensor_without_the_gil", "np.arange(50_000.)",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"tensor_in_huge_pages", "np.arange(1_000_000.)",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"tensor_of_torch", "torch.ones(3)",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"Tensor", "np.arange(6)",
     gives_tensor([](const py::object& a) { return ndtorch::Tensor(a); })},
    {"tensor_of_a_number", "3.5",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"tensor_of_numbers", "[[1, 2.5], (True, 3)]",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"tensor_of_arrays", "[np.zeros(3), np.ones(3)]",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"tensor_of_scalars", "[np.float32(3), np.int8(1), np.complex64(1j)]",
     gives_tensor([](const py::object& a) { return ndtorch::tensor(a); })},
    {"frombuffer", "b'12345678'",
     gives_tensor([](const py::object& a) { return ndtorch::frombuffer(a, at::kInt); })},
    {"numpy", "()",
     gives_object([](const py::object&) -> py::object { return ndtorch::numpy(numbers()); })},
    {"numpy_of_a_view", "np.arange(6.)[1:]", gives_object([](const py::object& a) -> py::object {
       return ndtorch::numpy(ndtorch::from_numpy(a));
     })},
    {"numpy_of_bfloat16", "()", gives_object([](const py::object&) -> py::object {
       static const at::Tensor tensor = at::ones({3}, at::kBFloat16);
       return ndtorch::numpy(tensor);
     })},
    {"to_numpy_of_T", "()", gives_object([](const py::object&) -> py::object {
       return ndtorch::to_numpy<std::int16_t>(numbers());
     })},
    {"to_numpy_of_what_requires_grad", "()", gives_object([](const py::object&) -> py::object {
       static const at::Tensor tensor = at::ones({3}).set_requires_grad(true);
       return ndtorch::to_numpy(tensor);
     })},
    // Not to_dlpack() itself: making an object of a class of its own, pybind11 crashes or leaks.
    {"dlpack_capsule", "()", gives_object([](const py::object&) -> py::object {
       return ndtorch::detail::dlpack_capsule_of(
           ndtorch::detail::offer_dlpack<DLManagedTensorVersioned>(numbers()));
     })},
    {"dlpack_capsule_of_a_view", "np.broadcast_to(1., 3)",
     gives_object([](const py::object& a) -> py::object {
       return ndtorch::detail::dlpack_capsule_of(
           ndtorch::detail::offer_dlpack<DLManagedTensorVersioned>(ndtorch::from_numpy(a)));
     })},
    {"dlpack_buffer", "()", gives_object([](const py::object&) -> py::object {
       static const auto* const offer = new py::object(ndtorch::to_dlpack(numbers()));
       auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(offer->ptr()));
       if (!view) ndtorch::detail::throw_python_error();
       return view;
     })},
    // libtorch_python makes the object inside a noexcept function, which ends the process.
    {"to_torch", "torch.Tensor",
     gives_object([](const py::object&) -> py::object { return ndtorch::to_torch(numbers()); }),
     faults::kind::cpp},
    {"tensor_t_shared", "np.arange(6.)", gives_object(&pass<tensor_t<double>>)},
    {"tensor_t_cast", "np.arange(6)", gives_object(&pass<tensor_t<const double>>)},
    {"tensor_t_copied", "np.arange(6.)[::-1]", gives_object(&pass<tensor_t<>>)},
    {"tensor_t_of_numbers", "[1, 2.5]", gives_object(&pass<tensor_t<const float>>)},
    {"tensor_t_of_torch", "torch.ones(3)", gives_object(&pass<tensor_t<>>)},
    {"tensor_t_of_a_capsule", "()",
     gives_object([](const py::object&) { return pass<tensor_t<const double>>(new_capsule()); })},
    {"tensor_t_result", "()", gives_object(&result)},
    {"numpy_dtype", "()", gives_object([](const py::object&) -> py::object {
       return ndtorch::numpy_dtype(at::kBFloat16);
     })},
};

// What Python keeps for later: names of attributes, lists of free objects; and garbage, since an
// exception and its traceback hold each other.
void empty_caches() {
  PyType_ClearCache();
  PyGC_Collect();
}

void install_once() {
  static bool installed = false;
  if (installed) return;
  installed = true;
  eval("torch.ones(3).numpy() + np.zeros(3, ml_dtypes.bfloat16)");
  faults::install();
  eval("__import__('gc').freeze()");  // what is there already isn't looked through each time
}

// What the first conversion of a process loads is loaded by the next one where that failed. Each
// failure has a process of its own.
TEST(faults_of_the_first_conversion, leave_the_next_one_right) {
  install_once();
  ASSERT_EQ(ndtorch::detail::interpreter_state::instance().followed, nullptr);
  const py::object data = eval("np.arange(6.)");
  const conversion there_and_back = {"there and back", "",
                                     [](const py::object& a, objects& made, tensors&) {
                                       made.push_back(ndtorch::numpy(ndtorch::from_numpy(a)));
                                     }};
  constexpr int good = 0, bad = 1, no_failure = 2;
  long first = 0;
  for (int status = good; status != no_failure; ++first) {
    SCOPED_TRACE("allocation " + std::to_string(first));
    const pid_t child = fork();
    if (child == 0) {
      const outcome failed = run(there_and_back, data, first, false);
      if (!failed.happened) _exit(no_failure);
      const outcome next = run(there_and_back, data, never, false);
      const bool right = failed.how != ending::wrong_error && next.how == ending::worked &&
                         PyErr_Occurred() == nullptr && references(data) == 1;
      if (!right) {
        std::fprintf(stderr, "%s: %d %s; next: %d %s; %ld references\n",
                     faults::name_of(failed.what), static_cast<int>(failed.how),
                     failed.text.c_str(), static_cast<int>(next.how), next.text.c_str(),
                     static_cast<long>(references(data)));
      }
      _exit(right ? good : bad);
    }
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << status;
    status = WEXITSTATUS(status);
    ASSERT_NE(status, bad);
  }
  std::printf("the first conversion: %ld points\n", first - 1);
}

// The first such drop, which would start the thread that gives back, and one that finds it.
TEST(faults_of_a_drop, without_the_gil_leave_nothing_behind) {
  const py::object array = eval("np.arange(6.)");
  for (int i = 0; i < 2; ++i) {
    std::vector<at::Tensor> held;
    for (int j = 0; j < 50; ++j) held.push_back(ndtorch::from_numpy(array));
    {
      const py::gil_scoped_release without_gil;
      const faults::failing failing(0, true);
      held.clear();
      EXPECT_TRUE(failing.happened());
    }
    ndtorch::from_numpy(array);
    test::wait_for_drops();
    EXPECT_EQ(references(array), 1);
  }
}

TEST_P(faults_of, memory) {
  const conversion& one = GetParam();
  install_once();
  const py::object data = eval(one.data);
  std::vector<py::object> related = {data};
  for (const char* const name : {"dtype", "base"}) {
    if (py::object other = py::getattr(data, name, py::none()); !other.is_none()) {
      related.push_back(std::move(other));
    }
  }
  const auto counts = [&] {
    std::vector<std::int64_t> all = {static_cast<std::int64_t>(numbers().use_count()),
                                     static_cast<std::int64_t>(numbers().storage().use_count())};
    for (const py::object& object : related) all.push_back(references(object));
    return all;
  };
  for (int i = 0; i < 3; ++i) {
    const outcome usual = run(one, data, never, false);
    ASSERT_EQ(usual.how, ending::worked) << usual.text;
  }
  empty_caches();
  const std::vector<std::int64_t> before = counts();

  std::map<std::string, int> points;
  for (const bool onwards : {false, true}) {
    for (long first = 0;; ++first) {
      SCOPED_TRACE("allocation " + std::to_string(first) + (onwards ? " and later ones" : ""));
      ASSERT_LT(first, 100'000);
      // Caches and lists of free objects grow at times, a leak grows each time.
      long more_blocks = 0;
      bool happened = false;
      for (int i = 0; i < 40; ++i) {
        if (i > 2) empty_caches();
        const long blocks = faults::blocks_in_use();
        {
          const outcome result = run(one, data, first, onwards);
          SCOPED_TRACE(faults::name_of(result.what));
          EXPECT_EQ(PyErr_Occurred(), nullptr);
          PyErr_Clear();
          EXPECT_NE(result.how, ending::wrong_error) << result.text;
          EXPECT_EQ(counts(), before);
          happened = result.happened;
          if (happened && !onwards && i == 0) ++points[faults::name_of(result.what)];
        }
        if (i > 2) empty_caches();
        more_blocks = faults::blocks_in_use() - blocks;
        if (more_blocks <= 0 || HasFailure()) break;
      }
      EXPECT_LE(more_blocks, 0) << "blocks left behind, each time";
      if (!happened) break;
      const outcome usual = run(one, data, never, false);
      EXPECT_EQ(usual.how, ending::worked) << usual.text;
      EXPECT_EQ(counts(), before);
      if (HasFailure()) return;
    }
  }
  int sum = 0;
  for (const auto& [name, count] : points) sum += count;
  all_points += sum;
  std::printf("%s: %d points", one.name, sum);
  for (const auto& [name, count] : points) std::printf(", %s %d", name.c_str(), count);
  std::printf("\n");
}

INSTANTIATE_TEST_SUITE_P(all, faults_of, testing::ValuesIn(conversions),
                         [](const auto& one) { return one.param.name; });

}  // namespace
