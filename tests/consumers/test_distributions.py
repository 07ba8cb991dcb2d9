"""The wheel and the sdist hold what they should, and nothing else; what Python sees of them."""

import configparser
import email
import pathlib
import sys
import tarfile
import zipfile

import pytest

from environments import ROOT, VERSION, Environment

HEADERS = {str(path.relative_to(ROOT)) for path in (ROOT / "include").rglob("*.h")}


def test_the_wheel_is_for_any_python_on_any_system(distributions):
    assert distributions[1].name == f"ndtorch-{VERSION}-py3-none-any.whl"


def test_the_wheel_holds_headers_cmake_files_and_a_typed_package(distributions):
    info = f"ndtorch-{VERSION}.dist-info"
    assert set(zipfile.ZipFile(distributions[1]).namelist()) == {
        *(f"ndtorch/{header}" for header in HEADERS),
        "ndtorch/__init__.py",
        "ndtorch/__main__.py",
        "ndtorch/py.typed",
        "ndtorch/share/cmake/ndtorch/locate.py",
        "ndtorch/share/cmake/ndtorch/ndtorchConfig.cmake",
        "ndtorch/share/cmake/ndtorch/ndtorchConfigVersion.cmake",
        "ndtorch/share/cmake/ndtorch/ndtorchTargets.cmake",
        "ndtorch/share/cmake/ndtorch/ndtorch_add_module.cmake",
        "ndtorch/share/cmake/ndtorch/ndtorch_find_dependencies.cmake",
        "ndtorch/share/cmake/ndtorch/ndtorch_find_torch.cmake",
        "ndtorch/share/cmake/ndtorch/ndtorch_same_version.cmake",
        "ndtorch/share/licenses/ndtorch/LICENSE",
        f"{info}/METADATA",
        f"{info}/RECORD",
        f"{info}/WHEEL",
        f"{info}/entry_points.txt",
        f"{info}/licenses/LICENSE",
    }


def test_the_sdist_holds_what_the_wheel_is_made_of(distributions):
    with tarfile.open(distributions[0]) as sdist:
        names = sdist.getnames()
    assert sorted(names) == sorted(
        f"ndtorch-{VERSION}/{name}"
        for name in (
            *HEADERS,
            "CHANGELOG.md",
            "CMakeLists.txt",
            "LICENSE",
            "PKG-INFO",
            "README.md",
            "cmake/locate.py",
            "cmake/ndtorchConfig.cmake.in",
            "cmake/ndtorch_add_module.cmake",
            "cmake/ndtorch_find_dependencies.cmake",
            "cmake/ndtorch_find_torch.cmake",
            "cmake/ndtorch_install.cmake",
            "cmake/ndtorch_same_version.cmake",
            "pyproject.toml",
            "src/ndtorch/__init__.py",
            "src/ndtorch/__main__.py",
            "src/ndtorch/py.typed",
        )
    )


def test_the_wheel_names_no_folder_of_the_machine_that_built_it(distributions):
    wheel = zipfile.ZipFile(distributions[1])
    for name in wheel.namelist():
        for folder in (ROOT, distributions[1].parent, sys.prefix):
            assert str(folder).encode() not in wheel.read(name), name


