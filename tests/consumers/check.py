"""Imports the module `consumer` from a folder, calls it, and prints as JSON what came of it.

check.py <folder> [<module to import before it>]
"""

import importlib
import json
import sys

folder, *before = sys.argv[1:]
sys.path.insert(0, folder)
for name in before:
    importlib.import_module(name)
consumer = importlib.import_module("consumer")
found = {"file": consumer.__file__, "imports_torch": "torch" in sys.modules}

import numpy as np  # noqa: E402  # after the module, which has to do without it

array = np.arange(6, dtype="float32").reshape(2, 3)
consumer.add_one(array[:, ::2])
found["written"] = array.tolist()
result = consumer.twice(array)
found["returned"] = [str(result.dtype), result.tolist()]
try:
    consumer.add_one(array.astype("float64"))
except TypeError as error:
    found["refused"] = str(error).splitlines()[0]
found |= {name: getattr(consumer, name) for name in ("ndtorch", "pybind11", "standard")}

import torch  # noqa: E402

try:
    squares = consumer.squares(torch.ones(2, requires_grad=True))
    found["gradient"] = "kept" if squares.requires_grad else "lost"
except RuntimeError as error:
    found["gradient"] = str(error)
print(json.dumps(found))
