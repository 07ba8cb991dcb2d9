// What the peers of the front page's table have in common: each takes an array in its own way.
#pragma once

#include <chrono>
#include <future>
#include <optional>
#include <thread>

// Whether a thread without the GIL drops what is kept while this one has the GIL and waits, as who waits for
// a lock does.
template <class GilRelease, class Kept>
bool drops_beside_the_gil(std::optional<Kept>& kept) {
  std::promise<void> dropped;
  std::future<void> is_dropped = dropped.get_future();
  std::thread thread([&] {
    kept.reset();
    dropped.set_value();
  });
  const bool drops = is_dropped.wait_for(std::chrono::seconds(1)) == std::future_status::ready;
  const GilRelease without_gil;
  thread.join();
  return drops;
}
