"""Tests of the example module `points`, whose functions take tensor_t, and of its demo script.

The directory with the built module has to be on PYTHONPATH.
"""

import re
import weakref

import numpy as np
import pytest

import points
from support import ROOT, run_python

DTYPES = ["f4", "f8"]


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(7, 3))


def layouts(cloud):
    """The same numbers in memory of different orders and strides."""
    wide = np.zeros((14, 6), cloud.dtype)
    wide[::2, 1::2] = cloud
    return {
        "c": cloud.copy(),
        "f": np.asfortranarray(cloud),
        "strided": wide[::2, 1::2],
        "empty": cloud[:0],
    }


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["c", "f", "strided", "empty"])
def test_lengths_are_the_norms_in_the_points_own_dtype(cloud, dtype, layout):
    array = layouts(cloud.astype(dtype))[layout]
    result = points.lengths(array)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, np.linalg.norm(array, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "convert",
    [
        lambda cloud: cloud.astype(">f4"),
        lambda cloud: cloud.astype("f4")[::-1],
        lambda cloud: cloud.astype("f2"),
        lambda cloud: (10 * cloud).astype("i8"),
        lambda cloud: cloud.tolist(),
        lambda cloud: list(cloud),
    ],
    ids=["foreign bytes", "reversed", "half", "integers", "lists", "rows"],
)
def test_lengths_of_all_else_are_float64(cloud, convert):
    data = convert(cloud)
    result = points.lengths(data)
    assert result.dtype == "f8"
    np.testing.assert_allclose(result, np.linalg.norm(np.asarray(data, "f8"), axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["c", "f", "strided", "empty"])
def test_shift_writes_into_the_callers_memory(cloud, dtype, layout):
    array = layouts(cloud.astype(dtype))[layout]
    expected = array + np.array([1, 2, 3], dtype)
    address = array.ctypes.data
    assert points.shift(array, by=[1, 2, 3]) is None
    np.testing.assert_array_equal(array, expected)
    assert array.ctypes.data == address


def test_shift_of_a_slice_leaves_the_rest_alone(cloud):
    expected = cloud.copy()
    expected[2:5] += 1
    points.shift(cloud[2:5], np.ones(3, "f4"))
    np.testing.assert_array_equal(cloud, expected)


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (frozen, "expected memory that may be written, as the function writes into it."),
        (lambda cloud: cloud[::-1], "At least one stride in the given numpy array is negative"),
        (lambda cloud: cloud.astype(">f8"), "byte order different from the native byte order"),
        (lambda cloud: cloud.astype("i8"), "expected dtype float64 (got int64)."),
        (lambda cloud: cloud[:, :2], "expected shape (*, 3) (got (7, 2))."),
        (lambda cloud: cloud[0], "expected 2 dimensions (got 1)."),
        (lambda cloud: cloud.tolist(), "expected an array (got list): the function writes into"),
    ],
)
def test_shift_of_what_it_can_not_write_is_a_type_error_that_says_why(cloud, spoil, reason):
    array = spoil(cloud)
    before = np.array(array)
    with pytest.raises(TypeError, match=r"^shift\(\): incompatible function arguments:") as caught:
        points.shift(array, [1, 1, 1])
    assert reason in str(caught.value)
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("function", [points.lengths, points.center])
def test_a_read_only_cloud_is_read(cloud, function):
    np.testing.assert_array_equal(function(frozen(cloud)), function(cloud))


def test_center_is_the_mean(cloud):
    np.testing.assert_allclose(points.center(cloud), cloud.mean(axis=0))
    np.testing.assert_allclose(points.center(cloud, weights=None), cloud.mean(axis=0))


def test_center_takes_weights(cloud):
    weights = [1, 2, 3, 4, 5, 6, 7]
    expected = np.average(cloud, axis=0, weights=weights)
    np.testing.assert_allclose(points.center(cloud, weights), expected)
    np.testing.assert_allclose(points.center(cloud, weights=np.array(weights, "u1")), expected)


def test_center_refuses_weights_that_do_not_fit(cloud):
    with pytest.raises(ValueError, match="expected a weight for each point"):
        points.center(cloud, [1, 2])
    with pytest.raises(TypeError, match=re.escape("expected 1 dimension (got 2)")):
        points.center(cloud, [[1, 2]])


@pytest.mark.parametrize("batch", [list, tuple])
def test_bounds_go_around_all_clouds_of_a_batch(cloud, batch):
    clouds = [cloud.astype("f4"), (5 * cloud).astype("i8"), [[0, 0, 9]]]
    lowest, highest = points.bounds(batch(clouds))
    everything = np.concatenate([np.asarray(one, "f8") for one in clouds])
    np.testing.assert_array_equal(lowest, everything.min(axis=0))
    np.testing.assert_array_equal(highest, everything.max(axis=0))


def test_bounds_names_the_cloud_that_does_not_fit(cloud):
    with pytest.raises(ValueError, match="expected at least one cloud"):
        points.bounds([])
    with pytest.raises(TypeError, match=re.escape("expected shape (*, 3) (got (7, 1))")):
        points.bounds([cloud, cloud[:, :1]])


def test_a_grid_counts_points():
    grid = points.Grid(2)
    grid.add([[0.1, 0.1, 0.9], [0.2, 0, 0.6], [1, 1, 1], [-5, 0.7, 5]])
    assert grid.counts.tolist() == [[[0, 2], [0, 1]], [[0, 0], [0, 1]]]


def test_a_grids_counts_are_its_own_memory_and_outlive_it():
    grid = points.Grid(2)
    counts = grid.counts
    counts[0, 0, 0] = 5
    grid.add([[0, 0, 0]])
    assert counts[0, 0, 0] == 6
    assert grid.counts[0, 0, 0] == 6

    alive = weakref.ref(grid)
    del grid
    assert alive() is None
    assert counts[0, 0, 0] == 6


def test_a_grids_methods_explain_themselves():
    with pytest.raises(TypeError, match=re.escape("expected shape (*, 3) (got (1, 2))")):
        points.Grid(2).add([[1, 2]])


def test_the_demo_runs_and_explains():
    result = run_python(ROOT / "examples/typed/demo.py")
    assert result.stdout.count("    TypeError: ") == 3
    assert result.stdout.count("incompatible function arguments:") == 3
    for line in [
        '1. lengths(points: typing.Annotated[numpy.typing.NDArray[numpy.float32], "[m, 3]", "read-only"])',
        "array([ 5., 13.], dtype=float32)",
        "array([[13.,  4.,  0.],",
        "array([2.25, 4.25, 3.  ])",
        "(array([-1., -1., -1.]), array([ 4.,  6., 13.]))",
    ]:
        assert line in result.stdout
