// The interpreter's life, as far as the code here has to know of it: tensors die on any thread, with
// or without the GIL, while it goes and when it is gone.
#pragma once

#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#if __has_include(<dlfcn.h>)
#include <dlfcn.h>
#endif
#if __has_include(<pthread.h>)
#include <pthread.h>
#endif

namespace ndtorch {

namespace py = pybind11;

namespace [[gnu::visibility("hidden")]] detail {

// What an extension module (or program) knows of the interpreter. It works with the main one only,
// and with the first of the process only: NumPy can be loaded once.
struct interpreter_state {
  std::atomic<PyInterpreterState*> followed{nullptr};  // from the first conversion to its end
  std::atomic<bool> is_ending{false};                  // nobody may ask for the GIL any more
  std::atomic<int> asking{0};                          // threads that do, or did before

  static interpreter_state& instance() {
    static interpreter_state only;
    return only;
  }
};

// The thread state that this thread runs Python code with; nullptr where it hasn't got the GIL.
// Not PyGILState_Check(), which says yes to everybody once there has been a subinterpreter.
inline PyThreadState* current_thread_state() {
  PyThreadState* const current = py::detail::get_thread_state_unchecked();
#if PY_VERSION_HEX < 0x030C0000
  // It is that of whichever thread has the GIL.
  if (current != PyGILState_GetThisThreadState()) return nullptr;
#endif
  return current;
}

inline bool has_gil() { return current_thread_state() != nullptr; }

// Whether this thread may touch the objects that tensors hold, as it stands.
inline bool may_touch_objects() {
  const PyThreadState* const current = current_thread_state();
  return current != nullptr &&
         current->interp == interpreter_state::instance().followed.load(std::memory_order_relaxed);
}

// While one lives and is true, the interpreter doesn't end. A thread that waits for the GIL of an
// ending one would be ended itself, in the middle of a destructor, and with it the process.
class interpreter_claim {
 public:
  interpreter_claim() : state_(interpreter_state::instance()) {
    ++state_.asking;  // before the question, as await_claims() has them the other way round
    is_granted_ = !state_.is_ending;  // NOLINT(cppcoreguidelines-prefer-member-initializer)
  }
  ~interpreter_claim() { --state_.asking; }
  interpreter_claim(const interpreter_claim&) = delete;
  interpreter_claim& operator=(const interpreter_claim&) = delete;

  explicit operator bool() const { return is_granted_; }

 private:
  interpreter_state& state_;
  bool is_granted_;
};

// Gives the GIL up for as long as it lives, as py::gil_scoped_release does; but the interpreter waits
// for this thread where that one would have it ended. Nothing is given up where it ends already.
class gil_release {
 public:
  gil_release() : thread_(claim_ ? PyEval_SaveThread() : nullptr) {}
  ~gil_release() {
    if (thread_ != nullptr) PyEval_RestoreThread(thread_);
  }
  gil_release(const gil_release&) = delete;
  gil_release& operator=(const gil_release&) = delete;

