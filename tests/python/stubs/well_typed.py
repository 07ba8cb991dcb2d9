"""What a type checker must accept, and Python must run: what the stub of `points` allows."""

import numpy as np
from numpy.typing import NDArray

import points

single: NDArray[np.float32] = np.ones((4, 3), np.float32)
double: NDArray[np.float64] = np.ones((4, 3))
integers: NDArray[np.int64] = np.ones((4, 3), np.int64)

# Overloads by dtype: each result is of its own.
of_single: NDArray[np.float32] = points.lengths(single)
of_double: NDArray[np.float64] = points.lengths(double)
of_integers: NDArray[np.float64] = points.lengths(integers)
of_lists: NDArray[np.float64] = points.lengths([[1, 2, 3], [4, 5, 6]])

# What is written must be an array of the dtype, what is only read may be anything array-like.
points.shift(single, by=[1, 2, 3])
points.shift(double, single[0])

center: NDArray[np.float64] = points.center(integers)
weighted: NDArray[np.float64] = points.center([[1, 2, 3]], weights=(1,))
unweighted: NDArray[np.float64] = points.center(single, None)

lowest, highest = points.bounds([single, [[1, 2, 3]], integers])
size: NDArray[np.float64] = highest - lowest
points.bounds((double,))

grid = points.Grid(size=4)
grid.add(double)
counts: NDArray[np.int64] = grid.counts
