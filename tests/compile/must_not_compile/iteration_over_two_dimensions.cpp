// error: ndtorch: iteration needs one dimension: add ndim<1> or shape<-1>
#include <ndtorch/typed.h>

float sum(const ndtorch::tensor_t<const float, ndtorch::ndim<2>>& x) {
  float sum = 0;
  for (const float element : x) sum += element;
  return sum;
}
