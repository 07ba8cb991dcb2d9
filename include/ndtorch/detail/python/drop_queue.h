// References that are dropped without the GIL, on their way to a thread that drops them with it.
#pragma once

#include <ndtorch/detail/python/interpreter.h>
#include <pybind11/pybind11.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#if __has_include(<pthread.h>)
#include <pthread.h>
#include <csignal>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What all modules of a process see of the one queue. They may be of other releases: this stays as it is.
struct waiting_references {
  std::atomic<std::int64_t> count{0};  // that are in the queue, or just being dropped
  void (*make_way)() = nullptr;        // for them, by who has the GIL
};

// A tensor that dies without the GIL leaves its reference here, and doesn't wait: whoever has the GIL may
// be waiting for this very thread, or for a lock that it holds. The queue's own thread holds no lock of
// anybody's while it waits for the GIL, nor while it drops, which runs Python's finalisers and any
// destructor. It is started by the first such drop of a process, and stays.
class drop_queue {
 public:
  static drop_queue& instance() {
    static auto* const only = new drop_queue;  // for good: tensors die until the process has ended
    return *only;
  }

  // For the first conversion of a process. Needs the GIL.
  static void open() {
    instance();
    static PyMethodDef definition = {"ndtorch_drop_rest", &drop_rest, METH_NOARGS, nullptr};
    call_at_exit(definition);
    static const bool is_known = [] {
      // Static objects go from here on, which destructors may ask for.
      static_cast<void>(std::atexit([] { instance().process_ends_ = true; }));
#if __has_include(<pthread.h>)
      pthread_atfork(nullptr, nullptr, [] { instance().begin_in_child(); });
#endif
      return true;
    }();
    static_cast<void>(is_known);
  }

  waiting_references& waiting() { return waiting_; }

  // Takes over a reference, from any thread. Takes no lock but to wake the queue's thread, which holds
  // that one only to look whether it may sleep. The object is leaked where there is no memory for a few
  // bytes, and that not for the first time.
  void push(PyObject* object) noexcept {
    node* const added = make_node();
    if (added == nullptr) return;
    added->object = object;
    added->next = newest_.load(std::memory_order_relaxed);
    ++waiting_.count;
    while (!newest_.compare_exchange_weak(added->next, added)) {
    }
    if (!has_thread_) {
      start_thread();
    } else if (is_asleep_.exchange(false)) {
      const std::scoped_lock lock(sleep_.mutex);
      sleep_.over.notify_one();
    }
  }

 private:
  struct node {
    PyObject* object = nullptr;
    node* next = nullptr;
    std::atomic<bool> is_spare{false};  // and in use
  };

  node* make_node() noexcept {
    if (auto* const made = new (std::nothrow) node) return made;
    for (node& spare : spare_) {
      if (!spare.is_spare.exchange(true)) return &spare;
    }
    return nullptr;
  }

  using clock = std::chrono::steady_clock;
  static clock::rep now() { return clock::now().time_since_epoch().count(); }

  // As long as a thread of Python's has the GIL where others want it (sys.getswitchinterval()).
  static constexpr std::chrono::milliseconds slice{5};
  // For so long the queue is never empty before those who convert help. Where Python code runs, the
  // queue's thread has the GIL sooner. But a loop in C++ would keep it, and many threads would have it for
  // most of the time: what they convert, and others drop, would pile up.
  static constexpr clock::duration patience = 2 * slice;

  drop_queue() {
    waiting_.make_way = [] { instance().make_way(); };
  }

  // Called with the GIL, at a time when any Python code may run. Time bounds the queue, not a count: 20
  // arrays may hold 2 GB, and their sizes can't be asked for without the GIL. When the queue's thread
  // is behind, this thread drops some references itself, for at most one slice. It doesn't give up the
  // GIL instead: a thread could then run that waits, with the GIL, for a lock which this thread holds,
  // because finalisers run wherever Python's collector does.
  void make_way() {
    const bool has_thread = has_thread_ || start_thread();
    const clock::rep since = behind_since_, begin = now();
    if (has_thread && (since == 0 || begin - since < patience.count())) return;
    if (is_dropped_here_.exchange(true)) return;  // by a finaliser that converts
    const clock::rep end = begin + clock::duration(slice).count();
    while ((!has_thread || now() < end) && drop_next()) {
    }
    is_dropped_here_ = false;
  }

