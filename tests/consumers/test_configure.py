"""What CMake says and does when a project asks for ndtorch; nothing is compiled."""

import copy
import pathlib
import re
import sysconfig
import textwrap
import venv

import numpy
import pybind11
import pytest

from environments import ROOT, VERSION, generator, torch_folder

FIND = "find_package(ndtorch CONFIG REQUIRED)"


@pytest.fixture
def configure(environment, prefix, tmp_path):
    """Configures a project that consists of these lines, and gives what was printed."""
    def configure(lines, *options, status=0, environment=environment):
        (tmp_path / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.24)\nproject(consumer LANGUAGES CXX)\n"
            + textwrap.dedent(lines))
        return environment.configure(
            tmp_path, tmp_path / "build", *generator(), f"-DCMAKE_PREFIX_PATH={prefix}", *options,
            status=status)
    return configure


def unwrapped(text):
    """CMake breaks the lines of its errors."""
    return " ".join(text.split())


def libtorch(folder, version="2.13.0", config=""):
    """This Python's LibTorch, with another TorchConfig.cmake: the value of Torch_DIR."""
    real = torch_folder()
    for name in ("lib", "include"):
        (folder / name).symlink_to(real / name)
    cmake_dir = folder / "share" / "cmake" / "Torch"
    cmake_dir.mkdir(parents=True)
    (cmake_dir / "TorchConfig.cmake").write_text(config)
    (cmake_dir / "TorchConfigVersion.cmake").write_text(f'set(PACKAGE_VERSION "{version}")\n')
    return cmake_dir


@pytest.fixture
def torch_dir(tmp_path):
    (tmp_path / "libtorch").mkdir()
    return lambda **facts: libtorch(tmp_path / "libtorch", **facts)


class TestVersion:
    major, minor, patch = map(int, VERSION.split("."))

    @pytest.mark.parametrize("asked, found", [
        (f"{major}.{minor}", True),
        (f"{major}.{minor}.{patch}", True),
        (f"{major}.{minor}.{patch} EXACT", True),
        (f"{major}.{minor}.{patch + 1}", False),
        (f"{major}.{minor - 1}" if minor else f"{major - 1}.{minor}", False),
        (f"{major}.{minor + 1}", False),
        (f"{major + 1}", False),
    ])
    def test_that_is_taken_has_the_same_minor_number(self, configure, asked, found):
        assert f"found: {int(found)} " in configure(f"""
            find_package(ndtorch {asked} CONFIG QUIET)
            message(STATUS "found: ${{ndtorch_FOUND}} ${{ndtorch_VERSION}}")
        """)


class TestFindPackage:
    def test_gives_the_targets_and_functions(self, configure):
        configure(FIND + """
            foreach(target ndtorch::ndtorch ndtorch::torch_python ndtorch::torch)
              if(NOT TARGET ${target})
                message(FATAL_ERROR "${target}")
              endif()
            endforeach()
            foreach(command ndtorch_add_module ndtorch_find_torch)
              if(NOT COMMAND ${command})
                message(FATAL_ERROR "${command}")
              endif()
            endforeach()
        """)

    def test_may_be_called_in_two_directories(self, configure, tmp_path):
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "CMakeLists.txt").write_text(
                f"{FIND}\nfile(WRITE ${{CMAKE_CURRENT_BINARY_DIR}}/{name}.cpp)\n"
                f"ndtorch_add_module({name} ${{CMAKE_CURRENT_BINARY_DIR}}/{name}.cpp)\n")
        configure("add_subdirectory(one)\nadd_subdirectory(two)\n")

    def test_worries_no_one_about_libraries_that_no_one_has(self, configure):
        printed = configure(FIND)
        assert "Found LibTorch: " in printed
        assert not re.search("warning|kineto|nvtoolsext|cuda", printed, re.IGNORECASE)

    def test_finds_libtorch_without_pythons_part(self, configure, tmp_path):
        real = torch_folder()
        folder = tmp_path / "archive"
        (folder / "lib").mkdir(parents=True)
        for name in ("torch", "torch_cpu", "c10"):
            (folder / "lib" / f"lib{name}.so").symlink_to(real / "lib" / f"lib{name}.so")
        for name in ("include", "share"):
            (folder / name).symlink_to(real / name)
        printed = configure(FIND + """
            if(TARGET ndtorch::torch_python)
              message(FATAL_ERROR "ndtorch::torch_python without libtorch_python")
            endif()
        """, f"-DTorch_DIR={folder}/share/cmake/Torch")
        assert f"Found LibTorch: {folder}" in printed

    def test_takes_the_projects_own_target_torch(self, configure):
        printed = configure("""
            find_package(Torch REQUIRED)
            find_package(ndtorch CONFIG REQUIRED)
            if(NOT TARGET ndtorch::torch_python)
              message(FATAL_ERROR "no ndtorch::torch_python")
            endif()
        """, f"-DTorch_DIR={torch_folder()}/share/cmake/Torch")
        assert "the project's own target `torch`" in printed

    def test_of_an_unknown_component_fails(self, configure):
        assert "found: 0" in configure("""
            find_package(ndtorch CONFIG QUIET COMPONENTS unknown)
            message(STATUS "found: ${ndtorch_FOUND}")
        """).replace("FALSE", "0")


