// Allocations that fail on demand: Python's three domains, NumPy's data, C++'s operator new, LibTorch's
// CPU allocator and posix_memalign, which this program replaces or wraps, counted in the order in which
// this thread asks.
#pragma once

#include <optional>

namespace faults {

enum class kind { python, numpy, cpp, libtorch, libc };

// Wraps the allocators of Python, NumPy and LibTorch. Needs the GIL.
void install();

// While one of these lives, the allocation number `first` on this thread fails, and with `onwards` all
// of the same kind that come after it. (Not of all kinds: where C++ can't make pybind11's exception
// of a Python error, that stays pending.)
class failing {
 public:
  // Allocations of the kind `spared`, if there is one, don't count.
  failing(long first, bool onwards, std::optional<kind> spared = {});
  ~failing();
  failing(const failing&) = delete;
  failing& operator=(const failing&) = delete;

  // Whether the allocation came, and whose it was.
  bool happened() const;
  kind what() const;
  static void stop();  // before a test looks at what is left
};

// Blocks that are in use, of all allocators but posix_memalign.
long blocks_in_use();

const char* name_of(kind one);

}  // namespace faults
