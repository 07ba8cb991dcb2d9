"""What a type checker must refuse: each line that says so, for that reason, and no other line."""

import numpy as np
from numpy.typing import NDArray

import points

single: NDArray[np.float32] = np.ones((4, 3), np.float32)
integers: NDArray[np.int64] = np.ones((4, 3), np.int64)

points.shift(integers, [1, 2, 3])  # error: arg-type
points.shift([[1, 2, 3]], [1, 2, 3])  # error: call-overload
points.shift(single)  # error: call-overload
points.lengths()  # error: call-overload
points.lengths(single, 2)  # error: call-overload
points.bounds(5)  # error: arg-type
points.center(single, weight=[1])  # error: call-arg
points.center(points)  # error: arg-type
wrong: NDArray[np.float32] = points.lengths(integers)  # error: assignment
points.Grid(2).counts = integers  # error: misc
points.Grid("2")  # error: arg-type
points.missing()  # error: attr-defined