  // Called by atexit. What comes later is kept until the process ends.
  static PyObject* drop_rest(PyObject* self, PyObject* none) {
    Py_XDECREF(await_claims(self, none));  // the queue's thread stops
    while (instance().drop_next()) {
    }
    Py_RETURN_NONE;
  }

  // Needs the GIL. In the order in which they came.
  bool drop_next() {
    PyObject* const object = take();
    if (object == nullptr) return false;
    Py_DECREF(object);
    --waiting_.count;
    return true;
  }

  PyObject* take() {
    const std::scoped_lock lock(taking_);  // with the GIL nobody waits; without one there are more
    if (oldest_ == nullptr) {
      for (node* some = newest_.exchange(nullptr); some != nullptr;) {
        node* const next = some->next;
        some->next = oldest_;
        oldest_ = some;
        some = next;
      }
    }
    node* const first = oldest_;
    if (first == nullptr) return nullptr;
    oldest_ = first->next;
    PyObject* const object = first->object;
    if (!first->is_spare.exchange(false)) delete first;
    return object;
  }

  bool is_empty() {
    const std::scoped_lock lock(taking_);
    return oldest_ == nullptr && newest_ == nullptr;
  }

  // Whether there is one. Signals are for the threads of the program.
  bool start_thread() noexcept {
    if (process_ends_ || interpreter_state::instance().is_ending) return true;  // it is over
    if (has_thread_.exchange(true)) return true;
#if __has_include(<pthread.h>)
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
      sigdelset(&blocked, own);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
#endif
    try {
      std::thread([this] { run(); }).detach();
    } catch (const std::exception&) {
      has_thread_ = false;  // tried again at the next drop and the next conversion
    }
#if __has_include(<pthread.h>)
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
    return has_thread_;
  }

  void run() {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "ndtorch drops");
#endif
    for (;;) {
      sleep();
      if (process_ends_) return;
      const interpreter_claim claim;
      if (!claim) return;
      if (behind_since_ == 0) behind_since_ = now();
      const PyGILState_STATE state = PyGILState_Ensure();
      const clock::rep end = now() + clock::duration(slice).count();
      bool is_behind = true;
      while (is_behind && !process_ends_ && now() < end) is_behind = drop_next();
      if (!is_behind) behind_since_ = 0;
      PyGILState_Release(state);
    }
  }

  // Until there is something to drop.
  void sleep() {
    std::unique_lock<std::mutex> lock(sleep_.mutex);
    while (is_empty()) {
      is_asleep_ = true;  // before the next look: who pushes looks the other way round
      if (!is_empty()) break;
      sleep_.over.wait(lock);
    }
    is_asleep_ = false;
  }

  // A forked process has all references but not the thread, and maybe locks that nobody gives back.
  void begin_in_child() {
    has_thread_ = is_asleep_ = is_dropped_here_ = false;
    behind_since_ = 0;
    new (&sleep_) sleeping;
    new (&taking_) std::mutex;
    waiting_.count = 0;  // not those that the thread, or one that pushed, was at
    for (const node* one : {oldest_, newest_.load()}) {
      for (; one != nullptr; one = one->next) ++waiting_.count;
    }
  }

  struct sleeping {
    std::mutex mutex;
    std::condition_variable over;
  };

  waiting_references waiting_;
  std::atomic<node*> newest_{nullptr};  // names the one that came before it, and so on
  std::array<node, 100> spare_;
  std::mutex taking_;
  node* oldest_ = nullptr;  // names the next one; all of these came before those
  std::atomic<bool> has_thread_{false}, is_asleep_{false}, is_dropped_here_{false},
      process_ends_{false};
  std::atomic<clock::rep> behind_since_{0};  // 0 where it has kept up
  sleeping sleep_;
};

}  // namespace detail
}  // namespace ndtorch