# What a folder may find for itself before it asks for ndtorch; the targets are its own then.
FOUND_BEFORE = {
    "Python": "find_package(Python COMPONENTS Interpreter Development.Module REQUIRED)",
    "Python without headers": "find_package(Python COMPONENTS Interpreter REQUIRED)",
    "Python3": "find_package(Python3 COMPONENTS Interpreter Development.Module REQUIRED)\n"
               "set(PYBIND11_FINDPYTHON ON)\nfind_package(pybind11 CONFIG REQUIRED)",
    "pybind11": "set(PYBIND11_FINDPYTHON ON)\nfind_package(pybind11 CONFIG REQUIRED)",
    "pybind11's old way": "set(PYBIND11_FINDPYTHON OFF)\nfind_package(pybind11 CONFIG REQUIRED)",
    "Torch": "find_package(Torch REQUIRED)",
}


class TestFolders:
    """Which one asks first makes no difference."""

    @pytest.fixture
    def project(self, configure, environment, tmp_path):
        """Configures a project with these folders, and gives each module's folders and libraries."""
        def project(folders, root="", *options, status=0):
            for name, lines in folders.items():
                (tmp_path / name).mkdir(parents=True)
                (tmp_path / name / "CMakeLists.txt").write_text(lines)
            (tmp_path / "module.cpp").touch()
            children = "".join(f"add_subdirectory({name})\n" for name in folders if "/" not in name)
            printed = configure(
                f"{children}{root}\n", "-G", "Ninja", f"-DPYTHON_EXECUTABLE={environment.python}",
                f"-DPython3_EXECUTABLE={environment.python}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
                f"-DTorch_DIR={torch_folder()}/share/cmake/Torch", *options, status=status)
            if status:
                return unwrapped(printed)
            rules = (tmp_path / "build" / "build.ninja").read_text()
            return [re.findall(f"^  {word} = (.*)$", rules, re.MULTILINE) for word in (
                "INCLUDES", "LINK_LIBRARIES")]
        return project

    @pytest.fixture
    def same(self, project):
        def same(*arguments):
            for values in project(*arguments):
                assert len(values) >= 2
                assert len(set(values)) == 1
        return same

    MODULE = "\nndtorch_add_module({} ${{CMAKE_SOURCE_DIR}}/module.cpp)\n"

    @pytest.mark.parametrize("before", FOUND_BEFORE)
    def test_keep_what_they_found_and_others_and_the_root_build_the_same(self, same, before):
        same({"a": f"{FOUND_BEFORE[before]}\n{FIND}{self.MODULE.format('a')}",
              "b": f"{FIND}{self.MODULE.format('b')}"}, self.MODULE.format("root"))

    def test_below_that_found_it_find_ndtorch_and_another_one_builds_the_same(self, same):
        same({"a": FOUND_BEFORE["Python"] + "\nadd_subdirectory(below)\n",
              "a/below": f"{FIND}{self.MODULE.format('below')}",
              "b": f"{FIND}{self.MODULE.format('b')}"})

    def test_with_ndtorch_as_a_subdirectory_are_no_different(self, same, tmp_path):
        (tmp_path / "ndtorch").symlink_to(ROOT)
        same({"a": f"{FOUND_BEFORE['Python']}\nadd_subdirectory(../ndtorch ndtorch){self.MODULE.format('a')}"},
             self.MODULE.format("root"))

    def test_of_two_pythons_are_refused(self, project):
        printed = project({
            "a": f"{FOUND_BEFORE['Python']}\n{FIND}",
            "b": "add_library(Python::Module INTERFACE IMPORTED)\n"
                 "target_include_directories(Python::Module INTERFACE /other/python3.9)\n" + FIND,
        }, status=1)
        assert re.search(r"ndtorch: one part of the project uses \S*/bin/python, and this one has a target "
                         r"Python::Module whose headers are in /other/python3\.9\.", printed)

    def test_of_two_libtorchs_are_refused(self, project, torch_dir):
        other = torch_dir(version="2.12.0")
        printed = project({"a": FIND, "b": f"set(Torch_DIR {other})\n{FIND}"}, status=1)
        assert (f"ndtorch: one part of the project uses LibTorch in {torch_folder()}, and this one names that "
                f"in {other.parents[2]}." in printed)

    def test_have_their_own_flags_which_are_checked_in_each(self, project):
        printed = project({"a": FIND, "b": f"add_compile_definitions(_GLIBCXX_USE_CXX11_ABI=0)\n{FIND}"},
                          status=1)
        assert "ndtorch: the project is compiled with -D_GLIBCXX_USE_CXX11_ABI=0" in printed


