// error: redefinition of .*type_caster<at::Tensor>
// and: torch/extension.h has one too
// clang-format off: the order is what is tested
#include <ndtorch/tensor_caster.h>
#include <torch/extension.h>
