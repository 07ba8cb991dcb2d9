"""docs/from_torch_extension.md: the extension before and after, called with the same arguments.

The directory with the built modules has to be on PYTHONPATH.
"""

import importlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(params=["ops_before", "ops_after"])
def ops(request):
    return importlib.import_module(request.param)


@pytest.fixture
def after():
    return importlib.import_module("ops_after")


def test_normalize_writes_into_the_tensor(ops):
    x = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    same = x
    assert ops.normalize_(x) is None
    torch.testing.assert_close(same, torch.tensor([[0.6, 0.8], [0.0, 1.0]]))


def test_step_writes_into_each_parameter(ops):
    parameters = [torch.ones(2, requires_grad=True), torch.ones(3)]
    ops.step_(parameters, [torch.ones(2), torch.full((3,), 2.0)], rate=0.5)
    assert [one.tolist() for one in parameters] == [[0.5, 0.5], [0, 0, 0]]
    assert parameters[0].requires_grad and parameters[0].is_leaf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int8])
def test_one_hot_has_the_dtype_that_is_asked_for(ops, dtype):
    result = ops.one_hot(torch.tensor([1, 0, 2]), 3, dtype)
    assert type(result) is torch.Tensor and result.dtype == dtype
    assert result.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert ops.one_hot(torch.tensor([0]), 1).dtype == torch.float32


def test_a_histogram_counts_or_sums_weights(ops):
    x = torch.tensor([0.1, 0.2, 0.9, 5.0])
    assert ops.histogram(x, 2).tolist() == [2, 1]
    assert ops.histogram(x, 2, weights=torch.tensor([1.0, 0.5, 4.0, 9.0])).tolist() == [1.5, 4]
    assert ops.histogram(x, 1, low=4, high=6, weights=None).tolist() == [1]


def test_nearest_gives_distances_and_indices(ops):
    x, y = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [3.0, 1.0]])
    distances, index = ops.nearest(x, y)
    torch.testing.assert_close(distances, torch.cdist(x, y))
    assert index.tolist() == [0, 0]


def test_gradients_go_through_the_function_and_what_is_around_it(ops):
    x = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ops.soft_clip(x * 2, 1.5).square(), [x])
    torch.testing.assert_close(ops.soft_clip(x), torch.tanh(x))
    y = torch.ones(2, requires_grad=True)
    distances, _ = ops.nearest(y.unsqueeze(0), torch.zeros(1, 2))
    distances.sum().backward()
    torch.testing.assert_close(y.grad, torch.full((2,), 0.5**0.5))


def test_checks_of_values_are_value_errors_of_one_line(after):
    with pytest.raises(ValueError, match=r"^expected a positive limit, got 0$"):
        after.soft_clip(torch.ones(2), 0)
    with pytest.raises(ValueError, match=r"^expected 1 gradients, got 0$"):
        after.step_([torch.ones(2)], [], 1)
    with pytest.raises(RuntimeError, match=r"^expected floats, got Int$"):
        after.normalize_(torch.ones(2, 2, dtype=torch.int32))


def test_what_does_not_fit_is_an_error_at_both_ends(ops):
    for call in (lambda: ops.normalize_(torch.ones(2)), lambda: ops.one_hot(torch.ones(2), 2),
                 lambda: ops.histogram(torch.ones(2, 2), 2), lambda: ops.nearest(1, 2),
                 lambda: ops.soft_clip(torch.ones(1), 0)):
        with pytest.raises((TypeError, RuntimeError, ValueError)):
            call()


def test_after_it_a_type_error_names_the_argument(after):
    with pytest.raises(TypeError, match=r"^normalize_\(\): incompatible function arguments: "
                                        r"argument 'x': expected 2 dimensions \(got 1\)\."):
        after.normalize_(torch.ones(2))
    with pytest.raises(TypeError, match=r"argument 'labels': expected dtype int64 \(got float32\)"):
        after.one_hot(torch.ones(2), 2)


def test_after_it_arrays_and_lists_are_taken(after):
    rows = np.array([[3, 4], [0, 2]], "f8")
    after.normalize_(rows)
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 1]])
    assert after.one_hot([1, 0], 2, np.int16).dtype == torch.int16
    assert after.one_hot([1, 0], 2, "float64").dtype == torch.float64
    assert after.histogram(np.array([0.1, 0.9])[::-1], 2).tolist() == [1, 1]
    assert after.soft_clip(np.zeros(2)).tolist() == [0, 0]
    parameters = [np.ones(2), torch.ones(2)]
    after.step_(parameters, [[1, 1], np.ones(2, "f4")], 1)
    assert [one.tolist() for one in parameters] == [[0, 0], [0, 0]]


def test_after_it_nothing_is_written_into_a_copy(after):
    frozen = np.ones((1, 2))
    frozen.flags.writeable = False
    for refused in (frozen, np.ones((2, 2))[::-1], [[1.0, 2.0]]):
        with pytest.raises(TypeError, match="argument 'x': "):
            after.normalize_(refused)
