"""A clean environment to build and run a project in, as its user's."""

import functools
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv

ROOT = pathlib.Path(__file__).parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "tests/matrix"), str(ROOT / "tests/python")]
import shared  # noqa: E402

VERSION = shared.version()


def torch_folder():
    """Of the Python that runs the tests."""
    return pathlib.Path(importlib.util.find_spec("torch").origin).parent


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
