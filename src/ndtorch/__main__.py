"""What a compiler or CMake needs to know of ndtorch. A plain g++ builds an extension with

g++ -O2 -shared -fPIC first.cpp $(python -m ndtorch --cflags --ldflags) -o first.so
"""

import argparse
import importlib.util
import pathlib
import re
import sys
import sysconfig

from . import __version__, get_cmake_dir, get_include


def _missing(package: str) -> SystemExit:
    return SystemExit(f"ndtorch: {sys.executable} has no {package}. Install it with pip.")


def _torch() -> pathlib.Path:
    # Looked up and not imported: that takes a second, and can fail without a GPU's libraries.
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise _missing("torch")
    return pathlib.Path(spec.origin).parent


def _includes() -> list[str]:
    try:
        import numpy
        import pybind11
    except ModuleNotFoundError as error:
        raise _missing(error.name or str(error)) from None
    except Exception as error:
        text = next(filter(None, map(str.strip, str(error).split("\n"))), "")
        raise SystemExit(f"ndtorch: in {sys.executable} a package can't be imported: "
                         f"{type(error).__name__}: {text}") from None
    torch = _torch() / "include"
    python = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    # LibTorch has a copy of pybind11, mostly of another version, so it comes last.
    folders = [pybind11.get_include(), *sorted(python), numpy.get_include(), torch]
    folders.append(torch / "torch" / "csrc" / "api" / "include")
    return [f"-I{get_include()}", *(f"-isystem{folder}" for folder in folders)]


def _cflags() -> list[str]:
    config = (_torch() / "share" / "cmake" / "Torch" / "TorchConfig.cmake").read_text()
    standard = re.search(r"(?:CXX_STANDARD |cxx_std_)(\d+)", config)
    abi = re.search(r"_GLIBCXX_USE_CXX11_ABI=[01]", config)
    return [
        f"-std=c++{standard[1] if standard else 17}",
        "-fvisibility=hidden",
        *([f"-D{abi[0]}"] if abi else []),
        *_includes(),
    ]


def _ldflags() -> list[str]:
    lib = _torch() / "lib"
    libraries = ["-Wl,--push-state,--no-as-needed", "-ltorch", "-Wl,--pop-state", "-ltorch_cpu", "-lc10"]
    return [f"-L{lib}", f"-Wl,-rpath,{lib}", *libraries]


def _print(flags: list[str]) -> None:
    # Without quotes: a shell reads none in what comes out of $(...), but splits it, and looks for files
    # of such names.
    for flag in flags:
        if re.search(r"[ \t\n*?[]", flag):
            raise SystemExit(
                f"ndtorch: a shell would take {flag} apart where it comes out of $(...). Build with CMake, "
                "or in a virtual environment whose path has neither a blank nor any of *?[")
    print(*flags)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ndtorch", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--cmakedir", action="store_true", help="the folder of ndtorchConfig.cmake")
    parser.add_argument("--includes", action="store_true",
                        help="-I flags for ndtorch, pybind11, Python, NumPy and LibTorch")
    parser.add_argument("--cflags", action="store_true",
                        help="the same, and the C++ standard and visibility")
    parser.add_argument("--ldflags", action="store_true", help="flags that link LibTorch")
    arguments = parser.parse_args()
    if not any(vars(arguments).values()):
        parser.print_help()
        parser.exit(2)
    if arguments.cmakedir:
        print(get_cmake_dir())
    flags = _cflags() if arguments.cflags else _includes() if arguments.includes else []
    if arguments.ldflags:
        flags += _ldflags()
    if flags:
        _print(flags)


if __name__ == "__main__":
    main()