class TestWhatIsMissing:
    def test_stops_a_project_that_needs_it_with_the_command_that_installs_it(
            self, configure, bare_environment):
        printed = unwrapped(configure(FIND, environment=bare_environment, status=1))
        assert "not installed: numpy torch pybind11." in printed
        assert f"{bare_environment.python} -m pip install numpy torch pybind11" in printed
        assert "or name a Python that has them with -DPython_EXECUTABLE=<path>." in printed

    def test_names_the_python_that_does_not_run(self, configure):
        printed = unwrapped(configure(FIND, "-DPython_EXECUTABLE=/no/python", status=1))
        assert "ndtorch: /no/python is no Python that runs." in printed

    def test_is_pythons_headers(self, configure, environment):
        headers = [sysconfig.get_path("include"), *map(str, pathlib.Path("/usr/include").glob("python3*"))]
        printed = unwrapped(configure(FIND, f"-DCMAKE_IGNORE_PATH={';'.join(headers)}", status=1))
        assert f"ndtorch: {environment.python} has no Python.h. Install Python's headers:" in printed

    def test_is_an_absolute_path_to_the_python(self, configure):
        printed = unwrapped(configure(FIND, "-DPython_EXECUTABLE=venv/bin/python", status=1))
        assert ("ndtorch: Python_EXECUTABLE is venv/bin/python, which is no absolute path. "
                "Name it with -DPython_EXECUTABLE=$PWD/venv/bin/python." in printed)

    @pytest.mark.parametrize("name", ["Python_EXECUTABLE", "Python3_EXECUTABLE"])
    def test_is_said_where_the_project_itself_passed_over_it(self, configure, name):
        finder = name.partition("_")[0]
        printed = unwrapped(configure(
            f"unset(Python_EXECUTABLE CACHE)\nset({name} python3 CACHE STRING '' FORCE)\n"
            f"find_package({finder})\n{FIND}", status=1))
        assert "Name it with -DPython_EXECUTABLE=$(which python3)." in printed

    @pytest.mark.parametrize("name", ["Python_ROOT_DIR", "Python3_ROOT_DIR"])
    def test_is_a_python_below_the_root_that_is_named(self, configure, environment, tmp_path, name):
        changed = copy.copy(environment)
        changed.variables = environment.variables | {"VIRTUAL_ENV": str(environment.bin.parent)}
        printed = unwrapped(configure(f"unset(Python_EXECUTABLE CACHE)\n{FIND}", f"-D{name}={tmp_path}",
                                      environment=changed, status=1))
        assert f"ndtorch: Python_ROOT_DIR is {tmp_path}, and CMake's FindPython finds none there." in printed
        venv.create(tmp_path / "named", with_pip=False)
        printed = unwrapped(configure(f"unset(Python_EXECUTABLE CACHE)\n{FIND}", f"-D{name}={tmp_path}/named",
                                      environment=changed, status=1))
        assert f"{tmp_path}/named/bin/python3 -m pip install numpy torch" in printed

    @pytest.fixture
    def broken(self, tmp_path, environment):
        """The environment, with a module of this name before all others."""
        def broken(name, lines):
            (tmp_path / "modules").mkdir()
            (tmp_path / "modules" / f"{name}.py").write_text(lines)
            changed = copy.copy(environment)
            changed.variables = environment.variables | {"PYTHONPATH": str(tmp_path / "modules")}
            return changed
        return broken

    def test_is_no_python_that_prints_whenever_it_starts(self, configure, broken):
        environment = broken("sitecustomize", "print('hello')")
        printed = unwrapped(configure(FIND, environment=environment, status=1))
        assert f'ndtorch: {environment.python} prints "hello" whenever it starts' in printed
        assert "Let that go to sys.stderr." in printed

    @pytest.mark.parametrize("package, lines, reason", [
        ("numpy", "raise RuntimeError('\\nbuilt for \"another\"\\nhelp')", 'RuntimeError: built for "another"'),
        ("pybind11", "import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("numpy", "import os, sys\nprint('libfoo', file=sys.stderr, flush=True)\nos._exit(7)",
         "Python ended (7) libfoo"),
    ])
    def test_is_no_package_that_cant_be_imported(self, configure, broken, package, lines, reason):
        environment = broken(package, f"print('noise')\n{lines}\n")
        printed = unwrapped(configure(FIND, environment=environment, status=1))
        assert f"ndtorch: {package} can't be imported in {environment.python}: {reason}" in printed
        assert "Traceback" not in printed

    def test_of_numpy_is_nothing_to_a_project_that_does_without(self, configure, broken):
        printed = configure("""
            find_package(ndtorch CONFIG QUIET)
            message(STATUS "found: ${ndtorch_FOUND}")
        """, environment=broken("numpy", "raise RuntimeError"))
        assert re.search("found: (0|FALSE)", printed)
        assert "RuntimeError" not in printed
        assert "Found" not in printed

    def test_may_be_printed_by_a_package(self, configure, broken):
        source = pathlib.Path(numpy.__file__)
        configure(FIND, environment=broken(
            "numpy", f"print('noise')\n__version__ = '2.4'\nget_include = lambda: {str(source.parent)!r}\n"))

    def test_leaves_a_project_alone_that_does_without(self, configure, bare_environment):
        printed = configure("""
            find_package(ndtorch CONFIG QUIET)
            message(STATUS "found: ${ndtorch_FOUND}")
        """, environment=bare_environment)
        assert re.search("found: (0|FALSE)", printed)
        assert "not installed" not in printed
        assert "Found" not in printed


