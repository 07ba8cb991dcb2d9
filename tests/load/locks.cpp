// A user's lock that is held while a tensor dies: eight threads, half of them without the GIL. `locks
// good <count>` keeps the rule of docs/lifetime.md and ends; `locks bad` breaks it and never does.
#include <ATen/core/Tensor.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/embed.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace good {

// What threads with and without the GIL share. A tensor may die inside, and wait for the GIL there.
class tensor_store {
 public:
  // Called with the GIL, which is given up before the lock is waited for.
  void put(at::Tensor tensor) {
    const py::gil_scoped_release without_gil;
    const std::scoped_lock lock(mutex_);
    tensors_.push_back(std::move(tensor));
  }

  // Called by any thread without the GIL.
  void clear() {
    const std::scoped_lock lock(mutex_);
    tensors_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<at::Tensor> tensors_;
};

}  // namespace good

namespace also_good {

class tensor_store {
 public:
  // Called with the GIL or without it: nothing dies while the lock is held.
  void put(at::Tensor tensor) {
    const std::scoped_lock lock(mutex_);
    tensors_.push_back(std::move(tensor));
  }

  void clear() {
    std::vector<at::Tensor> dying;
    {
      const std::scoped_lock lock(mutex_);
      dying.swap(tensors_);
    }
  }

 private:
  std::mutex mutex_;
  std::vector<at::Tensor> tensors_;
};

}  // namespace also_good

namespace bad {

class tensor_store {
 public:
  // Called with the GIL, and keeps it while it waits for the lock.
  void put(at::Tensor tensor) {
    const std::scoped_lock lock(mutex_);
    tensors_.push_back(std::move(tensor));
  }

  // Called by any thread without the GIL. Keeps the lock while it waits for the GIL.
  void clear() {
    const std::scoped_lock lock(mutex_);
    tensors_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<at::Tensor> tensors_;
};

}  // namespace bad

namespace {

// Four threads convert and drop with the GIL, four drop without it. Whether all references came back.
template <class Store>
bool use_from_eight_threads(long count) {
  const py::scoped_interpreter python;
  const py::object array = py::module_::import("numpy").attr("arange")(6.);
  const Py_ssize_t before = Py_REFCNT(array.ptr());
  Store store;
  std::atomic<int> converting{4};
  const auto with_gil = [&] {
    for (long i = 0; i < count; ++i) {
      const py::gil_scoped_acquire gil;
      at::Tensor tensor = ndtorch::from_numpy(array);
      store.put(tensor.slice(0, 1, 4));
      ndtorch::numpy(tensor);
    }
    --converting;
  };
  const auto without_gil = [&] {
    while (converting > 0) {
      store.clear();
      std::this_thread::yield();
    }
  };
  {
    const py::gil_scoped_release released;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back(with_gil);
      threads.emplace_back(without_gil);
    }
    for (std::thread& thread : threads) thread.join();
    store.clear();
  }
  return Py_REFCNT(array.ptr()) == before;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string which = argc > 1 ? argv[1] : "good";
  const long count = argc > 2 ? std::atol(argv[2]) : 250'000;
  const auto start = std::chrono::steady_clock::now();
  const bool exact = which == "bad"         ? use_from_eight_threads<bad::tensor_store>(count)
                     : which == "also_good" ? use_from_eight_threads<also_good::tensor_store>(count)
                                            : use_from_eight_threads<good::tensor_store>(count);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  std::printf("%s: 8 threads, %ld tensors, %.1f s, reference counts are %s\n", which.c_str(),
              4 * count, passed.count(), exact ? "exact" : "wrong");
  return exact ? 0 : 1;
}
