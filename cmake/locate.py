"""Prints as JSON where the Python that runs this keeps the packages that ndtorch builds against.

A package that is not installed is missing from the output.
"""

import importlib.util
import json
import pathlib

found = {}

try:
    import numpy
except ImportError:
    pass
else:
    found["numpy"] = {"version": numpy.__version__, "include": numpy.get_include()}

try:
    import pybind11
except ImportError:
    pass
else:
    found["pybind11"] = {"cmake": pybind11.get_cmake_dir()}

# Looked up and not imported: an import takes a second, and loads libraries that the build does not
# need (a CUDA wheel's serve without CUDA, and one Python's serve another).
spec = importlib.util.find_spec("torch")
if spec is not None and spec.origin is not None:
    found["torch"] = {"cmake": str(pathlib.Path(spec.origin).parent / "share" / "cmake" / "Torch")}

print(json.dumps(found))
