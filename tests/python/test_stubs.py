"""The stub that pybind11-stubgen makes of an extension with tensor_t, and what mypy reads in it.

The directory with the built module has to be on PYTHONPATH. Where a signature was changed:

    python -m pybind11_stubgen points -o tests/python/stubs
"""

import pathlib
import re

import pytest

from support import run_python

STUBS = pathlib.Path(__file__).parent / "stubs"


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Runs mypy on one file, and gives what it found: {(line, code)}."""
    cache = tmp_path_factory.mktemp("mypy")

    def run(path):
        options = ["--strict", "--config-file=", f"--cache-dir={cache}", "--hide-error-context"]
        result = run_python("-m", "mypy", *options, path, statuses=(0, 1), MYPYPATH=str(STUBS))
        found = re.findall(r"^(.+):(\d+): error: .* \[([a-z-]+)\]$", result.stdout, re.MULTILINE)
        assert bool(found) == bool(result.returncode), result.stdout
        assert all(pathlib.Path(file).name == path.name for file, _, _ in found), result.stdout
        return {(int(line), code) for _, line, code in found}

    return run


def test_the_stub_is_the_one_that_is_kept(tmp_path):
    run_python("-m", "pybind11_stubgen", "points", "-o", tmp_path, "--exit-code")
    made = (tmp_path / "points.pyi").read_text()
    assert made.splitlines() == (STUBS / "points.pyi").read_text().splitlines()


def test_mypy_finds_nothing_wrong_with_the_stub(mypy):
    assert mypy(STUBS / "points.pyi") == set()


def test_mypy_accepts_right_use_and_it_runs(mypy):
    assert mypy(STUBS / "well_typed.py") == set()
    run_python(STUBS / "well_typed.py")


def test_mypy_refuses_wrong_use(mypy):
    lines = (STUBS / "ill_typed.py").read_text().splitlines()
    expected = {
        (number, line.split("# error: ")[1])
        for number, line in enumerate(lines, start=1)
        if "# error: " in line
    }
    assert len(expected) > 10
    assert mypy(STUBS / "ill_typed.py") == expected
