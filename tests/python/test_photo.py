"""Tests of the example module `photo` and its demo script: what a user of ndtorch's users sees.

The directory with the built module has to be on PYTHONPATH.
"""

import concurrent.futures
import re

import numpy as np
import pytest

import photo
from support import ROOT, run_python

STEPS = [photo.grayscale, photo.blur, photo.edges]


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def to_bytes(floats):
    return np.clip(np.rint(floats), 0, 255).astype(np.uint8)


def test_grayscale_weighs_the_channels_as_the_eye_does(picture):
    expected = to_bytes(picture @ np.array([0.299, 0.587, 0.114]))
    np.testing.assert_allclose(photo.grayscale(picture), expected, atol=1)


def test_grayscale_of_pure_colours_is_their_weight():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert photo.grayscale(colours).tolist() == [[76, 150, 29, 255]]


@pytest.mark.parametrize("radius", [0, 1, 5, 40])
def test_blur_leaves_an_even_picture_as_it_is(radius):
    even = np.full((20, 30, 3), (10, 128, 255), np.uint8)
    np.testing.assert_array_equal(photo.blur(even, radius), even)


def test_blur_of_radius_zero_changes_nothing(picture):
    np.testing.assert_array_equal(photo.blur(picture, radius=0), picture)


def test_blur_is_a_gaussian_over_each_channel(picture):
    radius = 4
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / (radius / 2)) ** 2)
    kernel /= kernel.sum()
    expected = picture.astype(float)
    for axis in (0, 1):
        widths = [(radius, radius) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(expected, widths, mode="edge")
        expected = np.apply_along_axis(np.convolve, axis, padded, kernel, mode="valid")
    np.testing.assert_allclose(photo.blur(picture, radius), to_bytes(expected), atol=1)


def test_blur_refuses_a_negative_radius(picture):
    with pytest.raises(ValueError, match="radius must not be negative, got -1"):
        photo.blur(picture, -1)


def test_edges_of_an_even_picture_are_black():
    assert not photo.edges(np.full((6, 8, 3), 200, np.uint8)).any()


@pytest.mark.parametrize("transposed", [False, True])
def test_edges_of_a_step_are_the_two_lines_beside_it(transposed):
    step = np.zeros((6, 8, 3), np.uint8)
    step[:, 4:] = 50
    expected = np.zeros((6, 8), np.uint8)
    expected[:, 3:5] = 200  # Sobel's weights on one side add up to 4
    if transposed:
        step, expected = step.swapaxes(0, 1), expected.T
    np.testing.assert_array_equal(photo.edges(step), expected)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_gives_bytes_and_leaves_the_photo_alone(step, picture):
    before = picture.copy()
    result = step(picture)
    assert result.dtype == np.uint8
    assert result.shape[:2] == picture.shape[:2]
    assert result.flags.c_contiguous and result.flags.writeable
    assert not np.shares_memory(result, picture)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_takes_a_read_only_photo(step, picture):
    expected = step(picture)
    picture.flags.writeable = False
    np.testing.assert_array_equal(step(picture), expected)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_takes_a_slice_in_any_order(step, picture):
    part = picture.swapaxes(0, 1)[3:20:2, 1:]
    np.testing.assert_array_equal(step(part), step(part.copy()))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_gives_the_same_in_many_threads_at_once(step, picture):
    expected = step(picture)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for result in threads.map(step, [picture] * 100):
            np.testing.assert_array_equal(result, expected)


def test_invert_writes_into_the_callers_memory(picture):
    expected = 255 - picture
    address = picture.ctypes.data
    assert photo.invert(picture) is None
    np.testing.assert_array_equal(picture, expected)
    assert picture.ctypes.data == address


def test_invert_of_a_slice_leaves_the_rest_alone(picture):
    expected = picture.copy()
    expected[5:10, ::2] = 255 - expected[5:10, ::2]
    photo.invert(picture[5:10, ::2])
    np.testing.assert_array_equal(picture, expected)


def test_invert_refuses_a_read_only_photo_and_leaves_it_alone(picture):
    before = picture.copy()
    picture.flags.writeable = False
    with pytest.raises(ValueError, match=r"not writable|read-only"):
        photo.invert(picture)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("step", [*STEPS, photo.invert])
class TestWrongInput:
    def test_floats_are_refused_with_both_dtypes_named(self, step, picture):
        with pytest.raises(TypeError, match=r"(?s)(?=.*float64)(?=.*uint8)"):
            step(picture.astype(float))

    @pytest.mark.parametrize("shape", [(20, 30), (20, 30, 4), (1, 20, 30, 3), (0, 30, 3), ()])
    def test_another_shape_is_refused_and_named(self, step, shape):
        expected = f"expected a photo of shape (rows, columns, 3), got shape {shape}"
        with pytest.raises(ValueError, match=re.escape(expected)):
            step(np.zeros(shape, np.uint8))

    def test_a_list_is_refused(self, step, picture):
        with pytest.raises(TypeError):
            step(picture.tolist())

    def test_a_flipped_photo_is_refused_with_the_remedy(self, step, picture):
        with pytest.raises(ValueError, match=r"negative.*copy"):
            step(picture[::-1])


@pytest.mark.parametrize("function", [*STEPS, photo.invert])
def test_a_function_has_a_docstring_that_says_what_it_does(function):
    signature, text = function.__doc__.split("\n\n", 1)
    assert "numpy.ndarray" in signature
    assert text.strip().endswith(".")


def test_the_module_imports_without_torch():
    run_python("-c", "import sys, photo; sys.exit('torch' in sys.modules)")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "new" / "photo.png"
    return out, run_python(ROOT / "examples/photo/demo.py", out).stdout


def test_the_demo_draws_the_five_steps_side_by_side(demo):
    import matplotlib.image

    rows, columns = matplotlib.image.imread(demo[0]).shape[:2]
    assert columns > 3 * rows > 600


@pytest.mark.parametrize(
    "row",
    [
        "from_numpy | ndtorch::from_numpy(a) | uint8 -> uint8 shared",
        "tensor | ndtorch::tensor(a) | uint8 -> uint8 copied",
        "tensor with a dtype | ndtorch::tensor(a, at::kDouble) | uint8 -> float64 copied",
        "Tensor | ndtorch::Tensor(a) | uint8 -> float32 copied",
        "an int array stays int | ndtorch::from_numpy(a) | int64 -> int64 shared",
        "a later cast | ndtorch::from_numpy(a).to(at::kFloat) | int64 -> float32 copied",
        "numpy | ndtorch::numpy(t) | float32 -> float32 shared",
        "numpy, requires_grad | ndtorch::numpy(t) | float32 -> RuntimeError "
        "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
        "detach, then numpy | ndtorch::numpy(t.detach()) | float32 -> float32 shared",
        "numpy, not on the CPU | ndtorch::numpy(t) | float32 -> TypeError "
        "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
        "host memory first.",
        "to_numpy, always safe | ndtorch::to_numpy(t) | float32 -> float32 shared",
    ],
)
def test_the_demos_table_has_the_row(demo, row):
    table = " ".join(demo[1].split())
    assert row.replace(" | ", " ") in table


def test_the_demo_ends_with_the_proof_that_torch_was_not_imported(demo):
    assert demo[1].splitlines()[-1] == "Python imported torch: False"
