import numpy as np
import pytest
from numpy.typing import NDArray

import my_extension


@pytest.fixture
def points() -> NDArray[np.float32]:
    return np.array([[3, 0, 4], [0, 2, 0]], np.float32)


def test_normalize_writes_into_the_array(points: NDArray[np.float32]) -> None:
    my_extension.normalize(points[:1])
    np.testing.assert_allclose(points, [[0.6, 0.0, 0.8], [0.0, 2.0, 0.0]], rtol=1e-6)


def test_nearest_finds_each_points_neighbour(points: NDArray[np.float32]) -> None:
    index = my_extension.nearest(points, [[0, 1, 0], [1, 0, 1], [2, 0, 3]])
    assert index.dtype == np.int64
    assert index.tolist() == [2, 0]


def test_what_does_not_fit_is_refused_and_named(points: NDArray[np.float32]) -> None:
    with pytest.raises(TypeError, match=r"\(3, 2\)"):
        my_extension.normalize(np.ascontiguousarray(points.T))
