// What all fuzzed cases share: how a difference is reported, how conversions are counted and their
// exceptions told apart, and memory whose bounds are known.
#pragma once

#include <ATen/core/Tensor.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fuzz {

namespace py = pybind11;

// Prints what was found, the conversion under way and the case, and aborts.
[[noreturn]] void fail(const std::string& what);

inline void expect(bool is_so, const char* what) {
  if (!is_so) fail(what);
}

// Describes the case under way, for fail(), for as long as one of these lives.
class description {
 public:
  explicit description(std::function<std::string()> describe) { current = std::move(describe); }
  ~description() { current = nullptr; }
  description(const description&) = delete;
  description& operator=(const description&) = delete;

  static inline std::function<std::string()> current;
};

// How often a conversion succeeded and was refused.
class conversion {
 public:
  explicit conversion(const char* name);
  void done(bool succeeded) { ++(succeeded ? made_ : refused_); }
  const char* name() const { return name_; }

  static std::string table();
  static inline const conversion* current = nullptr;

 private:
  const char* name_;
  std::uint64_t made_ = 0, refused_ = 0;
};

enum class raised { nothing, type, value, runtime, buffer, memory, overflow, index, other_python };

struct outcome {
  raised error = raised::nothing;
  std::string text;

  bool ok() const { return error == raised::nothing; }
  bool says(const char* words) const { return text.find(words) != std::string::npos; }
};

outcome of_current_exception();

// While one lives, PyTorch's operators are listened to, in a case that wants so: by a dispatch mode, which
// must see none of ndtorch's own.
class listener {
 public:
  listener();
  ~listener();
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  static inline bool wanted = false;

 private:
  py::object mode_;
};

// Calls `function`. Any exception must be of a documented type, and no Python error may be pending.
template <class Function>
outcome attempt(conversion& what, Function&& function) {
  conversion::current = &what;
  outcome result;
  try {
    const listener hears_nothing;
    std::forward<Function>(function)();
  } catch (...) {
    result = of_current_exception();
  }
  what.done(result.ok());
  if (PyErr_Occurred() != nullptr) fail("a Python error is pending");
  return result;
}

// Memory with margins that nobody may touch (AddressSanitizer, where it is there, says who did).
class block {
 public:
  explicit block(std::size_t size);
  ~block();
  block(const block&) = delete;
  block& operator=(const block&) = delete;

  std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool contains(const void* begin, std::size_t count) const;
  void keep() { kept_.assign(data_, data_ + size_); }  // for is_as_kept()
  bool is_as_kept() const;

  // A new capsule that owns `memory`.
  static py::object capsule(block* memory);
  static inline int alive = 0;

 private:
  static constexpr std::size_t margin = 64;
  std::uint8_t* data_;
  std::size_t size_;
  std::vector<std::uint8_t> kept_;
};

std::string hex(const void* data, std::size_t size);

// The heap that is in use, in bytes.
std::size_t heap_in_use();

}  // namespace fuzz