# Ways in which a project has a pybind11 of its own.
ITS_OWN_PYBIND11 = {
    "as a package": "set(PYBIND11_FINDPYTHON ON)\nfind_package(pybind11 CONFIG QUIET GLOBAL)\n",
    # The targets of pybind11's own CMakeLists.txt, with Python's folders as some versions add them.
    "as a subdirectory": f"""
        add_library(pybind11_headers INTERFACE)
        target_include_directories(pybind11_headers SYSTEM INTERFACE
          "$<BUILD_INTERFACE:{pybind11.get_include()}>" "$<INSTALL_INTERFACE:include>"
          "$<BUILD_INTERFACE:/usr/include/python;/usr/include>")
        foreach(name pybind11 module)
          add_library(pybind11::${{name}} INTERFACE IMPORTED GLOBAL)
          target_link_libraries(pybind11::${{name}} INTERFACE pybind11_headers)
        endforeach()
        add_library(pybind11::headers ALIAS pybind11_headers)
        add_library(pybind11::pybind11_headers ALIAS pybind11_headers)
    """,
}


class TestPybind11:
    @pytest.fixture
    def decoy(self, tmp_path):
        """Of another version, or none at all, in a folder that CMAKE_PREFIX_PATH names."""
        folder = tmp_path / "decoy"
        (folder / "share" / "cmake" / "pybind11").mkdir(parents=True)
        (folder / "share" / "cmake" / "pybind11" / "pybind11Config.cmake").write_text(
            'message(FATAL_ERROR "the decoy")\n')
        return folder

    def test_is_the_one_that_the_project_chose(self, configure, decoy, prefix):
        assert "the decoy" in configure(FIND, f"-DCMAKE_PREFIX_PATH={decoy};{prefix}", status=1)

    def test_is_the_running_pythons_where_scikit_build_core_chose(self, configure, decoy, prefix):
        # It names the folders of an environment around an isolated build, too.
        printed = configure(FIND, f"-DCMAKE_PREFIX_PATH={decoy};{prefix}", "-DSKBUILD=2")
        assert re.search("Found pybind11: .*/site-packages/pybind11/include", printed)

    def test_of_the_project_itself_is_used(self, configure):
        printed = configure("""
            set(PYBIND11_FINDPYTHON ON)
            find_package(pybind11 CONFIG REQUIRED)
            set(pybind11_DIR nowhere)
            find_package(ndtorch CONFIG REQUIRED)
        """, f"-Dpybind11_DIR={pybind11.get_cmake_dir()}")
        assert "Found pybind11: " in printed

    @pytest.fixture(params=ITS_OWN_PYBIND11)
    def in_another_directory(self, request, configure, tmp_path):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "CMakeLists.txt").write_text(ITS_OWN_PYBIND11[request.param])
        return lambda lines: configure(f"add_subdirectory(other)\n{lines}\n",
                                       f"-Dpybind11_DIR={pybind11.get_cmake_dir()}")

    def test_of_another_directory_is_used(self, in_another_directory):
        assert (f'Found pybind11: {pybind11.get_include()} (found version "{pybind11.__version__}")'
                in in_another_directory(FIND))

    def test_of_another_directory_comes_before_libtorchs_where_it_is_the_compilers(
            self, in_another_directory, tmp_path):
        in_another_directory(
            f"list(APPEND CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES {pybind11.get_include()})\n{FIND}")
        first = tmp_path / "build" / "pybind11_first" / "pybind11"
        assert first.samefile(f"{pybind11.get_include()}/pybind11")

    def test_that_is_too_old_is_refused(self, configure, tmp_path):
        header = tmp_path / "old" / "pybind11" / "detail" / "common.h"
        header.parent.mkdir(parents=True)
        header.write_text("".join(f"#define PYBIND11_VERSION_{part} {number}\n" for part, number in
                                  [("MAJOR", 2), ("MINOR", 12), ("PATCH", 1)]))
        printed = unwrapped(configure(
            "add_library(pybind11::headers INTERFACE IMPORTED)\n"
            f"target_include_directories(pybind11::headers INTERFACE {tmp_path / 'old'})\n" + FIND, status=1))
        assert "ndtorch needs pybind11 2.13 or newer. Found pybind11 2.12.1 in" in printed

    def test_whose_folder_no_one_knows_is_used(self, configure):
        assert "Found pybind11: the project's own target" in configure(
            "add_library(pybind11::headers INTERFACE IMPORTED)\n"
            "add_library(pybind11::pybind11 INTERFACE IMPORTED)\n" + FIND)


