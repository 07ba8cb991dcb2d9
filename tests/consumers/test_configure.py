"""What CMake says and does when a project asks for ndtorch; nothing is compiled."""

import re
import textwrap

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

    def test_leaves_a_project_alone_that_does_without(self, configure, bare_environment):
        printed = configure("""
            find_package(ndtorch CONFIG QUIET)
            message(STATUS "found: ${ndtorch_FOUND}")
        """, environment=bare_environment)
        assert re.search("found: (0|FALSE)", printed)
        assert "not installed" not in printed


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

    def test_that_is_too_old_is_refused(self, configure, torch_dir):
        printed = unwrapped(configure(FIND, f"-DTorch_DIR={torch_dir(version='2.9.1')}", status=1))
        assert "needs LibTorch 2.10 or newer" in printed
        assert "Found LibTorch 2.9.1" in printed

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
          foreach(property INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_FEATURES LINK_LIBRARIES)
            get_target_property(value ndtorch::${{target}} INTERFACE_${{property}})
            message(STATUS "${{target}} ${{property}}: ${{value}}")
          endforeach()
        endforeach()
    """
    FILES = (ROOT / "CMakeLists.txt", *(ROOT / "cmake" / f"ndtorch_{name}.cmake" for name in (
        "add_module", "find_dependencies", "find_torch", "install")))
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
