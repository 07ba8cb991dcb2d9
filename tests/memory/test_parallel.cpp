// detail/memory/parallel.h: each part of a job is done once, by no more threads than are asked for
#include <ndtorch/detail/memory/parallel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::for_pieces;
using part = std::pair<std::int64_t, std::int64_t>;

// The parts that the work was called for, in order.
std::vector<part> parts_of(std::int64_t count, std::int64_t size, std::int64_t threads) {
  const py::gil_scoped_release without_gil;
  std::mutex mutex;
  std::vector<part> parts;
  for_pieces(count, size, threads, [&](std::int64_t begin, std::int64_t end) {
    const std::scoped_lock lock(mutex);
    parts.emplace_back(begin, end);
  });
  std::sort(parts.begin(), parts.end());
  return parts;
}

TEST(for_pieces, covers_all_once_in_parts_of_at_most_the_size) {
  for (const std::int64_t threads : {2, 3, 8}) {
    for (const std::int64_t size : {1, 7, 64}) {
      for (const std::int64_t count : {65, 128, 1000, 1001}) {
        SCOPED_TRACE(testing::Message() << count << " by " << size << " on " << threads);
        std::int64_t next = 0;
        for (const auto& [begin, end] : parts_of(count, size, threads)) {
          EXPECT_EQ(begin, next);
          EXPECT_LE(end - begin, size);
          next = end;
        }
        EXPECT_EQ(next, count);
      }
    }
  }
}

TEST(for_pieces, works_in_one_part_where_there_is_one_thread_or_one_piece) {
  EXPECT_EQ(parts_of(1000, 10, 1), (std::vector<part>{{0, 1000}}));
  EXPECT_EQ(parts_of(1000, 10, 0), (std::vector<part>{{0, 1000}}));
  EXPECT_EQ(parts_of(10, 10, 8), (std::vector<part>{{0, 10}}));
  EXPECT_EQ(parts_of(0, 10, 8), (std::vector<part>{{0, 0}}));
}

TEST(for_pieces, uses_no_more_threads_than_it_is_told) {
  const py::gil_scoped_release without_gil;
  for (const std::int64_t threads : {2, 4}) {
    std::atomic<std::int64_t> now{0}, most{0};
    for_pieces(100, 1, threads, [&](std::int64_t, std::int64_t) {
      const std::int64_t working = ++now;
      std::int64_t before = most;
      while (before < working && !most.compare_exchange_weak(before, working)) {
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      --now;
    });
    EXPECT_LE(most, threads);
  }
}

// Helpers that are at another job come late or never, and nobody waits for them.
TEST(for_pieces, may_be_called_by_many_threads_at_once) {
  const py::gil_scoped_release without_gil;
  std::vector<std::vector<int>> counts(8, std::vector<int>(10'000));
  std::vector<std::thread> threads;
  for (std::vector<int>& own : counts) {
    threads.emplace_back([&own] {
      for (int turn = 0; turn < 20; ++turn) {
        for_pieces(10'000, 100, 4, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) ++own[static_cast<std::size_t>(i)];
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int>& own : counts) EXPECT_EQ(own, std::vector<int>(10'000, 20));
}

}  // namespace
