"""Tests of the example module `swish`, a custom autograd function, and of its demo script.

The directory with the built module has to be on PYTHONPATH.
"""

import numpy as np
import pytest

from support import ROOT, run_python

torch = pytest.importorskip("torch")

import swish  # noqa: E402  # libtorch_python comes with torch

DEMO = ROOT / "examples" / "autograd" / "demo.py"


@pytest.fixture
def x():
    return torch.linspace(-3, 3, 7, dtype=torch.float64).requires_grad_()


def test_forward_is_torchs_own_function(x):
    torch.testing.assert_close(swish.swish(x), torch.nn.functional.silu(x))


def test_backward_is_the_gradient(x):
    assert torch.autograd.gradcheck(swish.swish, [x])


def test_the_gradient_goes_on_to_what_x_was_made_of(x):
    swish.swish(x * 2).sum().backward()
    other = x.detach().clone().requires_grad_()
    torch.nn.functional.silu(other * 2).sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_arrays_are_taken_too():
    array = np.linspace(-3, 3, 7)
    tensor = torch.from_numpy(array).requires_grad_()
    assert not swish.swish(array).requires_grad
    torch.testing.assert_close(swish.swish(array), torch.nn.functional.silu(tensor).detach())
    torch.nn.functional.silu(tensor).sum().backward()
    np.testing.assert_allclose(swish.slope(array), tensor.grad.numpy())
    np.testing.assert_array_equal(array, np.linspace(-3, 3, 7))


def test_slope_leaves_the_callers_tensor_alone(x):
    swish.slope(x)
    assert x.grad is None and x.requires_grad


def test_integers_are_refused_with_an_error_of_pythons():
    with pytest.raises(TypeError, match=r"^expected floats, got Long$"):
        swish.swish(np.arange(3))


def test_the_demo_runs():
    printed = run_python(DEMO).stdout
    assert "gradcheck: True" in printed
    first, last = printed.splitlines()[-1].split("loss ")[1].split(" -> ")
    assert float(last) < float(first) / 100
