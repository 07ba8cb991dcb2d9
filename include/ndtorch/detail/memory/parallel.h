// Long work in pieces, on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#if __has_include(<pthread.h>)
#include <pthread.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Threads that help where they are asked to, and wait for that until the process ends. LibTorch's own
// pool (at::launch) won't do: where it has run, a forked process never ends, since it waits at its
// exit for threads that the fork left behind.
class helpers {
 public:
  static helpers& instance() {
    static std::atomic<helpers*> current{nullptr};
    static const bool is_ready = [] {
      current = new helpers;  // for good, as its threads stay
#if __has_include(<pthread.h>)
      // A forked process has none of them, and maybe a lock that nobody gives back.
      pthread_atfork(nullptr, nullptr, [] { current = new helpers; });
#endif
      return true;
    }();
    static_cast<void>(is_ready);
    return *current;
  }

  // Has `help` called on `count` other threads, sooner or later. Throws where there is no thread to
  // be had; those that are there help all the same.
  void ask(std::int64_t count, const std::function<void()>& help) {
    const std::scoped_lock lock(mutex_);
    for (std::int64_t i = 0; i < count; ++i) waiting_.push_back(help);
    asked_.notify_all();
    for (; threads_ < count; ++threads_) std::thread([this] { run(); }).detach();
  }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      asked_.wait(lock, [&] { return !waiting_.empty(); });
      const std::function<void()> help = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      help();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable asked_;
  std::deque<std::function<void()>> waiting_;
  std::int64_t threads_ = 0;
};

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

// Calls work(begin, end), which must not throw, for parts of [0, count) of at most `size`, on `threads`
// threads, of which this is one. at::parallel_for would need the user's code to be compiled with OpenMP.
// Helpers that are busy only make it slower. Call it without the GIL.
template <class Work>
void for_pieces(std::int64_t count, std::int64_t size, std::int64_t threads, const Work& work) {
  const std::int64_t parts = (count + size - 1) / size;
  if (parts <= 1 || threads <= 1) {
    work(std::int64_t{0}, count);
    return;
  }
  const auto job = std::make_shared<pieces<Work>>(count, size, work);
  try {
    helpers::instance().ask(std::min(parts, threads) - 1, [job] { job->help(); });
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    // No thread to be had: the work is done all the same, and those that came must be waited for.
  }
  job->help();
  job->wait();
}

}  // namespace detail
}  // namespace ndtorch
