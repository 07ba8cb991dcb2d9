// How a process ends, and what may outlive what. Each case is a process of its own, `ends <case>`,
// that must end with status 0 and without a word.
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <dlfcn.h>
#include <ndtorch/ndtorch.h>
#include <pthread.h>
#include <pybind11/embed.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "support/process.h"

namespace py = pybind11;
using test::eval;
using test::wait_until;

namespace {

// Ends the process where a case finds something wrong, without the end that it tests.
#define REQUIRE(condition)                                                 \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::_Exit(1);                                                       \
    }                                                                      \
  } while (false)

at::Tensor view(const char* array = "np.arange(6.)") { return ndtorch::from_numpy(eval(array)); }
at::Tensor read_only_view() { return view("np.broadcast_to(np.arange(6.), (1, 6))[0]"); }

// Counts the ends of arrays, whose memory this is. The first takes longer than ndtorch's thread goes on
// without a break.
std::atomic<int> ended{0};

at::Tensor counted_view() {
  static double memory = 0;
  const py::capsule owner(&memory, [](void*) {
    if (++ended == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  return ndtorch::from_numpy(py::array_t<double>(1, &memory, owner));
}

std::vector<at::Tensor> counted_views(int count) {
  std::vector<at::Tensor> made;
  for (int i = 0; i < count; ++i) made.push_back(counted_view());
  return made;
}

// On a thread without the GIL, which this one may keep.
void drop_elsewhere(std::vector<at::Tensor> tensors) {
  std::thread([&] { tensors.clear(); }).join();
}

double sum(const at::Tensor& tensor) { return tensor.sum().item<double>(); }

// ----- what outlives the interpreter

struct outliving_tensors {
  at::Tensor view, slice, read_only, of_a_buffer, of_a_capsule, given_away;
  std::vector<at::Tensor> many;
  ~outliving_tensors() {
    if (!view.defined()) return;  // another case
    // The memory is there until the process ends.
    REQUIRE(sum(view) == 15);
    REQUIRE(sum(read_only) == 15);
    read_only.add_(1);  // to memory of its own
    REQUIRE(sum(read_only) == 21);
    REQUIRE(sum(of_a_buffer) == 3);
    REQUIRE(sum(of_a_capsule) == 15);
    REQUIRE(sum(given_away) == 15);
  }
} outliving;

void static_tensors_outlive_the_interpreter() {
  const py::scoped_interpreter python;
  outliving.view = view();
  outliving.slice = view().slice(0, 2, 4);
  outliving.read_only = read_only_view();
  outliving.of_a_buffer = ndtorch::frombuffer(py::bytes("\1\2"), at::kByte);
  outliving.of_a_capsule = ndtorch::as_tensor(ndtorch::to_dlpack(view()));
  for (int i = 0; i < 1000; ++i) outliving.many.push_back(i % 2 == 0 ? view() : read_only_view());
  outliving.given_away = ndtorch::tensor(eval("np.arange(6.)"));
  py::module_::import("__main__").attr("kept") =
      py::make_tuple(ndtorch::numpy(outliving.given_away), ndtorch::numpy(outliving.view),
                     ndtorch::to_dlpack(outliving.given_away));
}

// The first conversion of all: atexit takes no more functions then.
void static_tensors_made_at_the_exit_outlive_the_interpreter() {
  const py::scoped_interpreter python;
  py::module_::import("atexit").attr("register")(py::cpp_function([] {
    outliving.view = view();
    outliving.read_only = read_only_view();
    outliving.of_a_buffer = ndtorch::frombuffer(py::bytes("\1\2"), at::kByte);
    outliving.of_a_capsule = view();
    outliving.given_away = ndtorch::tensor(eval("np.arange(6.)"));
  }));
}

// ----- threads

// None of them has been dropped when the interpreter begins to end.
void references_wait_when_it_finalizes() {
  {
    const py::scoped_interpreter python;
    drop_elsewhere(counted_views(1000));
    REQUIRE(ended == 0);
  }
  REQUIRE(ended == 1000);
}

// The main thread keeps the GIL, and a static tensor dies while another thread ends the process.
void another_thread_exits_while_main_has_the_gil() {
  const py::scoped_interpreter python;
  static at::Tensor last;
  last = view();
  alarm(60);
  std::thread([] { std::exit(0); }).detach();
  for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
}

// A program may wait for signals on a thread of its own, for which all others block them.
void signals_are_left_to_the_programs_threads() {
  const py::scoped_interpreter python;
  drop_elsewhere(counted_views(1));  // starts the thread
  wait_until([] { return ended == 1; });
  const auto blocked = eval(R"([
      int(open(f'/proc/self/task/{task}/status').read().split('SigBlk:')[1].split()[0], 16)
      for task in __import__('os').listdir('/proc/self/task')
      if open(f'/proc/self/task/{task}/comm').read() == 'ndtorch drops\n'])")
                           .cast<std::vector<std::uint64_t>>();
  REQUIRE(blocked.size() == 1);
  for (const int one : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD}) {
    REQUIRE((blocked[0] >> (one - 1) & 1) == 1);
  }
  REQUIRE((blocked[0] >> (SIGSEGV - 1) & 1) == 0);  // its own faults are reported
}

// The next conversion drops what waits then.
void no_thread_is_to_be_had() {
  const py::scoped_interpreter python;
  std::vector<at::Tensor> tensors = counted_views(100);
  std::atomic<bool> goes{false};
  std::thread thread([&] {
    while (!goes) std::this_thread::yield();
    tensors.clear();
  });
  pthread_attr_t usual, huge;
  REQUIRE(pthread_getattr_default_np(&usual) == 0 && pthread_getattr_default_np(&huge) == 0);
  pthread_attr_setstacksize(&huge, std::size_t{1} << 46);
  REQUIRE(pthread_setattr_default_np(&huge) == 0);
  goes = true;
  thread.join();
  REQUIRE(ended == 0);
  const at::Tensor other = view();
  REQUIRE(ended == 100);
  REQUIRE(pthread_setattr_default_np(&usual) == 0);
  std::thread([own = counted_view()]() mutable { own.reset(); }).join();
  wait_until([] { return ended == 101; });
}

// Threads that are at 20,000 tensors each when the interpreter begins to end.
void use_while_it_finalizes(std::size_t count, at::Tensor (*make)(), void (*use)(at::Tensor&)) {
  std::vector<std::vector<at::Tensor>> tensors(count);
  std::vector<std::thread> threads;
  std::atomic<std::size_t> ready{0};
  {
    const py::scoped_interpreter python;
    for (auto& some : tensors) {
      for (int i = 0; i < 20'000; ++i) some.push_back(make());
    }
    for (auto& some : tensors) {
      threads.emplace_back([&] {
        ++ready;
        for (at::Tensor& tensor : some) use(tensor);
      });
    }
    const py::gil_scoped_release without_gil;
    while (ready < count) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
}

void threads_drop_tensors_while_it_finalizes() {
  use_while_it_finalizes(8, [] { return view(); }, [](at::Tensor& tensor) { tensor.reset(); });
}

void threads_write_while_it_finalizes() {
  use_while_it_finalizes(4, &read_only_view, [](at::Tensor& tensor) { tensor.mutable_data_ptr(); });
}

// Daemon threads of Python that call `function` until the interpreter ends.
void daemons_call(const py::object& function, const char* argument) {
  py::dict names;
  names["function"] = function;
  names["argument"] = eval(argument);
  py::exec(R"(
import threading, time
def run():
  ready.release()
  while True: function(argument)
ready = threading.Semaphore(0)
for _ in range(4): threading.Thread(target=run, daemon=True).start()
for _ in range(4): ready.acquire()
time.sleep(0.02)
)",
           names);
}

void daemon_threads_share_arrays_while_it_finalizes() {
  const py::scoped_interpreter python;
  daemons_call(py::cpp_function([](py::handle a) { ndtorch::numpy(ndtorch::from_numpy(a)); }),
               "np.zeros(3)");
}

// These copies give up the GIL, and the interpreter ends before they have it again.
void daemon_threads_copy_arrays_while_it_finalizes() {
  const py::scoped_interpreter python;
  daemons_call(py::cpp_function([](py::handle a) { ndtorch::tensor(a); }), "np.zeros(1 << 20)");
}

void daemon_threads_write_while_it_finalizes() {
  const py::scoped_interpreter python;
  daemons_call(py::cpp_function([](py::handle a) { ndtorch::from_numpy(a).add_(1); }),
               "np.broadcast_to(np.arange(3.), (1, 3))[0]");
}

// ----- starting again

void refuse_after_a_restart(const std::function<void()>& convert) {
  try {
    convert();
    REQUIRE(false && "converts");
  } catch (py::error_already_set& error) {
    REQUIRE(error.matches(PyExc_ImportError));
    REQUIRE(std::strstr(error.what(), "works with the first interpreter of a process only"));
  }
  REQUIRE(PyErr_Occurred() == nullptr);
}

void a_second_interpreter_is_refused() {
  at::Tensor old, dropped, written;
  {
    const py::scoped_interpreter python;
    old = view();
    dropped = view();
    written = read_only_view();
  }
  const py::scoped_interpreter again;
  const auto call = [](const auto& function, const py::object& argument) {
    refuse_after_a_restart([&] { py::cpp_function{function}(argument); });
  };
  const py::tuple numbers = py::make_tuple(1, 2);
  const py::bytes bytes("12");
  call([](py::handle data) { ndtorch::from_numpy(data); }, numbers);
  call([](py::handle data) { ndtorch::tensor(data); }, numbers);
  call([](py::handle data) { ndtorch::as_tensor(data); }, numbers);
  call([](const ndtorch::tensor_t<>&) {}, numbers);
  call([](py::handle data) { ndtorch::frombuffer(data, at::kByte); }, bytes);
  call([&](py::handle) { ndtorch::numpy(old); }, py::none());
  call([&](py::handle) { return ndtorch::tensor_t<>(old); }, py::none());
  call(
      [&](py::handle) {
        ndtorch::to_dlpack(old).attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0));
      },
      py::none());

  REQUIRE(sum(old) == 15);
  dropped.reset();
  written.add_(1);
  REQUIRE(sum(written) == 21);
  std::thread([&] { old.reset(); }).join();
}

