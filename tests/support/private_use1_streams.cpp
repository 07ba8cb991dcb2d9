#include "support/private_use1_streams.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "support/private_use1.h"

namespace test::inverted {

namespace {

std::atomic<int> delay_in_microseconds{0};

// One stream's work and the thread that does it. The threads stay until the process ends, as a
// driver's do.
class worker {
 public:
  worker() : thread_([this] { run(); }) { thread_.detach(); }

  void add(std::function<void()> work) {
    {
      const std::scoped_lock lock(mutex_);
      queue_.push_back(std::move(work));
    }
    wake_.notify_one();
  }

 private:
  void run() {
    unsigned random = 1;
    while (true) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !queue_.empty(); });
      const std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      random = random * 1664525U + 1013904223U;
      const auto most = static_cast<unsigned>(delay_in_microseconds.load());
      std::this_thread::sleep_for(std::chrono::microseconds((random >> 8U) % (most + 1)));
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::thread thread_;
};

std::mutex workers_mutex;

// Never destroyed: the threads outlive what is static.
std::map<std::pair<int, c10::StreamId>, worker*>& workers() {
  static auto* const all = new std::map<std::pair<int, c10::StreamId>, worker*>;
  return *all;
}

}  // namespace

struct mark::state {
  std::mutex mutex;
  std::condition_variable changed;
  bool reached = false;
};

bool is_asynchronous() { return delay_in_microseconds > 0; }

void submit(c10::Stream stream, std::function<void()> work) {
  if (!is_asynchronous()) {
    work();
    return;
  }
  const std::scoped_lock lock(workers_mutex);
  worker*& its = workers()[{stream.device_index(), stream.id()}];
  if (its == nullptr) its = new worker;
  its->add(std::move(work));
}

mark::mark(c10::Stream stream) : stream_(stream), state_(std::make_shared<state>()) {
  submit(stream, [state = state_] {
    {
      const std::scoped_lock lock(state->mutex);
      state->reached = true;
    }
    state->changed.notify_all();
  });
}

bool mark::is_reached() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->reached;
}

void mark::wait() const {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->reached; });
}

asynchronous::asynchronous(std::chrono::microseconds longest_delay) {
  delay_in_microseconds = static_cast<int>(longest_delay.count());
}

asynchronous::~asynchronous() {
  std::vector<mark> last;
  {
    std::unique_lock lock(workers_mutex);
    const auto all = workers();
    lock.unlock();
    for (const auto& [key, its] : all) {
      const c10::Device device(c10::kPrivateUse1, static_cast<c10::DeviceIndex>(key.first));
      last.emplace_back(c10::Stream(c10::Stream::UNSAFE, device, key.second));
    }
  }
  for (const mark& each : last) each.wait();
  delay_in_microseconds = 0;
  bury();
}

}  // namespace test::inverted
