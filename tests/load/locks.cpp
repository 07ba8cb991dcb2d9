// Locks, joins and memory where tensors die without the GIL. `locks <case> <count>`; each ends.
#include <ATen/core/Tensor.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/embed.h>
#include <pybind11/numpy.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/process.h"

namespace py = pybind11;
using test::resident_megabytes;
using test::wait_until;

namespace {

// ----- a lock that is held while tensors die

// What threads with and without the GIL share.
class tensor_store {
 public:
  // Called with the GIL, and keeps it while it waits for the lock.
  void put(at::Tensor tensor) {
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

// Four threads convert and drop with the GIL, four drop without it. Ends when all references came back.
void a_lock(long count) {
  const py::object array = py::module_::import("numpy").attr("arange")(6.);
  const Py_ssize_t before = Py_REFCNT(array.ptr());
  tensor_store store;
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
  wait_until([&] { return Py_REFCNT(array.ptr()) == before; });
  std::printf("8 threads, %ld tensors", 4 * count);
}

// ----- a destructor that joins

// Its threads drop the tensors that they are given.
class thread_pool {
 public:
  thread_pool() {
    for (int i = 0; i < 4; ++i) threads_.emplace_back([this] { run(); });
  }
  // Called by Python, with the GIL.
  ~thread_pool() {
    {
      const std::scoped_lock lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  void give(at::Tensor tensor) {
    const std::scoped_lock lock(mutex_);
    tensors_.push_back(std::move(tensor));
    changed_.notify_one();
  }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!ends_ || !tensors_.empty()) {
      if (tensors_.empty()) {
        changed_.wait(lock);
        continue;
      }
      at::Tensor tensor = std::move(tensors_.front());
      tensors_.pop_front();
      lock.unlock();
      tensor.reset();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<at::Tensor> tensors_;
  std::vector<std::thread> threads_;
  bool ends_ = false;
};

PYBIND11_EMBEDDED_MODULE(pools, module) {
  py::class_<thread_pool>(module, "thread_pool")
      .def(py::init<>())
      .def("give", [](thread_pool& self, const ndtorch::tensor_t<>& tensor) { self.give(tensor); });
}

void a_join(long count) {
  py::dict names;
  names["count"] = count;
  py::exec(R"(
import sys
import numpy as np
import pools
array = np.arange(6.)
before = sys.getrefcount(array)
for _ in range(count):
  pool = pools.thread_pool()
  for _ in range(100): pool.give(array)
  del pool
)",
           names);
  const py::object array = names["array"];
  const Py_ssize_t before = names["before"].cast<Py_ssize_t>();  // here, instead of as an argument
  wait_until([&] { return Py_REFCNT(array.ptr()) == before; });
  std::printf("%ld pools", count);
}

// ----- memory

// Takes tensors and drops them, without the GIL.
class consumer {
 public:
  consumer() : thread_([this] { run(); }) {}
  ~consumer() {
    ends_ = true;
    thread_.join();
  }
  consumer(const consumer&) = delete;
  consumer& operator=(const consumer&) = delete;

  void give(at::Tensor tensor) {
    const std::scoped_lock lock(mutex_);
    tensors_.push_back(std::move(tensor));
  }

 private:
  void run() {
    while (!ends_) {
      std::vector<at::Tensor> some;
      {
        const std::scoped_lock lock(mutex_);
        some.swap(tensors_);
      }
      some.clear();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  std::mutex mutex_;
  std::vector<at::Tensor> tensors_;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

// What may be on its way at once, for all threads together; what piles up has more after a second.
constexpr double margin = 1500;  // MB

// For so many seconds large arrays are made, filled, converted, and dropped by another thread, with small
// ones among them. Ends the process where they pile up.
class arrays {
 public:
  explicit arrays(long seconds) : half_(std::chrono::milliseconds(500) * seconds) {}

  // Whether there is more to do. Needs the GIL.
  bool run() {
    const py::array array = empty_(10'000'000, "uint8");  // 10 MB
    std::memset(array.request(true).ptr, 1, static_cast<std::size_t>(array.nbytes()));
    consumer_.give(ndtorch::from_numpy(array));
    for (int i = 0; i < 1000; ++i) consumer_.give(ndtorch::from_numpy(empty_(3)));
    ++made_;
    const auto passed = std::chrono::steady_clock::now() - start_;
    double& most = passed < half_ ? in_first_half_ : in_second_half_;
    most = std::max(most, resident_megabytes() - before_);
    if (most > margin) {
      std::printf("%.0f MB more after %ld arrays of 10 MB\n", most, made_);
      std::fflush(stdout);
      std::_Exit(1);
    }
    return passed < 2 * half_;
  }

  void print() const {
    std::printf(
        "%ld arrays of 10 MB and %ld small ones, at most %.0f and %.0f MB in use in the halves",
        made_, 1000 * made_, in_first_half_, in_second_half_);
  }

 private:
  const py::object empty_ = py::module_::import("numpy").attr("empty");
  consumer consumer_;
  const std::chrono::steady_clock::duration half_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  const double before_ = resident_megabytes();
  long made_ = 0;
  double in_first_half_ = 0, in_second_half_ = 0;
};

// The main thread sits in C++ without the GIL, as a server's does; a thread of its own takes the GIL for
// each request.
void a_server(long seconds) {
  arrays all(seconds);
  const py::gil_scoped_release without_gil;
  std::thread([&] {
    for (bool more = true; more;) {
      const py::gil_scoped_acquire gil;
      more = all.run();
    }
  }).join();
  all.print();
}

// The main thread converts in C++ and never gives the GIL up.
void a_loop_with_the_gil(long seconds) {
  arrays all(seconds);
  while (all.run()) {
  }
  all.print();
}

// Eight threads convert, each with the GIL for as long as Python lets it.
void threads_with_the_gil(long seconds) {
  arrays all(seconds);
  py::dict names;
  names["run"] = py::cpp_function([&] { return all.run(); });
  py::exec(R"(
import threading
def loop():
  while run(): pass
threads = [threading.Thread(target=loop) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
)",
           names);
  all.print();
}

const std::map<std::string, void (*)(long)> cases = {
    {"a_lock", a_lock},
    {"a_join", a_join},
    {"a_server", a_server},
    {"a_loop_with_the_gil", a_loop_with_the_gil},
    {"threads_with_the_gil", threads_with_the_gil},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || cases.count(argv[1]) == 0) return 2;
  const py::scoped_interpreter python;
  const auto start = std::chrono::steady_clock::now();
  cases.at(argv[1])(std::atol(argv[2]));
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  std::printf(" (%s, %.1f s)\n", argv[1], passed.count());
  return 0;
}