class TestModule:
    @pytest.mark.parametrize("options, said", [
        ([], True), (["-DCMAKE_BUILD_TYPE=Release"], False), (["-DCMAKE_CXX_FLAGS=-O2"], False)])
    def test_says_where_it_is_not_optimised(self, configure, tmp_path, options, said):
        (tmp_path / "fast.cpp").touch()
        printed = configure(FIND + "\nndtorch_add_module(fast fast.cpp)\n", *options)
        text = "fast is built without optimisation: add -DCMAKE_BUILD_TYPE=Release"
        assert (text in printed) == said


    BESIDE = r"\$ORIGIN/torch/lib:\$ORIGIN/../torch/lib:\$ORIGIN/../../torch/lib"

    def rpaths(self, tmp_path):
        """Of the module in the build tree, and as it is installed."""
        rules = (tmp_path / "build" / "build.ninja").read_text().replace("$$", "$")
        script = (tmp_path / "build" / "cmake_install.cmake").read_text()
        # Blank space at the end is for the longer one.
        return ([path.rstrip(":") for path in re.findall(r'-Wl,-rpath,"?([^ "]*)', rules)],
                re.findall(r'NEW_RPATH "(.*)"', script))

    LINES = "\nndtorch_add_module(module module.cpp)\ninstall(TARGETS module DESTINATION .)\n"

    def test_finds_libtorch_beside_it_and_else_where_it_was_built(self, configure, tmp_path):
        (tmp_path / "module.cpp").touch()
        configure(FIND + self.LINES, "-G", "Ninja")
        built, installed = self.rpaths(tmp_path)
        assert built == [f"{self.BESIDE}:{torch_folder()}/lib"]
        assert installed == built

    @pytest.mark.parametrize("folder", [
        "pip-build-env-x1/overlay/lib/site-packages", "build-env-y2/lib", "uv/builds-v0/.tmpZ3/lib"])
    def test_keeps_no_path_into_the_environment_of_an_isolated_build(self, configure, tmp_path, folder):
        (tmp_path / folder / "torch").mkdir(parents=True)
        (tmp_path / "module.cpp").touch()
        configure(FIND + self.LINES, "-G", "Ninja", f"-DTorch_DIR={libtorch(tmp_path / folder / 'torch')}")
        built, installed = self.rpaths(tmp_path)
        assert built == [self.BESIDE]
        assert installed == []  # as it is


