// Long work in pieces, on LibTorch's threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// The pieces of one job. Whoever is free takes the next; nobody waits for a thread that hasn't come.
template <class Work>
class pieces {
 public:
  pieces(std::int64_t count, std::int64_t size, const Work& work)
      : count_(count), size_(size), work_(&work) {}

  // Works until no piece is left.
  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++helpers_;
    while (next_ < count_) {
      const std::int64_t begin = next_;
      const std::int64_t end = std::min(count_, begin + size_);
      next_ = end;
      lock.unlock();
      (*work_)(begin, end);
      lock.lock();
    }
    --helpers_;
    done_.notify_all();
  }

  // Waits for the pieces that others are at.
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return helpers_ == 0; });
  }

 private:
  const std::int64_t count_, size_;
  const Work* const work_;  // gone when the job is done, and so not touched by late comers
  std::mutex mutex_;
  std::condition_variable done_;
  std::int64_t next_ = 0;
  int helpers_ = 0;
};

// Calls work(begin, end), which must not throw, for parts of [0, count) of at most `size`: on this
// thread, and on as many of LibTorch's as at::get_num_threads() allows. at::parallel_for would need
// the user's code to be compiled with OpenMP; at::launch doesn't. A pool that is busy, or that a fork
// left without threads, only makes it slower. Call it without the GIL.
template <class Work>
void for_pieces(std::int64_t count, std::int64_t size, const Work& work) {
  const std::int64_t parts = (count + size - 1) / size;
  const std::int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  if (parts <= 1 || threads <= 1) {
    work(std::int64_t{0}, count);
    return;
  }
  const auto job = std::make_shared<pieces<Work>>(count, size, work);
  try {
    for (std::int64_t i = 1; i < std::min(parts, threads); ++i) {
      at::launch([job] { job->help(); });
    }
  } catch (const std::exception&) {
    // No thread to be had: the work is done all the same, and those that came must be waited for.
  }
  job->help();
  job->wait();
}

}  // namespace detail
}  // namespace ndtorch