 private:
  interpreter_claim claim_;
  PyThreadState* thread_;
};

// Called by atexit, before the interpreter begins to end.
inline PyObject* await_claims(PyObject*, PyObject*) {
  interpreter_state& state = interpreter_state::instance();
  state.is_ending = true;
  PyThreadState* const thread = PyEval_SaveThread();
  while (state.asking > 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
  PyEval_RestoreThread(thread);
  Py_RETURN_NONE;
}

// Has atexit call a function, which is called before those that were registered earlier.
inline void call_at_exit(PyMethodDef& definition) {
  // Not py::cpp_function, which fails strangely where there is no memory.
  const auto function = py::reinterpret_steal<py::object>(PyCFunction_New(&definition, nullptr));
  if (!function) throw_python_error();
  py::module_::import("atexit").attr("register")(function);
}

// Calls `function` when the interpreter has ended, as good as: it must not touch any object.
inline void call_at_end(void (*function)()) {
  PyObject* const state = PyInterpreterState_GetDict(PyInterpreterState_Get());
  if (state == nullptr)
    throw py::import_error("this interpreter is ending, and has no state left.");
  const py::str name("ndtorch.at_end." +
                     std::to_string(reinterpret_cast<std::uintptr_t>(function)));
  if (PyDict_GetItemWithError(state, name.ptr()) != nullptr) return;  // it will be called
  if (PyErr_Occurred() != nullptr) throw_python_error();
  const auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(
      reinterpret_cast<void*>(function), nullptr,
      [](PyObject* self) { reinterpret_cast<void (*)()>(PyCapsule_GetPointer(self, nullptr))(); }));
  if (!capsule || PyDict_SetItem(state, name.ptr(), capsule.ptr()) != 0) {
    throw_python_error();
  }
}

// Every extension module has a copy of these headers. What all of them have to have in common is that
// of the module that came first, which leaves it in the interpreter's state. Needs the GIL.
template <class Make>
void* shared_by_modules(const char* name, const Make& make) {
  PyObject* const state = PyInterpreterState_GetDict(PyInterpreterState_Get());
  const py::str key(name);
  PyObject* capsule = PyDict_GetItemWithError(state, key.ptr());
  if (capsule == nullptr) {
    if (PyErr_Occurred() != nullptr) throw_python_error();
    const auto made = py::reinterpret_steal<py::object>(PyCapsule_New(make(), name, nullptr));
    if (!made) throw_python_error();
    capsule = PyDict_SetDefault(state, key.ptr(), made.ptr());  // without a GIL others make theirs
    if (capsule == nullptr) throw_python_error();
  }
  void* const address = PyCapsule_GetPointer(capsule, name);
  if (address == nullptr) throw_python_error();
  return address;
}

// Tensors and arrays keep addresses of this library's functions, by which they are let go.
inline void never_unload_this_library() {
#if __has_include(<dlfcn.h>) && defined(RTLD_NODELETE)
  Dl_info found;
  if (dladdr(reinterpret_cast<void*>(&never_unload_this_library), &found) == 0) return;
  dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);  // a program needs none
#endif
}

[[noreturn]] inline void throw_wrong_interpreter() {
  throw py::import_error(
      PyInterpreterState_Get() != PyInterpreterState_Main()
          ? "ndtorch works in a process's main interpreter only, since NumPy can be loaded only "
            "once "
            "in a process. Call it from there, not from a subinterpreter."
          : "ndtorch works with the first interpreter of a process only, since NumPy can be loaded "
            "only once in a process, and this one was started after Py_FinalizeEx(). Keep the "
            "first "
            "one until the process ends.");
}

// Asked with the GIL, where objects are to be held or handed out.
inline void check_interpreter() {
  const PyThreadState* const current = py::detail::get_thread_state_unchecked();
  const interpreter_state& state = interpreter_state::instance();
  if (current == nullptr || current->interp != state.followed.load(std::memory_order_relaxed)) {
    throw_wrong_interpreter();
  }
}

// For the first conversion. Needs the GIL. Throws import_error in an interpreter that can't be
// worked with.
inline void follow_interpreter() {
  interpreter_state& state = interpreter_state::instance();
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) throw_wrong_interpreter();
  if (state.followed != nullptr) return;
  if (state.is_ending) throw_wrong_interpreter();
  never_unload_this_library();
  call_at_end([] {
    interpreter_state& ended = interpreter_state::instance();
    ended.is_ending = true;  // atexit calls nothing that is registered while it calls
    ended.followed = nullptr;
  });
  static PyMethodDef definition = {"ndtorch_await_claims", &await_claims, METH_NOARGS, nullptr};
  call_at_exit(definition);
#if __has_include(<pthread.h>)
  // The other threads aren't there in a child process.
  pthread_atfork(nullptr, nullptr, [] { interpreter_state::instance().asking = 0; });
#endif
  state.followed = PyInterpreterState_Get();
}

}  // namespace detail
}  // namespace ndtorch