class TestLibTorch:
    def test_of_a_cuda_build_needs_no_toolkit(self, configure, torch_dir):
        # The words of TorchConfig.cmake in such a build; it would stop here if it were run.
        cuda = torch_dir(config="""
            message(WARNING "static library kineto_LIBRARY-NOTFOUND not found.")
            message(FATAL_ERROR "Your installed Caffe2 version uses CUDA but I cannot find the CUDA "
              "libraries. Please set the proper CUDA prefixes and / or install CUDA.")
            set_target_properties(torch PROPERTIES CXX_STANDARD 20)
        """)
        printed = configure(FIND + """
            get_target_property(features ndtorch::torch INTERFACE_COMPILE_FEATURES)
            message(STATUS "features: ${features}")
        """, f"-DTorch_DIR={cuda}")
        assert "features: cxx_std_20" in printed
        assert "kineto" not in printed

    def test_has_no_flags_among_its_libraries_which_meson_would_drop(self, configure):
        printed = configure(FIND + """
            get_target_property(libraries ndtorch::torch INTERFACE_LINK_LIBRARIES)
            get_target_property(options ndtorch::torch INTERFACE_LINK_OPTIONS)
            message(STATUS "libraries: ${libraries}")
            message(STATUS "options: ${options}")
        """)
        lib = torch_folder() / "lib"
        assert f"libraries: {lib}/libtorch_cpu.so;{lib}/libc10.so\n" in printed
        assert f"options: -Wl,--push-state,--no-as-needed,{lib}/libtorch.so,--pop-state\n" in printed

    def test_that_is_too_old_is_refused(self, configure, torch_dir):
        printed = unwrapped(configure(FIND, f"-DTorch_DIR={torch_dir(version='2.9.1')}", status=1))
        assert "needs LibTorch 2.10 or newer" in printed
        assert "Found LibTorch 2.9.1" in printed

    @pytest.mark.parametrize("how", [
        "Torch_ROOT", "Torch_DIR in the environment", "Torch_ROOT in the environment"])
    def test_is_the_one_that_is_named_as_find_package_takes_it(self, configure, environment, torch_dir, how):
        folder = torch_dir(version="2.12.3")
        value = folder.parents[2] if "ROOT" in how else folder
        changed = copy.copy(environment)
        options = []
        if "environment" in how:
            changed.variables = environment.variables | {how.split()[0]: str(value)}
        else:
            options = [f"-D{how}={value}"]
        assert f'Found LibTorch: {folder.parents[2]} (found version "2.12.3")' in configure(
            FIND, *options, environment=changed)

    @pytest.mark.parametrize("how", ["Torch_DIR", "Torch_ROOT", "Torch_DIR of the environment"])
    def test_that_is_named_and_not_there_is_an_error(self, configure, environment, how):
        changed = copy.copy(environment)
        options = []
        if "environment" in how:
            changed.variables = environment.variables | {how.split()[0]: "/not/there"}
        else:
            options = [f"-D{how}=/not/there"]
        printed = unwrapped(configure(FIND, *options, environment=changed, status=1))
        assert f"ndtorch: {how} is /not/there, where no TorchConfig.cmake is." in printed

    @pytest.mark.parametrize("lines", [
        "add_executable(torch torch.cpp)",
        "add_custom_target(torch)",
        "add_library(torch INTERFACE IMPORTED)\n"
        "target_include_directories(torch INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})",
    ])
    def test_is_no_target_of_that_name_without_its_headers(self, configure, lines, tmp_path):
        (tmp_path / "torch.cpp").touch()
        assert f"Found LibTorch: {torch_folder()} " in configure(f"{lines}\n{FIND}")

    def its_own(self, torch_dir, **facts):
        """The target that a project has after its own find_package(Torch)."""
        prefix = torch_dir(**facts).parents[2]
        return textwrap.dedent(f"""
            add_library(torch SHARED IMPORTED)
            set_target_properties(torch PROPERTIES IMPORTED_LOCATION {prefix}/lib/libtorch.so CXX_STANDARD 20
              INTERFACE_INCLUDE_DIRECTORIES "{prefix}/include;{prefix}/include/torch/csrc/api/include")
        """)

    def test_of_the_projects_own_that_is_too_old_is_refused(self, configure, torch_dir):
        printed = unwrapped(configure(self.its_own(torch_dir, version="2.9.1") + FIND, status=1))
        assert "needs LibTorch 2.10 or newer" in printed
        assert "Found LibTorch 2.9.1" in printed

    def test_of_the_projects_own_has_an_abi_too(self, configure, torch_dir):
        printed = unwrapped(configure(
            self.its_own(torch_dir) + f"add_compile_definitions(_GLIBCXX_USE_CXX11_ABI=0)\n{FIND}", status=1))
        assert "ndtorch: the project is compiled with -D_GLIBCXX_USE_CXX11_ABI=0, and LibTorch in " in printed

    def test_of_libstdcxx_is_refused_where_the_project_is_compiled_with_libcxx(self, configure):
        printed = unwrapped(configure(f"add_compile_options(-stdlib=libc++)\n{FIND}", status=1))
        assert (f"ndtorch: the project is compiled with -stdlib=libc++, and LibTorch in {torch_folder()} with "
                "libstdc++: its functions with std::string would not be found. Remove it." in printed)

    @pytest.mark.parametrize("libtorchs, refused", [("", True), ("-DNDTORCH_LIBTORCH_HAS_LIBCXX", False)])
    def test_of_libstdcxx_is_refused_by_the_headers_too(self, environment, libtorchs, refused):
        # The macro that each header of libc++ defines.
        printed = environment.run(
            "echo '#include <ndtorch/detail/python/errors.h>' | g++ -std=c++17 -fsyntax-only -x c++ - "
            f"-D_LIBCPP_VERSION=190000 {libtorchs} $(python -m ndtorch --includes)", status=int(refused))
        assert ("LibTorch is built with libstdc++, and this with libc++" in printed) == refused

    def test_of_libcxx_is_taken_where_the_project_is_compiled_with_libcxx(self, configure, torch_dir):
        folder = torch_dir()
        lib = folder.parents[2] / "lib"
        lib.unlink()
        lib.mkdir()
        for name in ("torch", "torch_cpu", "c10"):
            (lib / f"lib{name}.so").write_text("_ZN3c105ErrorC1ENSt3__112basic_stringIcEE")
        assert "definitions: _GLIBCXX_USE_CXX11_ABI=1;NDTORCH_LIBTORCH_HAS_LIBCXX" in configure(f"""
            add_compile_options(-stdlib=libc++)
            {FIND}
            get_target_property(definitions ndtorch::torch INTERFACE_COMPILE_DEFINITIONS)
            message(STATUS "definitions: ${{definitions}}")
        """, f"-DTorch_DIR={folder}")

    def test_is_found_where_the_project_is_for_another_system(self, configure):
        printed = configure(
            f"cmake_policy(VERSION 3.24...4.2)\n{FIND}", "-DCMAKE_SYSTEM_NAME=Linux",
            "-DCMAKE_SYSTEM_PROCESSOR=x86_64")
        assert f"Found LibTorch: {torch_folder()} " in printed

    @pytest.mark.parametrize("mode", ["LIBRARY", "PACKAGE", "INCLUDE"])
    def test_is_found_where_all_else_is_looked_for_below_another_root(self, configure, tmp_path, mode, prefix):
        (tmp_path / "sysroot").mkdir()
        printed = configure(
            FIND, f"-DCMAKE_FIND_ROOT_PATH={tmp_path}/sysroot", f"-DCMAKE_FIND_ROOT_PATH_MODE_{mode}=ONLY",
            f"-Dndtorch_DIR={prefix}/share/cmake/ndtorch")
        assert f"Found LibTorch: {torch_folder()} " in printed
        assert "Found pybind11: " in printed

    @pytest.mark.parametrize("how", [
        "set(CMAKE_CXX_FLAGS -D_GLIBCXX_USE_CXX11_ABI=0)",
        "add_compile_definitions(_GLIBCXX_USE_CXX11_ABI=0)",
        "add_compile_options(-D_GLIBCXX_USE_CXX11_ABI=0)",
    ])
    def test_of_another_abi_than_the_project_is_refused(self, configure, how):
        printed = unwrapped(configure(f"{how}\n{FIND}", status=1))
        assert "ndtorch: the project is compiled with -D_GLIBCXX_USE_CXX11_ABI=0, and LibTorch in " in printed
        assert "with -D_GLIBCXX_USE_CXX11_ABI=1: " in printed

    def test_says_its_abi_and_the_project_may_say_it_too(self, configure, torch_dir):
        old = torch_dir(config='set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=0")\n')
        printed = configure(f"""
            add_compile_definitions(_GLIBCXX_USE_CXX11_ABI=0)
            {FIND}
            get_target_property(definitions ndtorch::torch INTERFACE_COMPILE_DEFINITIONS)
            message(STATUS "definitions: ${{definitions}}")
        """, f"-DTorch_DIR={old}")
        assert "definitions: _GLIBCXX_USE_CXX11_ABI=0" in printed

    def test_is_that_of_the_running_python(self, configure, environment):
        cmake_dir = environment.run("python", "-m", "ndtorch", "--cmakedir").strip()
        printed = configure(f"""
            include({cmake_dir}/ndtorch_find_torch.cmake)
            ndtorch_find_torch()
            get_target_property(folders ndtorch::torch INTERFACE_INCLUDE_DIRECTORIES)
            message(STATUS "folders: ${{folders}}")
        """)
        real = torch_folder()
        assert f"folders: {real}/include;" in printed


