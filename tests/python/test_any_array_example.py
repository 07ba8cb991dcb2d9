"""Tests of the example `any_array`: arrays of real libraries, JAX among them, and its demo script.

The directory with the built module has to be on PYTHONPATH.
"""

import array
import gc
import mmap
import weakref

import numpy as np
import pytest

import any_array
from support import ROOT, run_python

VALUES = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
MEANS = [8 / 3, 2, 10 / 3, 5]


def torch_tensor():
    import torch

    return torch.tensor(VALUES)


def mapped_file():
    file = mmap.mmap(-1, 24)
    file[:] = np.array(VALUES, "float32").tobytes()
    return memoryview(file).cast("f")


WRITABLE = {
    "numpy": lambda: np.array(VALUES, "float32"),
    "torch": torch_tensor,
    "array": lambda: array.array("f", VALUES),
    "memoryview": lambda: memoryview(array.array("f", VALUES)),
    "mmap": mapped_file,
}
READ_ONLY = {
    "numpy": lambda: np.broadcast_to(np.array(VALUES, "float32"), (1, 6))[0],
    "bytes": lambda: memoryview(np.array(VALUES, "float32").tobytes()).cast("f"),
    "jax": lambda: pytest.importorskip("jax").numpy.array(VALUES, "float32"),
}
CONVERTED = {
    "list": lambda: VALUES,
    "float64": lambda: np.array(VALUES),
    "reversed": lambda: np.array(VALUES[::-1], "float32")[::-1],
    "big-endian": lambda: np.array(VALUES, ">f4"),
    "torch float64": lambda: torch_tensor().double(),
    "jax int": lambda: pytest.importorskip("jax").numpy.array(VALUES, "int32"),
}


def all_of(*groups):
    return [
        pytest.param(make, id=f"{name} {key}")
        for name, group in groups
        for key, make in group.items()
    ]


writable = all_of(("writable", WRITABLE))
read_only = all_of(("read-only", READ_ONLY))
converted = all_of(("converted", CONVERTED))


@pytest.mark.parametrize("make", writable + read_only + converted)
def test_moving_average_takes_an_array_from_anyone(make):
    holder = make()
    means = any_array.moving_average(holder, 3)
    assert type(means) is np.ndarray and means.dtype == np.float32
    np.testing.assert_allclose(means, MEANS, rtol=1e-6)
    assert np.asarray(holder).tolist() == VALUES


@pytest.mark.parametrize("make", writable + read_only)
def test_the_memory_is_read_where_it_is(make):
    holder = make()
    assert any_array.address(holder) == np.asarray(holder).ctypes.data


@pytest.mark.parametrize("make", writable)
def test_clip_writes_into_the_callers_memory(make):
    holder = make()
    assert any_array.clip(holder, 2, 5) is None
    assert np.asarray(holder).tolist() == [3, 2, 4, 2, 5, 5]


@pytest.mark.parametrize("make", read_only + converted)
def test_clip_refuses_what_it_could_only_write_a_copy_of(make):
    holder = make()
    with pytest.raises(TypeError, match=r"clip\(\): incompatible function arguments: argument 'values': .*(expected|negative|byte order)"):
        any_array.clip(holder, 2, 5)
    assert np.asarray(holder).tolist() == VALUES


def test_a_torch_tensor_that_requires_grad_is_refused_with_the_remedy():
    tensor = torch_tensor().requires_grad_()
    with pytest.raises(TypeError, match=r"requires grad: [^.]*\. Pass tensor.detach\(\)"):
        any_array.moving_average(tensor, 3)
    any_array.moving_average(tensor.detach(), 3)


@pytest.mark.parametrize("width", [0, 7])
def test_moving_average_refuses_a_width_outside_the_signal(width):
    with pytest.raises(ValueError, match=f"from 1 to the signal's length, got {width}"):
        any_array.moving_average(VALUES, width)


def test_address_copies_nothing_and_so_refuses_lists():
    with pytest.raises(TypeError, match="expected an array"):
        any_array.address(VALUES)


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


@pytest.mark.parametrize(
    "dtype", "bool int8 uint16 int32 float16 bfloat16 float32 complex64".split()
)
def test_a_jax_array_of_every_dtype_is_shared(jax, dtype):
    holder = jax.numpy.arange(6).astype(dtype).reshape(2, 3)
    assert any_array.address(holder) == holder.unsafe_buffer_pointer()


def test_an_empty_jax_array_is_taken(jax):
    any_array.address(jax.numpy.zeros((0, 3)))


def test_a_jax_array_is_let_go_after_its_use(jax):
    holder = jax.numpy.array(VALUES, "float32")
    died = weakref.ref(holder)
    any_array.address(holder)
    del holder
    gc.collect()
    assert died() is None


def test_jax_reads_what_the_extension_made(jax):
    offer = any_array.ramp(5)
    ramp = jax.numpy.from_dlpack(offer)
    assert ramp.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert any_array.address(ramp) == any_array.address(offer)
    del offer
    gc.collect()
    assert ramp.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_deleted_jax_array_is_refused(jax):
    holder = jax.numpy.array(VALUES, "float32")
    holder.delete()
    with pytest.raises(TypeError, match="argument '"):
        any_array.address(holder)


def test_a_traced_jax_array_is_refused(jax):
    with pytest.raises(TypeError, match="Tracer"):
        jax.jit(any_array.address)(jax.numpy.zeros(3))


def test_the_module_imports_none_of_them():
    run_python(
        "-c", "import sys, any_array; sys.exit(bool({'torch', 'jax', 'cupy'} & set(sys.modules)))"
    )


@pytest.fixture(scope="module")
def table():
    return run_python(ROOT / "examples/any_array/demo.py").stdout


@pytest.mark.parametrize(
    "row",
    [
        "numpy.ndarray [2.67 2. 3.33 5. ] shared [3. 2. 4. 2. 5. 5.]",
        "numpy, read-only [2.67 2. 3.33 5. ] shared expected memory that may be written",
        "torch.Tensor [2.67 2. 3.33 5. ] shared [3. 2. 4. 2. 5. 5.]",
        "array.array [2.67 2. 3.33 5. ] shared [3. 2. 4. 2. 5. 5.]",
        "memoryview [::2] [4.] shared [3. 4. 5.]",
        "list [2.67 2. 3.33 5. ] copied expected an array",
        "ramp(3) for torch: tensor([0.0000, 0.5000, 1.0000])",
    ],
)
def test_the_demos_table_has_the_row(table, row):
    assert row in " ".join(table.split())


def test_the_demo_shows_jax_where_it_is_installed(table):
    pytest.importorskip("jax")
    row = "jax.Array [2.67 2. 3.33 5. ] shared expected memory that may be written"
    assert row in " ".join(table.split())
    assert "ramp(3) for JAX: [0. 0.5 1. ]" in " ".join(table.split())
