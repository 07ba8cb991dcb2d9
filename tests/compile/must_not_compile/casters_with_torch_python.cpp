// error: With NDTORCH_TORCH_PYTHON .* PyTorch's own caster of at::Tensor is
// clang-format off: the order is what is tested
#define NDTORCH_TORCH_PYTHON
#include <ndtorch/tensor_caster.h>