def test_the_wheel_requires_no_package(distributions):
    text = zipfile.ZipFile(distributions[1]).read(f"ndtorch-{VERSION}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_all("Requires-Dist") is None


def test_the_headers_are_those_of_the_repository(distributions):
    wheel = zipfile.ZipFile(distributions[1])
    for header in HEADERS:
        assert wheel.read(f"ndtorch/{header}") == (ROOT / header).read_bytes(), header


def test_scikit_build_core_is_told_the_prefix(distributions):
    text = zipfile.ZipFile(distributions[1]).read(f"ndtorch-{VERSION}.dist-info/entry_points.txt")
    points = configparser.ConfigParser()
    points.read_string(text.decode())
    assert dict(points["cmake.prefix"]) == {"ndtorch": "ndtorch"}


def test_cmake_installs_what_the_wheel_holds(prefix, distributions):
    wheel = zipfile.ZipFile(distributions[1])
    of_cmake = {name.removeprefix("ndtorch/") for name in wheel.namelist()
                if name.startswith(("ndtorch/include/", "ndtorch/share/"))}
    assert {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()} == of_cmake


class TestPackage:
    def test_says_where_its_files_are(self, environment):
        printed = environment.run(
            "python", "-c",
            "import ndtorch; print(ndtorch.get_include(), ndtorch.get_cmake_dir(), ndtorch.__version__)",
            cwd="/").split()
        [package] = environment.bin.parent.glob("lib/python*/site-packages/ndtorch")
        assert printed == [f"{package}/include", f"{package}/share/cmake/ndtorch", VERSION]

    def test_prints_the_same_for_scripts(self, environment):
        [package] = environment.bin.parent.glob("lib/python*/site-packages/ndtorch")
        run = lambda *options: environment.run("python", "-m", "ndtorch", *options, cwd="/")  # noqa: E731
        assert run("--version") == f"{VERSION}\n"
        assert run("--cmakedir") == f"{package}/share/cmake/ndtorch\n"
        includes = run("--includes").split()
        assert includes[0] == f"-I{package}/include"
        assert set(includes) < set(run("--cflags").split())

    def test_puts_pybind11_before_libtorchs_copy_of_it(self, environment):
        folders = environment.run("python", "-m", "ndtorch", "--includes", cwd="/").split()
        [pybind11] = [i for i, folder in enumerate(folders) if folder.endswith("/pybind11/include")]
        [torch] = [i for i, folder in enumerate(folders) if folder.endswith("/torch/include")]
        assert pybind11 < torch

    def test_prints_flags_that_a_shell_takes_as_they_are(self, distributions, tmp_path):
        environment = Environment(tmp_path / "~größe&$(1)'\"\\")
        environment.install(distributions[1])
        environment.run("echo '#include <ndtorch/version.h>' |"
                        " g++ -fsyntax-only -x c++ - $(python -m ndtorch --cflags)")

    @pytest.mark.parametrize("name", ["my packages", "what?", "2*2", "[new]"])
    def test_prints_no_flags_that_a_shell_would_take_apart(self, distributions, tmp_path, name):
        environment = Environment(tmp_path / name)
        environment.install(distributions[1])
        printed = environment.run("python", "-m", "ndtorch", "--ldflags", "--cflags", status=1, cwd="/")
        assert printed.startswith(f"ndtorch: a shell would take -I{tmp_path / name}/")
        assert "Build with CMake" in printed
        assert environment.run("python", "-m", "ndtorch", "--cmakedir", cwd="/").startswith(
            f"{tmp_path / name}/")

    def test_says_what_is_missing(self, bare_environment):
        run = bare_environment.run
        for option, package in (("--includes", "numpy"), ("--ldflags", "torch")):
            printed = run("python", "-m", "ndtorch", option, status=1, cwd="/")
            assert f"has no {package}. Install it with pip." in printed
            assert "Traceback" not in printed

    def test_says_what_cant_be_imported(self, environment, tmp_path):
        (tmp_path / "numpy.py").write_text("raise RuntimeError('\\nbuilt for another Python\\nhelp')\n")
        printed = environment.run("python", "-m", "ndtorch", "--includes", status=1, cwd="/",
                                  env=environment.variables | {"PYTHONPATH": str(tmp_path)})
        assert printed.startswith("ndtorch: in ")
        assert printed.endswith("a package can't be imported: RuntimeError: built for another Python\n")

    def test_asked_nothing_prints_its_help(self, bare_environment):
        assert "--cmakedir" in bare_environment.run("python", "-m", "ndtorch", status=2, cwd="/")

    def test_is_typed(self, environment, tmp_path):
        pytest.importorskip("mypy")
        (tmp_path / "user.py").write_text("import ndtorch\nreveal_type(ndtorch.get_include())\n")

        def mypy(*what):
            return environment.run(
                sys.executable, "-m", "mypy", "--strict", "--python-executable", environment.python,
                "--cache-dir", tmp_path / "cache", *what, cwd=tmp_path)

        assert 'Revealed type is "str"' in mypy("user.py")
        mypy(ROOT / "src" / "ndtorch")

    def test_finds_its_files_as_an_editable_install(self, tmp_path):
        environment = Environment(tmp_path / "venv")
        environment.install("--no-build-isolation", "--editable", ROOT)
        include, cmake_dir, source = environment.run(
            "python", "-c",
            "import ndtorch as n; print(n.get_include(), n.get_cmake_dir(), n.__file__)", cwd="/").split()
        assert (pathlib.Path(include) / "ndtorch" / "ndtorch.h").is_file()
        assert (pathlib.Path(cmake_dir) / "ndtorchConfig.cmake").is_file()
        assert source == str(ROOT / "src" / "ndtorch" / "__init__.py")
