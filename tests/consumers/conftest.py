"""Clean environments for the projects here, each with the wheel of ndtorch that is built for them."""

import concurrent.futures
import importlib.util
import os
import pathlib

import pytest

from environments import ROOT, Environment

NEEDED = ["torch", "numpy", "pybind11", "scikit_build_core", "build"]


def pytest_ignore_collect(collection_path):
    return collection_path.is_dir()  # the projects are none of pytest's business


def pytest_collection_modifyitems(items):
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        for item in items:
            if item.path.is_relative_to(pathlib.Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """The sdist, and the wheel that is built from it, on a system that has no compiler."""
    out = tmp_path_factory.mktemp("dist")
    environment = Environment(tmp_path_factory.mktemp("builder") / "venv")
    variables = environment.variables | {"CC": "/no/compiler", "CXX": "/no/compiler"}
    environment.run(environment.python, "-m", "build", "--no-isolation", "--outdir", out, ROOT,
                    env=variables)
    [sdist] = out.glob("*.tar.gz")
    [wheel] = out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="session")
def environment(tmp_path_factory, distributions):
    """One with the wheel."""
    environment = Environment(tmp_path_factory.mktemp("user") / "venv")
    environment.install(distributions[1])
    return environment


@pytest.fixture(scope="session")
def bare_environment(tmp_path_factory, distributions):
    """One with the wheel, but neither NumPy nor LibTorch nor pybind11."""
    environment = Environment(tmp_path_factory.mktemp("bare") / "venv", packages=False)
    environment.install(distributions[1])
    return environment


@pytest.fixture(scope="session")
def prefix(tmp_path_factory, environment):
    """What `cmake --install` makes, then moved elsewhere."""
    folder = tmp_path_factory.mktemp("prefix")
    environment.run("cmake", "--preset", "install", "-S", ROOT, "-B", folder / "build", cwd=ROOT)
    environment.run("cmake", "--install", folder / "build", "--prefix", folder / "first")
    (folder / "build").rename(folder / "gone")
    return (folder / "first").rename(folder / "moved")


@pytest.fixture(scope="session")
def builders():
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)