class TestNames:
    """The project's own variables, which CMake's functions see."""

    LINES = """
        {}
        add_subdirectory(ndtorch)
        file(WRITE "${{CMAKE_BINARY_DIR}}/module.cpp")
        ndtorch_add_module(module "${{CMAKE_BINARY_DIR}}/module.cpp")
        foreach(target torch torch_python dependencies)
          foreach(property INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_FEATURES LINK_LIBRARIES
                           LINK_OPTIONS)
            get_target_property(value ndtorch::${{target}} INTERFACE_${{property}})
            message(STATUS "${{target}} ${{property}}: ${{value}}")
          endforeach()
        endforeach()
    """
    FILES = (ROOT / "CMakeLists.txt", *(ROOT / "cmake" / f"ndtorch_{name}.cmake" for name in (
        "add_module", "find_dependencies", "find_torch", "install", "same_version")))
    # Of ndtorch's own names, those that a project may have too.
    COMMON = sorted({name for file in FILES for name in re.findall(r"\{([a-z]\w*)\}", file.read_text())
                     if name != "pybind11_DIR"})

    @pytest.fixture
    def printed(self, configure, tmp_path):
        """What is found, and what the targets are, after some lines of the project's own."""
        (tmp_path / "ndtorch").symlink_to(ROOT)
        return lambda lines: re.findall("^-- ((?:Found|torch|dependencies).*)",
                                        configure(self.LINES.format(lines)), re.MULTILINE)

    @pytest.mark.parametrize("where", ["", "CACHE STRING ''"])
    def test_of_the_projects_are_not_taken_for_ndtorchs(self, printed, where):
        before = printed("")
        assert "libtorch_cpu" in str(before)
        assert printed(f"""
            foreach(name {" ".join(self.COMMON)})
              set(${{name}} "${{CMAKE_CURRENT_SOURCE_DIR}}/mine" {where})
            endforeach()
            unset(name)
        """) == before

    def test_of_static_libraries_are_not_those_of_libtorchs(self, printed):
        assert printed("""
            set(CMAKE_FIND_LIBRARY_PREFIXES "")
            set(CMAKE_FIND_LIBRARY_SUFFIXES ".a")
        """) == printed("")


