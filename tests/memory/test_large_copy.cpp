// Copies that are long enough to be made in pieces, on several threads and into huge pages.
#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ndtorch/ndtorch.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;

struct large_array {
  std::string name;
  std::string expression;  // of 5 million elements, more or less: no multiple of a piece
};

// What a tensor can describe, and what none can: each has a way of its own to be copied.
const std::vector<large_array> arrays{
    {"dense", "np.arange(5_000_011, dtype=t)"},
    {"transposed", "np.arange(2_003 * 2_500).astype(t).reshape(2_003, 2_500).T"},
    {"every second row", "np.arange(2_003 * 5_000).astype(t).reshape(4_006, 2_500)[::2]"},
    {"broadcast", "np.broadcast_to(np.arange(2_501, dtype=t), (2_003, 2_501))"},
    {"reversed", "np.arange(5_000_011, dtype=t)[::-1]"},
    {"one axis reversed", "np.arange(2_003 * 2_500).astype(t).reshape(2_003, 2_500)[:, ::-1]"},
    {"reversed, permuted and sliced",
     "np.arange(181 * 173 * 167).astype(t).reshape(181, 173, 167).transpose(1, 2, 0)[::-1, ::2]"},
    {"foreign byte order", "np.arange(5_000_011).astype(t).astype(np.dtype(t).newbyteorder())"},
    {"foreign byte order, reversed",
     "np.arange(5_000_011).astype(t).astype(np.dtype(t).newbyteorder())[::-3]"},
    {"misaligned",
     "np.frombuffer(b'\\0' + np.arange(5_000_011).astype(t).tobytes(), np.uint8)[1:].view(t)"},
    {"a field of packed records",
     "np.rec.fromarrays([np.zeros(5_000_011, 'u1'), np.arange(5_000_011).astype(t)], "
     "dtype=[('pad', 'u1'), ('x', t)]).x"},
};

// The same elements in native, aligned memory, of another dtype if one is named.
py::object plain(const py::object& array, const std::string& dtype = "") {
  return test::eval("np.array(a.astype(t or a.dtype.newbyteorder('=')), order='K')",
                    py::arg("a") = array, py::arg("t") = dtype);
}

TEST(large_copy, has_the_elements_of_every_array) {
  for (const char* const dtype : {"float32", "int16", "complex64", "float64", "uint8"}) {
    for (const large_array& one : arrays) {
      SCOPED_TRACE(one.name + " of " + dtype);
      const py::object array = test::eval(one.expression, py::arg("t") = dtype);
      EXPECT_TRUE(test::same_elements(ndtorch::numpy(ndtorch::tensor(array)), plain(array)));
    }
  }
}

TEST(large_copy, casts_every_array) {
  for (const large_array& one : arrays) {
    SCOPED_TRACE(one.name);
    const py::object array = test::eval(one.expression, py::arg("t") = "int64");
    EXPECT_TRUE(test::same_elements(ndtorch::numpy(ndtorch::tensor<float>(array)),
                                    plain(array, "float32")));
  }
}

TEST(large_copy, is_the_same_on_one_thread) {
  const int threads = at::get_num_threads();
  const py::object array = test::eval("np.arange(5_000_011, dtype='>f4')[::-1]");
  at::set_num_threads(1);
  const at::Tensor alone = ndtorch::tensor(array);
  at::set_num_threads(4);
  const at::Tensor together = ndtorch::tensor(array);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(alone, together));
}

TEST(large_copy, keeps_the_strides_that_torch_gives_it) {
  const py::object array = test::eval("np.zeros((1001, 1000, 5), 'float32').transpose(2, 0, 1)");
  const at::Tensor copy = ndtorch::tensor(array);
  EXPECT_EQ(copy.strides(), at::IntArrayRef({1, 5000, 5}));
  const at::Tensor of_torch =
      ndtorch::tensor(test::eval("torch.zeros(1001, 1000, 5).permute(2, 0, 1)"));
  EXPECT_EQ(of_torch.strides(), at::IntArrayRef({1, 5000, 5}));
}

TEST(large_copy, stacks_a_sequence_of_arrays) {
  const py::object parts =
      test::eval("[np.arange(100_003, dtype='float32')[::s] for s in (1, -1) * 20]");
  EXPECT_TRUE(test::same_elements(ndtorch::numpy(ndtorch::tensor(parts)),
                                  test::eval("np.stack(a)", py::arg("a") = parts)));
}

// A forked process has none of the threads of the pool, but is told that it has.
TEST(large_copy, works_in_a_forked_process) {
  const py::object array = test::eval("np.arange(5_000_011, dtype='float32')[::-1]");
  const at::Tensor before = ndtorch::tensor(array);  // starts the pool
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // rather than hang
    const at::Tensor copy = ndtorch::tensor(array);
    _exit(copy.select(0, 0).item<float>() == 5'000'010.0F ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
