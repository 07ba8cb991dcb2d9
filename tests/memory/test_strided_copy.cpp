// detail/memory/strided_copy.h: memory read element by element, with NumPy as the oracle
#include <ndtorch/detail/memory/strided_copy.h>
#include <ndtorch/dtype.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "support/arrays.h"
#include "support/support.h"

namespace {

namespace py = pybind11;
using ndtorch::detail::int_list;
using ndtorch::detail::strided_reader;
using test::array;
using numbers = std::vector<std::int64_t>;

int_list list_of(const numbers& values) { return {values.data(), values.size()}; }

// Elements [begin, end) of an array, counted in C order, as bytes in native order.
std::string read(const py::array& source, std::int64_t begin, std::int64_t end) {
  const at::ScalarType dtype = ndtorch::scalar_type(source.dtype());
  const std::int64_t words = c10::isComplexType(dtype) ? 2 : 1;
  const std::int64_t item = source.itemsize();
  const numbers sizes(source.shape(), source.shape() + source.ndim());
  const numbers strides(source.strides(), source.strides() + source.ndim());
  numbers order(sizes.size());
  std::iota(order.rbegin(), order.rend(), 0);
  const strided_reader reader(dtype, static_cast<const std::byte*>(source.data()), list_of(sizes),
                              list_of(strides), list_of(order),
                              static_cast<std::size_t>(item / words), words,
                              test::is_true("not x.dtype.isnative", source));
  std::string bytes(static_cast<std::size_t>((end - begin) * item), '?');
  reader.read(reinterpret_cast<std::byte*>(bytes.data()), begin, end);
  return bytes;
}

std::string read_by_numpy(const py::array& source, std::int64_t begin, std::int64_t end) {
  return test::eval("a.astype(a.dtype.newbyteorder('=')).ravel()[b:e].tobytes()",
                    py::arg("a") = source, py::arg("b") = begin, py::arg("e") = end)
      .cast<std::string>();
}

void expect_read_as_numpy_does(const py::array& source) {
  const std::int64_t count = source.size();
  for (const std::int64_t size : {std::int64_t{1}, std::int64_t{5}, count}) {
    for (std::int64_t begin = 0; begin < count; begin += size) {
      const std::int64_t end = std::min(count, begin + size);
      ASSERT_EQ(read(source, begin, end), read_by_numpy(source, begin, end))
          << "elements " << begin << " to " << end;
    }
  }
}

TEST(strided_reader, reads_every_layout_in_parts_of_any_size) {
  for (const char* const expression : test::layouts) {
    SCOPED_TRACE(expression);
    expect_read_as_numpy_does(array(expression));
  }
  for (const char* const expression : test::unused_strides) {
    SCOPED_TRACE(expression);
    expect_read_as_numpy_does(array(expression));
  }
}

TEST(strided_reader, reads_what_no_tensor_can_describe) {
  for (const char* const expression : test::copied_only) {
    SCOPED_TRACE(expression);
    expect_read_as_numpy_does(array(expression));
  }
}

TEST(strided_reader, reverses_the_bytes_of_words_of_every_size) {
  for (const char* const dtype : {">u2", ">i4", ">f8", ">c8", ">c16"}) {
    for (const char* const form : {"a", "a[::-1]", "a[::3]", "a.reshape(6, 11).T"}) {
      SCOPED_TRACE(std::string(dtype) + " " + form);
      // More than sixteen bytes, and no multiple of them.
      expect_read_as_numpy_does(array(
          "eval(f)", py::arg("f") = form,
          py::arg("a") = test::eval("(np.arange(66) * 257).astype(d)", py::arg("d") = dtype)));
    }
  }
}

TEST(strided_reader, makes_bools_0_or_1) {
  for (const char* const form : {"a", "a[::-1]", "a[::3]", "a.reshape(16, 16).T"}) {
    SCOPED_TRACE(form);
    const py::array source =
        array("eval(f)", py::arg("f") = form,
              py::arg("a") = test::eval("np.arange(256, dtype='u1').view(bool)"));
    const std::string bytes = read(source, 0, source.size());
    EXPECT_TRUE(test::is_true("list(b) == (a.view('u1') != 0).astype('u1').ravel().tolist()",
                              py::arg("b") = py::bytes(bytes), py::arg("a") = source));
  }
}

TEST(copy_bytes, copies_all_on_any_number_of_threads) {
  const auto size = static_cast<std::size_t>(3 * ndtorch::detail::piece_of_copy + 12'345);
  std::vector<std::uint8_t> source(size);
  for (std::size_t i = 0; i < size; ++i) source[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  const py::gil_scoped_release without_gil;
  for (const std::int64_t threads : {1, 2, 5}) {
    for (const std::size_t nbytes : {std::size_t{0}, std::size_t{1}, size}) {
      std::vector<std::uint8_t> target(size);
      ndtorch::detail::copy_bytes(target.data(), source.data(), nbytes, threads);
      std::vector<std::uint8_t> expected(source.begin(),
                                         source.begin() + static_cast<std::ptrdiff_t>(nbytes));
      expected.resize(size);
      EXPECT_TRUE(target == expected) << nbytes << " bytes on " << threads << " threads";
    }
  }
}

}  // namespace