void a_second_interpreter_may_be_the_first_to_convert() {
  {
    const py::scoped_interpreter python;
  }
  const py::scoped_interpreter again;
  const py::object array = eval("np.arange(6.)");
  {
    const at::Tensor tensor = ndtorch::from_numpy(array);
    REQUIRE(ndtorch::numpy(tensor).base().is(array));
    REQUIRE(Py_REFCNT(array.ptr()) == 2);
  }
  REQUIRE(Py_REFCNT(array.ptr()) == 1);
}

// ----- fork

// Runs `in_child` in a child process, which then ends as a program does, and waits for that.
template <class Function>
void fork_and_wait(const Function& in_child) {
  PyOS_BeforeFork();
  const pid_t child = fork();
  if (child != 0) {
    PyOS_AfterFork_Parent();
    int status = -1;
    const py::gil_scoped_release without_gil;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    return;
  }
  PyOS_AfterFork_Child();
  alarm(60);  // a lock that nobody has any more
  in_child();
  REQUIRE(Py_FinalizeEx() == 0);
  std::exit(0);
}

void a_fork_shares_views() {
  const py::scoped_interpreter python;
  const py::object source = eval("np.arange(6.)");
  at::Tensor shared = ndtorch::from_numpy(source);
  at::Tensor read_only = read_only_view();
  py::object given = ndtorch::numpy(ndtorch::tensor(source));
  ndtorch::tensor(eval("np.zeros(1 << 21)"));  // starts LibTorch's threads

  fork_and_wait([&] {
    REQUIRE(sum(shared) == 15);
    shared.fill_(1);
    REQUIRE(eval("np.sum").operator()(source).cast<double>() == 6);
    shared.reset();
    REQUIRE(Py_REFCNT(source.ptr()) == 1);
    read_only.add_(1);
    REQUIRE(sum(read_only) == 21);
    read_only.reset();
    given.release().dec_ref();
    // Not its sum: LibTorch's own parallel loops (OpenMP) wait for threads that a fork left behind.
    const py::object ones = eval("np.ones(1 << 21)");
    REQUIRE(py::cast<bool>(ndtorch::numpy(ndtorch::tensor(ones)).attr("all")()));
    REQUIRE(ndtorch::numpy(ndtorch::from_numpy(source)).base().is(source));
    {
      at::Tensor last = view();
      const py::gil_scoped_release without_gil;
      std::thread([own = std::move(last)]() mutable { own.reset(); }).join();
    }
  });
  REQUIRE(sum(shared) == 15);
  REQUIRE(sum(read_only) == 15);
  REQUIRE(Py_REFCNT(source.ptr()) == 2);
  shared.reset();
  REQUIRE(Py_REFCNT(source.ptr()) == 1);
  REQUIRE(eval("np.sum").operator()(given).cast<double>() == 15);
}