class TestSubdirectory:
    LINES = """
        set(CMAKE_CXX_STANDARD 20)
        set(CMAKE_CXX_VISIBILITY_PRESET default)
        set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
        set(CMAKE_INSTALL_RPATH /mine)
        option(BUILD_TESTING "" ON)
        function(values result of)
          set(lines "")
          foreach(name IN LISTS ${of})
            if(NOT name MATCHES "^(ARG[CNV][0-9]*|before|after|CMAKE_MATCH_.*|name|lines|of|result)$")
              string(APPEND lines "${name}=${${name}}\n")
            endif()
          endforeach()
          set(${result} "${lines}" PARENT_SCOPE)
        endfunction()
        get_cmake_property(variables VARIABLES)
        get_cmake_property(cached CACHE_VARIABLES)
        values(before variables)
        add_subdirectory(ndtorch)
        values(after variables)
        if(NOT before STREQUAL after)
          file(WRITE before.txt "${before}")
          file(WRITE after.txt "${after}")
          message(FATAL_ERROR "Settings changed: see before.txt and after.txt")
        endif()
        get_cmake_property(cached_after CACHE_VARIABLES)
        list(REMOVE_ITEM cached_after ${cached})
        message(STATUS "new in the cache: ${cached_after}")
        foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS INCLUDE_DIRECTORIES LINK_LIBRARIES)
          get_directory_property(value ${property})
          message(STATUS "${property}: <${value}>")
        endforeach()
        get_directory_property(targets DIRECTORY ndtorch BUILDSYSTEM_TARGETS)
        get_directory_property(tests DIRECTORY ndtorch TESTS)
        message(STATUS "targets: <${targets}> tests: <${tests}>")
    """

    @pytest.fixture
    def printed(self, configure, tmp_path):
        (tmp_path / "ndtorch").symlink_to(ROOT)
        return configure(self.LINES)

    def test_adds_its_one_target_and_no_test(self, printed):
        assert "targets: <ndtorch> tests: <>" in printed

    def test_changes_no_setting_of_the_project(self, printed):
        for name in ("COMPILE_OPTIONS", "COMPILE_DEFINITIONS", "INCLUDE_DIRECTORIES", "LINK_LIBRARIES"):
            assert f"{name}: <>" in printed
        [names] = re.findall("new in the cache: (.*)", printed)
        strange = [name for name in names.split(";")
                   # The last is CMake's own, of the first project() that has a version.
                   if not re.match("_?(ndtorch|python|pybind11)|has_flto|cmake_project_version", name,
                                   re.IGNORECASE)]
        assert strange == []

    def test_installs_nothing_with_the_project(self, printed, environment, tmp_path):
        environment.run("cmake", "--install", tmp_path / "build", "--prefix", tmp_path / "installed")
        assert not (tmp_path / "installed").exists()

    @pytest.mark.parametrize("before", ["add_subdirectory(ndtorch first)", FIND])
    def test_may_come_after_another_one(self, configure, tmp_path, before):
        (tmp_path / "ndtorch").symlink_to(ROOT)
        (tmp_path / "module.cpp").touch()
        configure(f"""
            {before}
            add_subdirectory(ndtorch)
            {FIND}
            ndtorch_add_module(module module.cpp)
        """)

    @pytest.mark.parametrize("how", ["add_subdirectory(ndtorch)", FIND])
    def test_of_another_version_than_the_one_before_is_refused(self, configure, tmp_path, how):
        (tmp_path / "ndtorch").symlink_to(ROOT)
        printed = unwrapped(configure(
            f"set_property(GLOBAL PROPERTY ndtorch_version 0.0.9)\n{how}", status=1))
        assert (f"ndtorch 0.0.9 is used by one part of the project, and this one brings ndtorch {VERSION}."
                in printed)

    @pytest.mark.parametrize("how", ["add_subdirectory(ndtorch)", FIND])
    def test_lets_the_project_export_a_library_that_links_it(self, configure, environment, tmp_path, how):
        (tmp_path / "ndtorch").symlink_to(ROOT)
        (tmp_path / "mine.cpp").touch()
        configure(f"""
            {how}
            add_library(mine OBJECT mine.cpp)
            target_link_libraries(mine PUBLIC ndtorch::ndtorch)
            install(TARGETS mine EXPORT mine OBJECTS DESTINATION lib)
            install(EXPORT mine DESTINATION cmake)
        """)
        [exported] = (tmp_path / "build" / "CMakeFiles" / "Export").rglob("mine.cmake")
        assert re.search('INTERFACE_LINK_LIBRARIES ".*ndtorch::ndtorch"', exported.read_text())
        assert str(tmp_path) not in exported.read_text()

    @pytest.mark.parametrize("how", ["add_subdirectory(../ndtorch ndtorch)", FIND])
    def test_lets_another_folder_try_whether_something_compiles(self, configure, tmp_path, how):
        (tmp_path / "ndtorch").symlink_to(ROOT)
        (tmp_path / "tried.cpp").write_text("#include <ndtorch/version.h>\nint main() {}\n")
        for name, lines in {
            "a": f"{FOUND_BEFORE['pybind11']}\n{how}",
            "b": "try_compile(tried ${CMAKE_BINARY_DIR}/tried SOURCES ${CMAKE_SOURCE_DIR}/tried.cpp\n"
                 "  LINK_LIBRARIES ndtorch::ndtorch)\nmessage(STATUS \"tried: ${tried}\")",
        }.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "CMakeLists.txt").write_text(lines)
        assert "tried: TRUE" in configure("add_subdirectory(a)\nadd_subdirectory(b)\n",
                                          f"-Dpybind11_DIR={pybind11.get_cmake_dir()}")
