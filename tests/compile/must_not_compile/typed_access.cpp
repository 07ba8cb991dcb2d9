// error: ndtorch: view\(\) needs the number of dimensions: add ndim<...> or shape<...>
// error: ndtorch: typed access needs an element type, as in tensor_t<const float>
// error: ndtorch: a 0-d tensor's element is \*t.data_ptr\(\)
// error: ndtorch: iteration needs one dimension: add ndim<1> or shape<-1>
// error: deleted (member )?function .*view
// error: (assignment of read-only location|cannot assign to return value)
#include <ndtorch/typed.h>

using ndtorch::ndim, ndtorch::shape, ndtorch::tensor_t;

void without_dimensions(const tensor_t<float>& x) { x.view(); }
void without_element(const tensor_t<ndim<1>>& x) { x.view(); }
void of_a_scalar(const tensor_t<const float, shape<>>& x) { x.view(); }
void over_two_dimensions(const tensor_t<const float, ndim<2>>& x) { x.begin(); }
// The view would refer to the sizes of a tensor that is gone.
void of_a_temporary(tensor_t<float, ndim<1>> (*make)()) { make().view(); }
void write_to_const(const tensor_t<const float, ndim<2>>& x) { x.view()[0][0] = 0; }
