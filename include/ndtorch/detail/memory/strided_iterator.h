// A random-access iterator over the elements of one axis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <type_traits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

template <class T>
class strided_iterator {
 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = std::remove_cv_t<T>;
  using difference_type = std::ptrdiff_t;
  using pointer = T*;
  using reference = T&;

  strided_iterator() = default;
  // `index` counts elements; the pointer is made when it is used, so that none is past the memory.
  strided_iterator(T* first, std::int64_t stride, difference_type index)
      : first_(first), stride_(stride), index_(index) {}

  reference operator*() const { return first_[index_ * stride_]; }
  pointer operator->() const { return &**this; }
  reference operator[](difference_type n) const { return *(*this + n); }

  strided_iterator& operator++() { return *this += 1; }
  strided_iterator& operator--() { return *this += -1; }
  strided_iterator operator++(int) {
    const strided_iterator before = *this;
    *this += 1;
    return before;
  }
  strided_iterator operator--(int) {
    const strided_iterator before = *this;
    *this += -1;
    return before;
  }
  strided_iterator& operator+=(difference_type n) {
    index_ += n;
    return *this;
  }
  strided_iterator& operator-=(difference_type n) { return *this += -n; }

  friend strided_iterator operator+(strided_iterator i, difference_type n) { return i += n; }
  friend strided_iterator operator+(difference_type n, strided_iterator i) { return i += n; }
  friend strided_iterator operator-(strided_iterator i, difference_type n) { return i += -n; }
  friend difference_type operator-(const strided_iterator& a, const strided_iterator& b) {
    return a.index_ - b.index_;
  }
  friend bool operator==(const strided_iterator& a, const strided_iterator& b) {
    return a.index_ == b.index_;
  }
  friend bool operator!=(const strided_iterator& a, const strided_iterator& b) { return !(a == b); }
  friend bool operator<(const strided_iterator& a, const strided_iterator& b) {
    return a.index_ < b.index_;
  }
  friend bool operator>(const strided_iterator& a, const strided_iterator& b) { return b < a; }
  friend bool operator<=(const strided_iterator& a, const strided_iterator& b) { return !(b < a); }
  friend bool operator>=(const strided_iterator& a, const strided_iterator& b) { return !(a < b); }

 private:
  T* first_ = nullptr;
  std::int64_t stride_ = 1;
  difference_type index_ = 0;
};

}  // namespace detail
}  // namespace ndtorch
