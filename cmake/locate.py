"""Prints as JSON where the Python that runs this keeps the packages that ndtorch builds against.

A package that is not installed is missing from the output, and of one that can't be imported there is
the error. The line begins with a word of its own, since packages may print too.
"""

import importlib.util
import json
import pathlib


def ask(name, facts):
    """What the package says of itself."""
    try:
        return {name: facts(importlib.import_module(name))}
    except BaseException as error:  # whatever it raises, it is no reason for the configure step to crash
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return {}
        lines = str(error).split("\n")
        text = next((line.strip() for line in lines if line.strip()), "")
        return {name: {"error": f"{type(error).__name__}: {text}"}}


def find_torch():
    """Looked up and not imported: an import takes a second, and loads libraries that the build does not
    need (a CUDA wheel's serve without CUDA, and one Python's serve another)."""
    try:
        spec = importlib.util.find_spec("torch")
    except ValueError:  # something put a module without a description in its place
        spec = None
    if spec is None or spec.origin is None:
        return {}
    return {"torch": {"cmake": str(pathlib.Path(spec.origin).parent / "share" / "cmake" / "Torch")}}


found = {
    **ask("numpy", lambda numpy: {"version": numpy.__version__, "include": numpy.get_include()}),
    **ask("pybind11", lambda pybind11: {"cmake": pybind11.get_cmake_dir()}),
    **find_torch(),
}
print(f"\nndtorch: {json.dumps(found)}")
