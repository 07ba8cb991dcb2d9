"""Bad input as an argument of overloaded functions: with and without noconvert(), from several threads,
and in a process that never imports torch.

What each object is refused for by the functions themselves is tested elsewhere; here, that the next
overload is tried, and that nothing is left behind. The directory with the built tests/modules has to be
on PYTHONPATH.
"""

import concurrent.futures
import ctypes
import gc
import sys
import textwrap
import weakref

import numpy as np
import pytest

from support import run_python

torch = pytest.importorskip("torch")
nt = pytest.importorskip("conversions_module")

OVERLOADED = ["which", "which_exactly", "which_at_all"]


class Variable:
    """As netCDF4's: its array has a mask."""

    def __array__(self, dtype=None, copy=None):
        return np.ma.masked_array([1.0, 2.0], [False, True])


class Holder:
    """Hands out one capsule, again and again."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **arguments):
        return self.capsule

    def __dlpack_device__(self):
        return (1, 0)


class Raising:
    def __array__(self, dtype=None, copy=None):
        raise OSError("unplugged")


def used_capsule():
    capsule = np.arange(2.0).__dlpack__()
    nt.as_tensor(capsule)
    return capsule


# {name: what makes one}. No overload takes any of them. (Tensors without memory are tested in C++:
# pybind11's message has the repr() of each argument, and PyTorch's repr() of those crashes.)
BAD = {
    "a masked array": lambda: np.ma.masked_array([1.0, 2.0], [False, True]),
    "a mask from __array__": Variable,
    "a mask in a list": lambda: [np.ma.masked_array([1.0, 2.0], [False, True])],
    "a used capsule": used_capsule,
    "an object with a used capsule": lambda: Holder(used_capsule()),
    "4 bits each": lambda: torch.empty(4, dtype=torch.uint4),
    "no memory": lambda: torch.empty(4, dtype=torch.float64, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "sparse": lambda: torch.eye(2, dtype=torch.float64).to_sparse(),
    "requires grad": lambda: torch.ones(2, dtype=torch.float64, requires_grad=True),
    "text": lambda: np.array(["a", "b"]),
    "objects": lambda: np.array([object(), None]),
    "a datetime": lambda: np.array(["2026-01-01"], dtype="datetime64[D]"),
    "records": lambda: np.zeros(2, dtype=[("x", "f8")]),
    "a ragged list": lambda: [[1.0, 2.0], [3.0]],
    "a list that holds itself": lambda: (lambda x: (x.append(x), x)[1])([]),
    "a dict": lambda: {"x": 1.0},
    "a generator": lambda: (float(i) for i in range(3)),
    "None": lambda: None,
    "what raises": Raising,
}


@pytest.mark.parametrize("function", OVERLOADED)
@pytest.mark.parametrize("name", BAD)
def test_no_overload_takes(name, function):
    bad = BAD[name]()
    before = sys.getrefcount(bad)
    if name == "what raises" and function != "which_exactly":
        expected = pytest.raises((TypeError, OSError))
    else:
        expected = pytest.raises(TypeError, match="incompatible function arguments")
    with expected as raised:
        getattr(nt, function)(bad)
    assert raised.value.__cause__ is None
    del raised, expected
    gc.collect()
    assert bad is None or sys.getrefcount(bad) == before  # others have None, too


@pytest.mark.parametrize("function", OVERLOADED)
def test_threads_are_told_as_one_is(function):
    """Good and bad input at once: no thread sees another's error."""
    good = np.arange(3.0)
    rows = {name: BAD[name]() for name in BAD if name not in ("what raises", "a generator")}

    def call(number):
        for _ in range(20):
            for name, bad in rows.items():
                with pytest.raises(TypeError, match="incompatible function arguments"):
                    getattr(nt, function)(bad)
                assert getattr(nt, function)(good) == "double", (number, name)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))


# {name: (what makes one, {function: the overload that takes it})}; a missing function refuses it.
GOOD = {
    "bools that are no bools": (
        lambda: np.array([255, 0, 7], "u1").view(bool),
        {"which": "double", "which_at_all": "bool"},
    ),
    "bools": (
        lambda: np.array([True, False]),
        {"which": "double", "which_exactly": "bool", "which_at_all": "bool"},
    ),
    "a capsule": (
        lambda: np.arange(2.0).__dlpack__(),
        {"which": "double", "which_exactly": "double", "which_at_all": "double"},
    ),
    "a capsule of a matrix": (
        lambda: np.ones((2, 2), "f4").__dlpack__(),
        {"which": "float", "which_exactly": "matrix"},
    ),
    "a mask of nothing": (
        lambda: np.ma.masked_array([1.0, 2.0], [False, False]),
        {"which": "double", "which_exactly": "double", "which_at_all": "double"},
    ),
    # No overload shares it, and the first that may convert it does: floats are no bools.
    "reversed": (lambda: np.arange(3.0)[::-1], {"which": "double", "which_at_all": "double"}),
    "ctypes": (
        lambda: (ctypes.c_double * 3)(),
        {"which": "double", "which_exactly": "double", "which_at_all": "double"},
    ),
}


@pytest.mark.parametrize("function", OVERLOADED)
@pytest.mark.parametrize("name", GOOD)
def test_the_overload_is_found_for(name, function):
    make, found = GOOD[name]
    if function in found:
        assert getattr(nt, function)(make()) == found[function]
    elif name != "a capsule of a matrix":
        with pytest.raises(TypeError, match="incompatible function arguments"):
            getattr(nt, function)(make())


def test_a_refused_capsules_memory_is_given_back():
    array = np.arange(4).astype("c16").view(type("seen", (np.ndarray,), {}))
    alive = weakref.ref(array)
    capsule = array.__dlpack__()
    del array
    with pytest.raises(TypeError, match="incompatible function arguments"):
        nt.which_exactly(capsule)
    del capsule
    gc.collect()
    assert alive() is None


def test_a_process_without_torch_is_told_the_same():
    code = """
        import sys
        sys.modules["torch"] = None  # whoever imports it fails
        import gc
        import numpy as np
        import conversions_module as nt

        class Variable:
            def __array__(self, dtype=None, copy=None):
                return np.ma.masked_array([1.0, 2.0], [False, True])

        def used():
            capsule = np.arange(2.0).__dlpack__()
            assert nt.which(capsule) == "double"
            return capsule

        for function in (nt.which, nt.which_exactly, nt.which_at_all):
            for bad in (np.ma.masked_array([1.0], [True]), Variable(), used(), [used()], [[1.0], []],
                        np.array(["a"]), np.array([object()]), None, {"x": 1}):
                before = sys.getrefcount(bad)
                try:
                    function(bad)
                except TypeError as error:
                    assert "incompatible function arguments" in str(error), error
                else:
                    raise AssertionError(f"{function} took {bad!r}")
                gc.collect()
                assert bad is None or sys.getrefcount(bad) == before, bad
            assert function(np.arange(2.0)) == "double"
        """
    run_python("-c", textwrap.dedent(code))
