// detail/torch/allocate.h: the memory of new tensors
#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/eq.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/from_numpy.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "support/support.h"

namespace {

namespace py = pybind11;

// What is seen of the allocator is the alignment, which LibTorch's own memory has by chance only.
TEST(large_tensor, starts_at_a_huge_page_whatever_it_is_a_copy_of) {
  for (const char* const data :
       {"np.ones(5_000_011, 'float32')", "np.ones(5_000_011, '>f4')", "torch.ones(5_000_011)",
        "torch.ones(2_003, 2_500).T", "torch.ones(5_000_011, dtype=torch.int64)",
        "[np.ones(2_500_001, 'float32')] * 2"}) {
    SCOPED_TRACE(data);
    const at::Tensor copy = ndtorch::tensor<float>(test::eval(data));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(copy.const_data_ptr()) % (1 << 21), 0U);
    EXPECT_TRUE(copy.eq(1).all().item<bool>());
  }
}

TEST(large_tensor, can_be_resized) {
  at::Tensor copy = ndtorch::tensor(test::eval("np.arange(2_000_000, dtype='int64')"));
  copy.resize_({3'000'000});
  EXPECT_EQ(copy.size(0), 3'000'000);
  EXPECT_EQ(copy.select(0, 1'999'999).item<std::int64_t>(), 1'999'999);
  copy.fill_(7);
  EXPECT_EQ(copy.select(0, 2'999'999).item<std::int64_t>(), 7);
}

TEST(large_memory, that_there_is_not_is_named_with_its_size) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer ends the process there";
#endif
  const py::object array = test::eval("np.broadcast_to(np.float32(3), (2**44,))");
  EXPECT_EQ(test::message_of<std::bad_alloc>([&] { ndtorch::tensor(array); }),
            "can't allocate 70368744177664 bytes for a tensor. Free memory, or convert the data in "
            "parts.");
}

TEST(new_cpu_tensor, has_the_strides_that_it_is_told) {
  for (const std::int64_t size : {3, 2'000'003}) {
    const at::Tensor c_order = ndtorch::detail::new_cpu_tensor({2, size}, at::kFloat, false);
    EXPECT_EQ(c_order.sizes(), at::IntArrayRef({2, size}));
    EXPECT_TRUE(c_order.is_contiguous());
    const at::Tensor reversed =
        ndtorch::detail::new_cpu_tensor({2, size}, {1, 2}, at::kShort, false);
    EXPECT_EQ(reversed.strides(), at::IntArrayRef({1, 2}));
    EXPECT_EQ(reversed.scalar_type(), at::kShort);
    EXPECT_EQ(reversed.nbytes(), static_cast<std::size_t>(4 * size));
  }
}

TEST(strides_of_copy, are_those_that_libtorch_gives_one) {
  const at::Tensor dense = at::empty({2, 3, 1, 4});
  for (const at::Tensor& tensor :
       {dense, dense.permute({3, 1, 0, 2}), dense.slice(3, 0, 4, 2).permute({3, 1, 0, 2}),
        dense.as_strided({2, 1, 3}, {3, 100, 1}),
        dense.select(1, 0).unsqueeze(1).expand_as(dense)}) {
    const auto strides = ndtorch::detail::strides_of_copy(tensor);
    EXPECT_EQ(std::vector<std::int64_t>(strides.begin(), strides.end()),
              at::empty_like(tensor).strides().vec());
  }
}

}  // namespace
