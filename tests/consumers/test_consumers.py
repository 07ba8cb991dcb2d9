"""Each usual way to use ndtorch, as a project of its own, built and run in a clean environment."""

import functools
import json
import pathlib
import re
import shutil
import subprocess

import pybind11
import pytest

from environments import ROOT, VERSION, generator, torch_folder

HERE = pathlib.Path(__file__).parent


def cmake(environment, folder, *options):
    environment.configure(folder, folder / "build", *generator(), *options)
    environment.run("cmake", "--build", folder / "build")
    return folder / "build"


def from_pip(environment, folder, prefix):
    return cmake(environment, folder,
                 "-Dndtorch_DIR=" + environment.run("python", "-m", "ndtorch", "--cmakedir").strip())


def from_prefix(environment, folder, prefix):
    return cmake(environment, folder, f"-DCMAKE_PREFIX_PATH={prefix}")


def from_source(environment, folder, prefix):
    (folder / "ndtorch").symlink_to(ROOT)
    return cmake(environment, folder)


def from_setup_py(environment, folder, prefix):
    environment.run("python", "setup.py", "build_ext", "--inplace", cwd=folder)
    return folder


def from_readme(environment, folder, prefix):
    [line] = re.findall(r"^g\+\+ .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    environment.run(line.replace("first", "consumer"), cwd=folder)
    return folder


WAYS = {
    "pip": ("find_package", from_pip),
    "cmake_install": ("find_package", from_prefix),
    "add_subdirectory": ("add_subdirectory", from_source),
    "fetch_content": ("fetch_content", from_source),
    "cpp_extension": ("cpp_extension", from_setup_py),
    "g++": (None, from_readme),
}


@pytest.fixture(scope="session")
def built(request, builders, environment, prefix, tmp_path_factory):
    """Builds all that the selected tests ask for, beside each other."""
    def build(way):
        project, how = WAYS[way]
        folder = tmp_path_factory.mktemp(way, numbered=False)
        shutil.copy(HERE / "consumer.cpp", folder)
        if project:
            shutil.copytree(HERE / project, folder, dirs_exist_ok=True)
        return how(environment, folder, prefix)

    ways = {item.callspec.params.get("way") for item in request.session.items
            if hasattr(item, "callspec")}
    return {way: builders.submit(build, way) for way in WAYS if way in ways}


@pytest.fixture(scope="session")
def check(environment, built):
    @functools.cache
    def check(way):
        folder = built[way].result()
        before = ["torch"] if way == "cpp_extension" else []
        return json.loads(environment.run("python", HERE / "check.py", folder, *before, cwd="/"))
    return check


@pytest.fixture
def found(check, way):
    """What check.py found in the module that was built in this way."""
    return check(way)


@pytest.mark.parametrize("way", WAYS)
class TestConsumer:
    def test_shares_copies_and_refuses_as_documented(self, found):
        assert found["written"] == [[1, 1, 3], [4, 4, 6]]
        assert found["returned"] == ["float32", [[2, 2, 6], [8, 8, 12]]]
        assert "add_one(): incompatible function arguments" in found["refused"]
        assert found["ndtorch"] == VERSION
        assert found["standard"] >= 201703

    def test_needs_no_import_of_torch(self, found, way):
        # torch.utils.cpp_extension writes no RPATH: its users import torch first.
        assert found["imports_torch"] == (way == "cpp_extension")

    def test_keeps_autograd_only_where_it_links_libtorch_python(self, found, way):
        if way == "cpp_extension":
            assert found["gradient"] == "kept"
        else:
            assert found["gradient"].startswith("can't take a tensor that requires grad")

    def test_takes_pybind11s_own_headers_not_libtorchs_copy(self, found, way):
        copy = torch_folder() / "include" / "pybind11" / "detail" / "common.h"
        version = ".".join(re.findall(r"_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", copy.read_text()))
        # With cpp_extension it is the copy, which libtorch_python was built with.
        expected = version if way == "cpp_extension" else pybind11.__version__
        assert found["pybind11"] == expected

    def test_exports_nothing_of_ndtorchs(self, found):
        symbols = subprocess.run(
            ["nm", "-D", "--defined-only", found["file"]],
            check=True, text=True, stdout=subprocess.PIPE).stdout
        assert "PyInit_consumer" in symbols
        assert re.findall(r"_Z(?:T.|GV)?NK?7ndtorch\w+", symbols) == []


def test_load_inline_builds_beside_torchs_own_headers(environment):
    printed = environment.run("python", HERE / "load_inline" / "main.py", cwd="/")
    assert printed.splitlines()[-1] == "add_one, squares, halves: inline"
