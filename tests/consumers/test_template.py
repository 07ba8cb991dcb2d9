"""examples/template: built, tested and type-checked as a copy of its own, and its wheel as others get it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from environments import ROOT, Environment, torch_folder
from matrix import get_libtorch

TEMPLATE = ROOT / "examples" / "template"

downloads = pytest.mark.skipif(
    not os.environ.get("NDTORCH_DOWNLOADS"), reason="downloads gigabytes: make consumers")


def site_packages(environment):
    [folder] = environment.bin.parent.glob("lib/python*/site-packages")
    return folder


def pip_wheel(environment, project, out, *options):
    printed = environment.run(
        sys.executable, "-m", "pip", "--python", environment.python, "wheel", "--no-deps",
        "--disable-pip-version-check", "--wheel-dir", out, *options, project)
    [wheel] = out.glob("*.whl")
    return wheel, printed


def copied_to(folder):
    return shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("build", "__pycache__", "*.so"))


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return copied_to(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture(scope="session")
def wheel(environment, project, tmp_path_factory):
    return pip_wheel(environment, project, tmp_path_factory.mktemp("wheel"),
                     "--no-index", "--no-build-isolation")[0]


@pytest.fixture
def user(tmp_path):
    """An environment that has torch beside what is installed, as pip installs it."""
    def user(wheel, torch=None, beside=()):
        environment = Environment(tmp_path / "venv")
        for folder in (torch or torch_folder(), *beside):
            (site_packages(environment) / folder.name).symlink_to(folder)
        environment.install(wheel)
        return environment
    return user


def module_in(wheel, folder):
    zipfile.ZipFile(wheel).extractall(folder)
    [module] = folder.glob("my_extension/_core.*.so")
    return module


def dynamic(module):
    return subprocess.run(["readelf", "-d", module], check=True, text=True, stdout=subprocess.PIPE).stdout


def imports_torch(environment):
    return environment.run(
        "python", "-c", "import sys, my_extension; print('torch' in sys.modules)", cwd="/").strip()


def test_the_wheel_holds_the_package_with_its_types(wheel):
    info = "my_extension-0.1.0.dist-info"
    names = zipfile.ZipFile(wheel).namelist()
    [module] = [name for name in names if name.endswith(".so")]
    assert re.fullmatch(r"my_extension/_core\.cpython-\d+-[\w-]+\.so", module)
    assert sorted(names) == sorted([
        "my_extension/__init__.py", "my_extension/_core.pyi", module, "my_extension/py.typed",
        f"{info}/METADATA", f"{info}/RECORD", f"{info}/WHEEL",
    ])


def test_the_module_finds_libtorch_beside_its_package_and_nowhere_else(wheel, tmp_path):
    printed = dynamic(module_in(wheel, tmp_path))
    [path] = re.findall(r"R(?:UN)?PATH\).*\[(.*)\]", printed)
    assert path.split(":") == ["$ORIGIN/torch/lib", "$ORIGIN/../torch/lib", "$ORIGIN/../../torch/lib"]
    assert {"libtorch.so", "libtorch_cpu.so", "libc10.so"} < set(re.findall(r"NEEDED\).*\[(.*)\]", printed))
    assert "libtorch_python" not in printed


def test_its_tests_pass_where_the_wheel_is_installed(wheel, user, project):
    environment = user(wheel)
    printed = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert "3 passed" in printed
    assert imports_torch(environment) == "False"


def test_it_works_where_torch_is_elsewhere(wheel, tmp_path):
    environment = Environment(tmp_path / "venv")  # torch is in another folder of sys.path
    environment.install(wheel)
    assert imports_torch(environment) == "True"


def test_another_error_at_import_is_shown_as_it_is(wheel, user):
    environment = user(wheel)
    [module] = site_packages(environment).glob("my_extension/_core.*.so")
    module.write_bytes(b"no library")
    printed = environment.run("python", "-c", "import my_extension", status=1, cwd="/")
    assert "ImportError" in printed
    assert "_core" in printed.splitlines()[-1]
    assert "import torch" not in printed


def test_its_types_are_those_of_the_module(wheel, user, project, tmp_path):
    pytest.importorskip("pybind11_stubgen")
    user(wheel).run("python", "-m", "pybind11_stubgen", "my_extension._core", "-o", tmp_path, cwd="/")
    made = (tmp_path / "my_extension" / "_core.pyi").read_text()
    assert made == (project / "src" / "my_extension" / "_core.pyi").read_text()


def test_mypy_finds_nothing_wrong(environment, project, tmp_path):
    pytest.importorskip("mypy")
    assert "Success" in environment.run(
        "python", "-m", "mypy", "--cache-dir", tmp_path / "cache", cwd=project)


def test_auditwheel_makes_a_wheel_for_others_without_libtorch(wheel, user, project, tmp_path):
    pytest.importorskip("auditwheel")
    [command] = re.findall(r"^    (auditwheel repair .*)$", (project / "README.md").read_text(), re.MULTILINE)
    environment = user(wheel)
    environment.run(f"{command.replace('dist/*.whl', str(wheel))} --wheel-dir {tmp_path}/repaired")
    [repaired] = (tmp_path / "repaired").glob("*.whl")
    assert "-manylinux_" in repaired.name
    assert not [name for name in zipfile.ZipFile(repaired).namelist() if "libtorch" in name or "libs/" in name]
    environment.install("--force-reinstall", repaired)
    environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert imports_torch(environment) == "False"


@downloads
def test_an_isolated_build_takes_nothing_from_the_environment_around_it(
        environment, distributions, user, tmp_path):
    variables = environment.variables | {
        name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    printed = Environment.run(
        environment, sys.executable, "-m", "pip", "--python", environment.python, "wheel", "--verbose",
        "--no-deps", "--find-links", distributions[1].parent, "--wheel-dir", tmp_path / "wheels",
        copied_to(tmp_path / "project"), env=variables)
    for package in ("NumPy", "LibTorch", "pybind11"):
        assert re.search(f"Found {package}: .*/pip-build-env-", printed), package
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    assert "pip-build-env" not in dynamic(module_in(wheel, tmp_path / "unpacked"))
    assert imports_torch(user(wheel)) == "False"


@downloads
def test_a_wheel_runs_on_another_libtorch_of_its_series(environment, user, project, tmp_path):
    build, run = (get_libtorch(ROOT / "build" / "consumers", version, tmp_path / "log")
                  for version in ("2.14.0", "2.14.1"))
    wheel, _ = pip_wheel(environment, project, tmp_path / "wheel", "--no-index", "--no-build-isolation",
                         f"-Ccmake.define.Torch_DIR={build}/share/cmake/Torch")
    there = user(wheel, torch=run, beside=run.parent.glob("nvidia"))
    there.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    maps = there.run("python", "-c", "import my_extension; print(open('/proc/self/maps').read())", cwd="/")
    assert set(re.findall(r"/\S*libtorch_cpu\.so", maps)) == {str(run / "lib" / "libtorch_cpu.so")}
