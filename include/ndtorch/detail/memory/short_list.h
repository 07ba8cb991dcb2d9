// A list that is mostly short: without the heap up to `Few` items, and on it beyond.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// std::vector would go to the heap in each conversion, and LibTorch's SmallVector is not among its
// header-only parts.
template <class T, std::size_t Few>
class short_list {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  short_list() = default;
  // `count` items without a value.
  explicit short_list(std::size_t count) : size_(count) {
    if (count > Few) many_.resize(count);
  }
  short_list(const T* first, std::size_t count) : short_list(count) {
    std::copy_n(first, count, data());
  }

  void push_back(const T& item) {
    if (size_ == Few) many_.assign(few_.begin(), few_.end());
    if (size_ >= Few) {
      many_.push_back(item);
    } else {
      few_[size_] = item;
    }
    ++size_;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return size_ <= Few ? few_.data() : many_.data(); }
  const T* data() const { return size_ <= Few ? few_.data() : many_.data(); }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  T& front() { return *data(); }
  const T& front() const { return *data(); }
  T& back() { return data()[size_ - 1]; }
  const T& back() const { return data()[size_ - 1]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }

 private:
  std::array<T, Few>
      few_;  // without values past the size: zeroing them would cost more than using them
  std::vector<T> many_;
  std::size_t size_ = 0;
};

}  // namespace detail
}  // namespace ndtorch
