// error: ndtorch: no torch dtype for this C\+\+ type
#include <ndtorch/dtype.h>

#include <string>

constexpr at::ScalarType type = ndtorch::scalar_type_of_v<std::string>;
