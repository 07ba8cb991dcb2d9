"""Clean environments for the projects here, each with the wheel of ndtorch that is built for them."""

import concurrent.futures
import functools
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

ROOT = pathlib.Path(__file__).parents[2]
NEEDED = ["torch", "numpy", "pybind11", "scikit_build_core", "build"]


def pytest_ignore_collect(collection_path):
    return collection_path.is_dir()  # the projects are none of pytest's business


def pytest_collection_modifyitems(items):
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        for item in items:
            if item.path.is_relative_to(pathlib.Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


class Environment:
    """A virtual environment of its own, and nothing from the environment of the tests."""

    def __init__(self, folder, *, packages=True):
        venv.create(folder, with_pip=False)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        # Nothing but what is named here: no PYTHONPATH, no flags, no hints for CMake.
        self.variables = {
            "PATH": os.pathsep.join([str(self.bin), sysconfig.get_path("scripts"), os.environ["PATH"]]),
            "HOME": str(folder),
            "TORCH_EXTENSIONS_DIR": str(folder / "torch_extensions"),
            "MAX_JOBS": "1",
            "LC_ALL": "C.UTF-8",
        }
        if packages:
            # The packages of the Python that runs the tests, so that PyTorch isn't installed again.
            [site_packages] = folder.glob("lib/python*/site-packages")
            (site_packages / "packages.pth").write_text(
                "\n".join(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))))

    def run(self, *command, status=0, **options):
        """Runs a command, and gives what it printed; a string is for the shell."""
        shell = len(command) == 1 and isinstance(command[0], str) and " " in command[0]
        if shell:
            command = ["bash", "-c", command[0]]
        options.setdefault("env", self.variables)
        done = subprocess.run(
            list(map(str, command)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=900, **options)
        assert done.returncode == status, f"{command}\n{done.stdout}"
        return done.stdout

    def install(self, *what):
        self.run(sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet",
                 "--disable-pip-version-check", "--no-index", "--no-deps", *what)

    def configure(self, source, build, *options, status=0):
        return self.run("cmake", "-S", source, "-B", build, f"-DPython_EXECUTABLE={self.python}",
                        *options, status=status)


@functools.cache
def generator():
    """For CMake's command line: Ninja where there is one."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    return ["-G", "Ninja"] if shutil.which("ninja", path=path) else []


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
