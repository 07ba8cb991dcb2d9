// The streams of the "inverted" device: what makes its work late, and out of order.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <functional>
#include <memory>

namespace test::inverted {

// Work that is done once all before it on its stream is: at once, or while an `asynchronous` lives
// after a delay, on the stream's own thread.
void submit(c10::Stream stream, std::function<void()> work);

// A point in a stream's work.
class mark {
 public:
  explicit mark(c10::Stream stream);
  c10::Stream stream() const { return stream_; }
  bool is_reached() const;
  void wait() const;

 private:
  struct state;
  c10::Stream stream_;
  std::shared_ptr<state> state_;
};

// Whether work waits for its turn now.
bool is_asynchronous();

}  // namespace test::inverted
