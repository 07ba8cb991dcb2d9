// error: ndtorch: no torch dtype for this C\+\+ type
#include <ndtorch/dtype.h>

// A char is text in NumPy; std::int8_t and std::uint8_t are the numbers.
constexpr at::ScalarType type = ndtorch::scalar_type_of_v<char>;
