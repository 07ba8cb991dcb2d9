"""The table of the front page and the README: each cell is shown by a call.

The directory with the built modules has to be on PYTHONPATH. nanobind's column needs nanobind when the tests are
configured.
"""

import gc
import importlib
import signal
import sys
import warnings

import numpy as np
import pytest

from support import ROOT, run_python

torch = pytest.importorskip("torch")
ml_dtypes = pytest.importorskip("ml_dtypes")

HEAD = ["", "ndtorch", "`from_blob` by hand", "`torch/extension.h`", "nanobind"]
MODULES = ["peer_ndtorch", "peer_by_hand", "peer_torch", "peer_nanobind"]


def reversed_array():
    return np.arange(12, dtype="f4")[4:8][::-1]  # what lies around it is memory, too


def read_only():
    array = np.ones(3, "f4")
    array.flags.writeable = False
    return array


def bfloat16():
    return np.ones(3, ml_dtypes.bfloat16)


def as_users_call(peer, array):
    """torch/extension.h takes no arrays: its users convert them before the call."""
    return torch.from_numpy(array) if peer.__name__ == "peer_torch" and isinstance(array, np.ndarray) else array


def reads(make, total):
    def check(peer):
        assert peer.total(as_users_call(peer, make())) == total
    return check


def refuses(error, message="incompatible function arguments", function="total"):
    def refuses(make):
        def check(peer):
            array = make()
            before = np.array(array, "f8") if not isinstance(array, torch.Tensor) else None
            with pytest.raises(error, match=message):
                getattr(peer, function)(as_users_call(peer, array))
            if before is not None:
                np.testing.assert_array_equal(np.array(array, "f8"), before)
        return check
    return refuses


def writes(make, expected):
    def check(peer):
        array = make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.scale(as_users_call(peer, array))
        np.testing.assert_array_equal(array, expected)
    return check


def says_why(argument_reason, function="total"):
    return refuses(TypeError, rf"^{function}\(\): .*argument 'x': {argument_reason}", function)


def warns_and_writes(make):
    def check(peer):
        array = make()
        # Once in a process: PyTorch warns the first time only.
        code = ("import numpy as np, torch, warnings; warnings.simplefilter('error');"
                "x = np.ones(3); x.flags.writeable = False; torch.from_numpy(x)")
        done = run_python("-c", code, statuses=(1,))
        assert "UserWarning: The given NumPy array is not writable" in done.stderr
        writes(lambda: array, [2, 2, 2])(peer)
    return check


def keeps_the_graph(module):
    def check(_):
        x = torch.ones(3, requires_grad=True)
        pytest.importorskip(module).soft_clip(x).sum().backward()
        assert x.grad is not None
    return check


def with_grad():
    return torch.ones(3, requires_grad=True)


def drop(expected):
    def check(peer):
        array = np.ones(3, "f4")
        peer.keep(as_users_call(peer, array))
        gc.collect()
        assert peer.drops() == expected
    return check


def drops_without_the_gil(peer):
    """Also a crash, where pybind11 looks whether who drops a reference has the GIL (without NDEBUG)."""
    code = (f"import sys; sys.path[:0] = {sys.path!r}; import numpy as np, {peer.__name__} as peer;"
            "x = np.ones(3, 'f4'); peer.keep(x); peer.drops(); print(peer.dropped_with_gil())")
    done = run_python("-c", code, statuses=(0, -signal.SIGABRT))
    assert done.stdout.strip() == "False" or "dec_ref() is being called while the GIL" in done.stderr


TABLE = [
    ("a reversed array, to be read", [
        ("a copy, with the right numbers", reads(reversed_array, 22)),
        ("wrong numbers", reads(reversed_array, 34)),
        ("`torch.from_numpy` refuses it", refuses(ValueError, "negative")(reversed_array)),
        ("read as it is, as no tensor is made", reads(reversed_array, 22)),
    ]),
    ("a read-only array, to be written", [
        ("TypeError, says why", says_why("expected memory that may be written", "scale")(read_only)),
        ("**written all the same**", writes(read_only, [2, 2, 2])),
        ("**written**, after a warning", warns_and_writes(read_only)),
        ("TypeError", refuses(TypeError, function="scale")(read_only)),
    ]),
    ("a float64 array, to be written as float32", [
        ("TypeError, says why", says_why(r"expected dtype float32 \(got float64\)", "scale")(
            lambda: np.ones(3))),
        ("**a copy is written**, and lost", writes(lambda: np.ones(3), [1, 1, 1])),
        ("written, as float64", writes(lambda: np.ones(3), [2, 2, 2])),
        ("**a copy is written**, and lost", writes(lambda: np.ones(3), [1, 1, 1])),
    ]),
    ("a bfloat16 array, to be read as float32", [
        ("a cast copy", reads(bfloat16, 3)),
        ("a cast copy", reads(bfloat16, 3)),
        ("`torch.from_numpy` refuses it", refuses(TypeError, "can't convert np.ndarray of type")(bfloat16)),
        ("TypeError", refuses(TypeError)(bfloat16)),
    ]),
    ("a list, to be read", [
        ("a new tensor", reads(lambda: [1.0, 2.0], 3)),
        ("a new tensor", reads(lambda: [1.0, 2.0], 3)),
        ("TypeError", refuses(TypeError)(lambda: [1.0, 2.0])),
        ("TypeError", refuses(TypeError)(lambda: [1.0, 2.0])),
    ]),
    ("a `torch.Tensor` that requires grad", [
        ("its graph goes on (with `ndtorch::torch_python`); else TypeError, says why", None),
        ("TypeError", refuses(TypeError)(with_grad)),
        ("its graph goes on", keeps_the_graph("ops_before")),
        ("**its values without its graph**", reads(with_grad, 3)),
    ]),
    ("the last reference, dropped by a thread without the GIL", [
        ("waits for nobody", drop(True)),
        ("**undefined behaviour**", drops_without_the_gil),
        ("waits for the GIL", drop(False)),
        ("waits for the GIL", drop(False)),
    ]),
]


def graph_or_reason(peer):
    says_why("can't take a tensor that requires grad")(with_grad)(peer)
    keeps_the_graph("ops_after")(peer)


def cells():
    for row, columns in TABLE:
        for module, (text, check) in zip(MODULES, columns, strict=True):
            yield pytest.param(module, check or graph_or_reason, id=f"{module}: {row}: {text}")


@pytest.mark.parametrize("module, check", list(cells()))
def test_a_cell_says_what_happens(module, check):
    check(pytest.importorskip(module, reason="not built: nanobind isn't installed")
          if module == "peer_nanobind" else importlib.import_module(module))


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_page_has_this_table(page):
    rows = [HEAD, ["---"] * len(HEAD), *([row, *(text for text, _ in columns)] for row, columns in TABLE)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows).replace("|  |", "| |").replace(
        "| --- | --- | --- | --- | --- |", "|---|---|---|---|---|")
    assert f"\n\n{table}\n\n" in (ROOT / page).read_text()