// The thread that waits for the GIL isn't there in the child, whose end must not wait for it.
void a_fork_while_a_thread_drops_a_tensor() {
  const py::scoped_interpreter python;
  std::thread thread([own = view()]() mutable { own.reset(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  fork_and_wait([&] { view(); });
  const py::gil_scoped_release without_gil;
  thread.join();
}

// Both processes have what waited before the fork, and each drops its own once.
void a_fork_has_what_waits() {
  const py::scoped_interpreter python;
  for (const bool converts : {false, true}) {
    ended = 0;
    drop_elsewhere(counted_views(100));
    fork_and_wait([&] {
      if (converts) view();  // else its end has to do
      drop_elsewhere(counted_views(10));
      if (converts) wait_until([] { return ended == 110; });
      std::atexit([] { REQUIRE(ended == 110); });
    });
    wait_until([] { return ended == 100; });
    drop_elsewhere(counted_views(10));
    wait_until([] { return ended == 110; });
  }
}

std::atomic<bool> allocates{false};

class slow_allocator final : public c10::Allocator {
 public:
  at::DataPtr allocate(std::size_t count) override {
    allocates = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    void* const memory = std::malloc(count);
    return {memory, memory, &std::free, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* target, const void* source, std::size_t count) const override {
    default_copy_data(target, source, count);
  }
};

void a_fork_while_a_thread_writes() {
  const py::scoped_interpreter python;
  at::Tensor first = read_only_view();
  at::Tensor second = read_only_view();
  const at::Tensor before = read_only_view();
  // Leaves its array for the interpreter to let go.
  std::thread([&] { before.mutable_data_ptr(); }).join();
  slow_allocator slow;
  c10::Allocator* const usual = c10::GetCPUAllocator();
  c10::SetCPUAllocator(&slow);
  std::thread thread([&] { first.mutable_data_ptr(); });
  while (!allocates) std::this_thread::yield();
  fork_and_wait([&] {
    c10::SetCPUAllocator(usual);
    const py::gil_scoped_release without_gil;
    second.mutable_data_ptr();
  });
  thread.join();
  c10::SetCPUAllocator(usual);
}

// ----- subinterpreters

// In another interpreter, which has its own GIL where `config` says so.
template <class Function>
void in_a_subinterpreter(bool own_gil, const Function& function) {
  PyThreadState* const here = PyThreadState_Get();
  PyThreadState* sub = nullptr;
#if PY_VERSION_HEX >= 0x030C0000
  PyInterpreterConfig config{};
  config.use_main_obmalloc = own_gil ? 0 : 1;
  config.allow_fork = config.allow_threads = config.allow_exec = config.allow_daemon_threads = 1;
  config.check_multi_interp_extensions = own_gil ? 1 : 0;
  config.gil = own_gil ? PyInterpreterConfig_OWN_GIL : PyInterpreterConfig_SHARED_GIL;
  REQUIRE(!PyStatus_Exception(Py_NewInterpreterFromConfig(&sub, &config)));
#else
  REQUIRE(!own_gil);
  sub = Py_NewInterpreter();
#endif
  REQUIRE(sub != nullptr);
  function();
  Py_EndInterpreter(sub);
  PyThreadState_Swap(here);
}

// Whether a thread has the GIL is asked in another way than PyGILState_Check(), which says yes to
// all threads once there has been a subinterpreter.
void threads_count_right_after_a_subinterpreter() {
  const py::scoped_interpreter python;
  const py::object array = eval("np.arange(6.)");
  in_a_subinterpreter(false, [] {});
  std::vector<std::vector<at::Tensor>> tensors(4);
  std::vector<std::thread> threads;
  for (auto& some : tensors) {
    for (int i = 0; i < 50'000; ++i) some.push_back(ndtorch::from_numpy(array));
  }
  {
    const py::gil_scoped_release without_gil;
    for (auto& some : tensors) threads.emplace_back([&some] { some.clear(); });
    for (std::thread& thread : threads) thread.join();
  }
  wait_until([&] { return Py_REFCNT(array.ptr()) == 1; });
}

// The second one isn't that which PyGILState_* knows of this thread.
void a_thread_has_two_thread_states() {
  const py::scoped_interpreter python;
  at::Tensor tensor = counted_view();
  PyThreadState* const first = PyThreadState_Get();
  PyThreadState* const second = PyThreadState_New(PyInterpreterState_Main());
  PyThreadState_Swap(second);
  alarm(60);
  tensor.reset();
  PyThreadState_Clear(second);
  PyThreadState_Swap(first);
  PyThreadState_Delete(second);
  wait_until([] { return ended == 1; });
}

void subinterpreters_are_refused() {
  const py::scoped_interpreter python;
  const py::object array = eval("np.arange(6.)");
  const at::Tensor tensor = ndtorch::tensor(array);
  std::vector<at::Tensor> tensors;
  for (int i = 0; i < 3; ++i) tensors.push_back(ndtorch::from_numpy(array));
  const auto refused = [&](const auto& function) {
    try {
      function();
      REQUIRE(false && "converts");
    } catch (const py::import_error& error) {
      REQUIRE(std::strstr(error.what(), "works in a process's main interpreter only"));
    }
  };
  for (const bool own_gil : {false, true}) {
    if (own_gil && PY_VERSION_HEX < 0x030C0000) break;
    in_a_subinterpreter(own_gil, [&] {
      refused([&] { ndtorch::numpy(tensor); });
      PyObject* const bytes = PyBytes_FromString("12");
      refused([&] { ndtorch::frombuffer(bytes, at::kByte); });
      Py_DECREF(bytes);
#if PY_VERSION_HEX >= 0x030C0000
      // Through a module: CPython or pybind11 refuses, or the conversion does.
      REQUIRE(PyRun_SimpleString("try:\n"
                                 "  import plain_module\n"
                                 "  plain_module.numpy(plain_module.tensor([1, 2]))\n"
                                 "except ImportError: pass\n"
                                 "else: raise RuntimeError('converts')\n") == 0);
#endif
      tensors.pop_back();  // the main interpreter's
    });
    wait_until([&] { return Py_REFCNT(array.ptr()) == 1 + static_cast<long>(tensors.size()); });
  }
  tensors.clear();
  REQUIRE(Py_REFCNT(array.ptr()) == 1);
  REQUIRE(ndtorch::numpy(ndtorch::from_numpy(array)).base().is(array));
}

// ----- modules and libraries that go

// A module's tensors and arrays outlive its name, its object, and the coming of a second one.
void a_module_is_imported_again() {
  const py::scoped_interpreter python;
  py::dict names;
  py::exec(R"(
import gc, importlib, sys, weakref
import numpy as np

def load():
  module = importlib.import_module("plain_module")
  source = np.arange(6.)
  return module, source, module.from_numpy(source), module.numpy(module.tensor([1, 2]))

before = []
for _ in range(5):
  module, source, tensor, array = load()
  count = sys.getrefcount(source)
  before.append((source, tensor, array, module.numpy(tensor)))
  del sys.modules["plain_module"], module, tensor, array
  gc.collect()

module, source, tensor, array = load()
for old_source, old_tensor, old_array, old_result in before:
  assert module.numpy(old_tensor).base is old_source
  assert old_result.base is old_source
  assert old_array.tolist() == [1, 2]
del sys.modules["plain_module"], module
gc.collect()
sources = [weakref.ref(one[0]) for one in before]
del before[:], old_source, old_tensor, old_array, old_result
assert all(one() is None for one in sources)
assert sys.getrefcount(source) == count - 0
)",
           names);
}

// Its deleter marks the storages of all modules, waits for the GIL, and knows no queue.
void a_module_of_an_earlier_release_came_first() {
  const py::scoped_interpreter python;
  const c10::DeleterFnPtr deleter = [](void* object) {
    const py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(object));
  };
  py::reinterpret_borrow<py::dict>(
      PyInterpreterState_GetDict(PyInterpreterState_Get()))["ndtorch.object_deleter"] =
      py::capsule(reinterpret_cast<void*>(deleter), "ndtorch.object_deleter");
  const py::object array = eval("np.arange(6.)");
  at::Tensor first = ndtorch::from_numpy(array), second = ndtorch::from_numpy(array);
  REQUIRE(first.storage().data_ptr().get_deleter() == deleter);
  REQUIRE(ndtorch::numpy(first).base().is(array));
  first.reset();
  REQUIRE(Py_REFCNT(array.ptr()) == 2);
  {
    const py::gil_scoped_release without_gil;
    std::thread([&] { second.reset(); }).join();
  }
  REQUIRE(Py_REFCNT(array.ptr()) == 1);
}

// CPython never unloads a module's library, but a program may unload a plug-in of its own.
void a_plugin_is_unloaded() {
  const py::scoped_interpreter python;
  const py::object array = eval("np.arange(6.)");
  const py::object read_only = eval("np.broadcast_to(np.arange(6.), (1, 6))[0]");
  void* const plugin = dlopen(ENDS_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(plugin != nullptr);
  const auto convert =
      reinterpret_cast<void (*)(py::handle, at::Tensor*)>(dlsym(plugin, "convert"));
  const auto give =
      reinterpret_cast<void (*)(const at::Tensor&, py::object*)>(dlsym(plugin, "give"));
  REQUIRE(convert != nullptr && give != nullptr);
  at::Tensor shared, written, ours = ndtorch::tensor(array);
  py::object given;
  convert(array, &shared);
  convert(read_only, &written);
  give(ours, &given);
  dlclose(plugin);

  REQUIRE(ndtorch::numpy(shared).base().is(array));
  written.add_(1);
  REQUIRE(sum(written) == 21);
  given.release().dec_ref();
  shared.reset();
  REQUIRE(Py_REFCNT(array.ptr()) == 1);
  REQUIRE(ndtorch::numpy(ndtorch::from_numpy(array)).base().is(array));
}

const std::map<std::string, void (*)()> cases = {
    {"static_tensors_outlive_the_interpreter", static_tensors_outlive_the_interpreter},
    {"static_tensors_made_at_the_exit_outlive_the_interpreter",
     static_tensors_made_at_the_exit_outlive_the_interpreter},
    {"references_wait_when_it_finalizes", references_wait_when_it_finalizes},
    {"another_thread_exits_while_main_has_the_gil", another_thread_exits_while_main_has_the_gil},
    {"signals_are_left_to_the_programs_threads", signals_are_left_to_the_programs_threads},
    {"no_thread_is_to_be_had", no_thread_is_to_be_had},
    {"a_fork_has_what_waits", a_fork_has_what_waits},
    {"a_thread_has_two_thread_states", a_thread_has_two_thread_states},
    {"a_module_of_an_earlier_release_came_first", a_module_of_an_earlier_release_came_first},
    {"threads_drop_tensors_while_it_finalizes", threads_drop_tensors_while_it_finalizes},
    {"threads_write_while_it_finalizes", threads_write_while_it_finalizes},
    {"daemon_threads_share_arrays_while_it_finalizes",
     daemon_threads_share_arrays_while_it_finalizes},
    {"daemon_threads_copy_arrays_while_it_finalizes",
     daemon_threads_copy_arrays_while_it_finalizes},
    {"daemon_threads_write_while_it_finalizes", daemon_threads_write_while_it_finalizes},
    {"a_second_interpreter_is_refused", a_second_interpreter_is_refused},
    {"a_second_interpreter_may_be_the_first_to_convert",
     a_second_interpreter_may_be_the_first_to_convert},
    {"a_fork_shares_views", a_fork_shares_views},
    {"a_fork_while_a_thread_drops_a_tensor", a_fork_while_a_thread_drops_a_tensor},
    {"a_fork_while_a_thread_writes", a_fork_while_a_thread_writes},
    {"threads_count_right_after_a_subinterpreter", threads_count_right_after_a_subinterpreter},
    {"subinterpreters_are_refused", subinterpreters_are_refused},
    {"a_module_is_imported_again", a_module_is_imported_again},
    {"a_plugin_is_unloaded", a_plugin_is_unloaded},
};

}  // namespace

int main(int argc, char** argv) {
  REQUIRE(argc == 2 && cases.count(argv[1]) == 1);
  cases.at(argv[1])();
}
