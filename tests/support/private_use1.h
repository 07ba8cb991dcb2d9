// A device that is no CPU, on every machine: LibTorch's PrivateUse1 under the name "inverted", two
// of them. Their memory holds the inverse of every byte, so whoever takes it for the CPU's reads
// wrong numbers. Only what a conversion may ask of a device has a kernel; anything else throws.
// Where the environment has NDTORCH_TESTS_WITHOUT_INVERTED, LibTorch doesn't get to know of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace test::inverted {

inline constexpr const char* name = "inverted";
inline constexpr int device_count = 2;

// One copy from, to or on a device, as the device saw it.
struct copy_record {
  at::Device from, to;
  std::size_t bytes;  // of the source's elements
  bool with_gil;
  bool waited_for;  // by the caller
};

// The copies since the last call.
std::vector<copy_record> take_copies();

// Blocks of device memory that are in use.
int live_blocks();

// The next allocation, or after that many others, fails as CUDA's does where memory is short.
void fail_next_allocation(int others_before = 0);

// The same of the host's waits for an event: what was waited for has failed.
void fail_next_wait(int others_before = 0);

// No host memory can be pinned while it lives.
class no_pinned_memory {
 public:
  no_pinned_memory();
  ~no_pinned_memory();
  no_pinned_memory(const no_pinned_memory&) = delete;
  no_pinned_memory& operator=(const no_pinned_memory&) = delete;
};

// While it lives, the devices do their work late: each stream in order, each piece after a delay of
// its own, so that streams overtake each other. Memory that is given back is overwritten: a
// device's in the order of the stream that was current when it was made, pinned memory at once. At
// its end, waits for all.
class asynchronous {
 public:
  explicit asynchronous(std::chrono::microseconds longest_delay);
  ~asynchronous();
  asynchronous(const asynchronous&) = delete;
  asynchronous& operator=(const asynchronous&) = delete;
};

// Frees the pinned memory that was given back while work on it could be under way.
void bury();

// The device that LibTorch uses on this thread where none is named.
int current_device();

// What was asked of the device's streams since the last call: "host waits for 7 of inverted:1".
// c10::StreamGuard sets the stream that is current on a thread.
std::vector<std::string> take_waits();

}  // namespace test::inverted
