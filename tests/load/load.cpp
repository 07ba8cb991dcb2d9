// Millions of conversions each way, failing ones among them: memory stays flat and every reference is
// given back. `load <count>`.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ndtorch/ndtorch.h>
#include <ndtorch/tensor_caster.h>
#include <pybind11/embed.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "support/process.h"

namespace py = pybind11;
using test::eval;
using test::resident_megabytes;

namespace {

// What the allocators may hold back, for all conversions together.
constexpr double margin = 4;  // MB

// Tensors as members, which Python gets and sets.
struct pair {
  at::Tensor a = at::zeros({3}), b = at::ones({3});
  static py::object make() {
    py::class_<pair>(py::module_::import("__main__"), "pair")
        .def(py::init<>())
        .def_readwrite("a", &pair::a)
        .def_readwrite("b", &pair::b);
    return eval("__import__('__main__').pair()");
  }
};

struct counts {
  std::int64_t in = 0, out = 0, failed = 0;
};

class conversions {
 public:
  // One round: from arrays to tensors, and as often back.
  void run(std::int64_t round) {
    for (const py::object& array : arrays_) {
      const at::Tensor shared = in(ndtorch::from_numpy(array));
      out(ndtorch::numpy(shared));
    }
    at::Tensor written = in(ndtorch::from_numpy(read_only_));
    written.mutable_data_ptr();
    out(ndtorch::to_numpy(written));
    out(ndtorch::numpy(own_));
    out(ndtorch::numpy(bfloat16_));
    out(ndtorch::to_numpy(requires_grad_));
    in(ndtorch::tensor(backwards_));
    in(ndtorch::frombuffer(bytes_, at::kInt));
    switch (round % 4) {
      case 0:
        in(ndtorch::tensor(numbers_));
        out(ndtorch::to_numpy<std::int16_t>(own_));
        break;
      case 1:
        in(ndtorch::as_tensor(out(ndtorch::to_dlpack(own_))));
        break;
      case 2:
        in(ndtorch::Tensor(arrays_[0]));
        out(ndtorch::numpy(own_));
        break;
      default:
        argument_(arrays_[0]);
        ++done_.in;
        result_(round);
        ++done_.out;
    }
    swap_(pair_);
    done_.in += 2;
    done_.out += 2;
    if (round % 16 == 0) fail();
  }

  const counts& done() const { return done_; }

  // Of all objects that conversions take references to.
  std::vector<std::int64_t> references() const {
    std::vector<std::int64_t> all;
    const auto add = [&](py::handle object) {
      all.push_back(Py_REFCNT(object.ptr()));
      all.push_back(Py_REFCNT(py::type::handle_of(object).ptr()));
    };
    for (const py::object& array : arrays_) {
      add(array);
      add(array.attr("dtype"));
    }
    for (const py::object& object : {read_only_, backwards_, numbers_, bytes_, pair_}) add(object);
    for (const at::Tensor& tensor : {own_, bfloat16_, requires_grad_}) {
      all.push_back(static_cast<std::int64_t>(tensor.use_count()));
      all.push_back(static_cast<std::int64_t>(tensor.storage().use_count()));
    }
    return all;
  }

 private:
  template <class Tensor>
  Tensor in(Tensor tensor) {
    ++done_.in;
    return tensor;
  }
  template <class Object>
  Object out(Object object) {
    ++done_.out;
    return object;
  }

  void fail() {
    refused([&] { ndtorch::from_numpy(backwards_); });
    refused([&] { ndtorch::from_numpy(numbers_); });
    refused([&] { ndtorch::from_numpy<float>(arrays_[0]); });
    refused([&] { ndtorch::tensor(ragged_); });
    refused([&] { ndtorch::tensor(text_); });
    refused([&] { ndtorch::numpy(requires_grad_); });
    refused([&] { ndtorch::to_dlpack(requires_grad_); });
    refused([&] { argument_(text_); });
  }
  template <class Function>
  void refused(const Function& function) {
    try {
      function();
    } catch (const std::exception&) {
      ++done_.failed;
      return;
    }
    std::fprintf(stderr, "load: nothing was thrown\n");
    std::exit(1);
  }

  counts done_;
  const std::vector<py::object> arrays_ = {
      eval("np.arange(1000.)"),
      eval("np.arange(24, dtype='f4').reshape(2, 3, 4)[:, ::2]"),
      eval("np.broadcast_to(np.arange(3), (2, 3))"),
      eval("np.zeros((2, 3), __import__('ml_dtypes').bfloat16)"),
      eval("np.zeros(())"),
      eval("np.zeros((0, 3))"),
  };
  const py::object read_only_ = eval("np.broadcast_to(np.arange(1000.), (1, 1000))[0]");
  const py::object backwards_ = eval("np.arange(1000.)[::-1]");
  const py::object numbers_ = eval("[[1, 2.5], [True, np.float32(3)]]");
  const py::object ragged_ = eval("[[1, 2], [3]]");
  const py::object text_ = eval("np.array(['a'])");
  const py::object bytes_ = eval("bytes(4000)");
  const at::Tensor own_ = at::arange(6.);
  const at::Tensor bfloat16_ = at::ones({3}, at::kBFloat16);
  const at::Tensor requires_grad_ = at::ones({1000}).set_requires_grad(true);
  const py::object pair_ = pair::make();
  // h.a, h.b = h.b, h.a
  const py::object swap_ =
      eval("lambda h: (lambda a, b: (setattr(h, 'a', b), setattr(h, 'b', a)))(h.a, h.b)");
  const py::cpp_function argument_{[](const ndtorch::tensor_t<double>&) {}};
  const py::cpp_function result_{[this](std::int64_t) { return ndtorch::tensor_t<>(own_); }};
};

int run(std::int64_t count) {
  const py::scoped_interpreter python;
  conversions all;
  const py::object collect = py::module_::import("gc").attr("collect");
  const py::object allocated = py::module_::import("sys").attr("getallocatedblocks");
  const auto blocks = [&] {
    collect();
    return allocated().cast<std::int64_t>();
  };
  std::int64_t round = 0;
  for (; round < 1000; ++round) all.run(round);  // what is loaded at first stays for good
  const std::vector<std::int64_t> references_before = all.references();
  const std::int64_t blocks_before = blocks();

  const auto start = std::chrono::steady_clock::now();
  double first = 0, highest = 0;
  constexpr int points = 10;
  std::printf("%12s %12s %12s %8s %14s\n", "to tensors", "to arrays", "failed", "s", "resident MB");
  for (int point = 1; point <= points; ++point) {
    while (std::min(all.done().in, all.done().out) < count / points * point) all.run(round++);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    const double resident = resident_megabytes();
    std::printf("%12lld %12lld %12lld %8.1f %14.1f\n", static_cast<long long>(all.done().in),
                static_cast<long long>(all.done().out), static_cast<long long>(all.done().failed),
                passed.count(), resident);
    std::fflush(stdout);
    if (point == 1) first = resident;
    highest = std::max(highest, resident);
  }

  const std::int64_t more_blocks = blocks() - blocks_before;
  const bool exact = all.references() == references_before;
  std::printf(
      "resident memory grew by %.1f MB after the first point (%.0f are allowed), Python's "
      "blocks by %lld; reference counts are %s\n",
      highest - first, margin, static_cast<long long>(more_blocks), exact ? "exact" : "wrong");
  return highest - first <= margin && more_blocks < 1000 && exact ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return run(argc > 1 ? std::atoll(argv[1]) : 10'000'000); }
