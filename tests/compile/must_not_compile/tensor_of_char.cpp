// error: ndtorch: no torch dtype for this C\+\+ type
#include <ndtorch/typed.h>

// A char is text in NumPy; std::int8_t and std::uint8_t are the numbers.
void take(const ndtorch::tensor_t<char, ndtorch::ndim<1>>& x) { x.numel(); }
