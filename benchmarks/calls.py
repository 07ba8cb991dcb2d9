"""Times whole calls from Python: ndtorch's functions beside those that a user would pick instead.

    calls.py small | large | parts | peak | imports | compile

Each part prints a JSON object {row: {who: [one value a round]}}, in seconds or in bytes. In each
round all of a row's functions take turns, so that whatever else the machine does falls on all of
them; report.py divides round by round. PYTHONPATH has to name the folder of the built modules.
"""

import argparse
import importlib.util
import json
import mmap
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import timeit

BUILT = pathlib.Path(importlib.util.find_spec("calls_ndtorch").origin).parent


def interleave(rows, rounds, warm_up=True):
    """Calls the functions of each row in turns: {row: {who: [what it returned in each round]}}."""
    values = {}
    for row, functions in rows.items():
        for function in functions.values() if warm_up else ():
            function()
        values[row] = {who: [] for who in functions}
        order = list(functions)
        for _ in range(rounds):
            for who in order:
                values[row][who].append(functions[who]())
            order = order[1:] + order[:1]
    return values


def small():
    """Calls of a microsecond. In CPU time, which a busy machine distorts less."""
    import numpy as np
    import torch
    import tvm_ffi

    import calls_by_hand
    import calls_nanobind
    import calls_ndtorch

    library = tvm_ffi.load_module(str(BUILT / "calls_tvm_ffi.so"))
    a = np.ones(1000, "float32")
    t = torch.ones(1000)
    matrix = np.ones((4, 4), "float32")

    def timed(function, *arguments, statement=None, calls=10_000):
        names = [f"argument{i}" for i in range(len(arguments))]
        scope = dict(zip(["function", *names], [function, *arguments], strict=True),
                     from_dlpack=np.from_dlpack)
        local = "; ".join(f"{name.lstrip('_')} = _{name}" for name in scope)  # faster than globals
        timer = timeit.Timer(
            statement or f"function({', '.join(names)})", local, time.thread_time,
            {f"_{name}": value for name, value in scope.items()})
        return lambda: timer.timeit(calls) / calls

    def of_each(name, *arguments, **modules):
        return {who.replace("_", " "): timed(getattr(module, name), *arguments)
                for who, module in modules.items()}

    ours = {"ndtorch": calls_ndtorch}
    all_three = {**ours, "nanobind": calls_nanobind, "by_hand": calls_by_hand}
    return interleave(
        {
            "call empty": of_each("empty", **ours, nanobind=calls_nanobind),
            "call argument": {
                **of_each("take", a, **all_three),
                "nanobind, NumPy only": timed(calls_nanobind.take_numpy, a),
                "py::array_t": timed(calls_by_hand.take_array, a)},
            "call result": of_each("give", **all_three),
            "call array to array": {
                **of_each("pass", a, **all_three),
                "tvm-ffi": timed(library["pass"], a, statement="from_dlpack(function(argument0))")},
            "call from_numpy": {
                **of_each("from_numpy", a, **ours), "torch.from_numpy": timed(torch.from_numpy, a)},
            "call numpy": {**of_each("give", **ours), "Tensor.numpy": timed(t.numpy)},
            "call 4x4": {
                **of_each("tensor", matrix, **ours), "torch.tensor": timed(torch.tensor, matrix)},
        },
        rounds=7)


def large_arrays():
    """{kind: a NumPy array of 64 MB}, each made without a temporary array."""
    import numpy as np

    count = 16 << 20
    transposed = np.ones((4096, 4096), "float32").T
    bytes_ = np.empty(4 * count + 1, "uint8")
    unaligned = bytes_[1:].view("float32")
    unaligned[...] = 1
    return {
        "float32": np.ones(count, "float32"),
        "negative": np.ones(count, "float32")[::-1],
        "swapped": np.ones(count, ">f4"),
        "transposed": transposed,
        "unaligned": unaligned,
        "int64": np.ones(count, "int64"),
    }


def large():
    """Copies of 64 MB and more, by the clock on the wall: some of them use all cores."""
    import numpy as np
    import torch

    import calls_ndtorch as ours

    def timed(call, calls=1):
        timer = timeit.Timer(call, timer=time.perf_counter)
        return lambda: timer.timeit(calls) / calls

    a = large_arrays()
    arrays = [np.ones(1000, "float32") for _ in range(1000)]
    return interleave(
        {
            "copy": {
                "ndtorch": timed(lambda: ours.tensor(a["float32"])),
                "torch.tensor": timed(lambda: torch.tensor(a["float32"])),
                "np.copy": timed(lambda: np.copy(a["float32"]))},
            "copy int64 to float32": {
                "ndtorch": timed(lambda: ours.tensor_float(a["int64"])),
                "torch.tensor": timed(lambda: torch.tensor(a["int64"], dtype=torch.float32)),
                "astype": timed(lambda: a["int64"].astype("float32")),
                "ndtorch::Tensor": timed(lambda: ours.Tensor(a["int64"])),
                "torch.Tensor": timed(lambda: torch.Tensor(a["int64"]))},
            "copy negative": {
                "ndtorch": timed(lambda: ours.tensor(a["negative"])),
                "np.copy": timed(lambda: np.copy(a["negative"]))},
            "copy swapped": {
                "ndtorch": timed(lambda: ours.tensor(a["swapped"])),
                "astype": timed(lambda: a["swapped"].astype("float32"))},
            "copy transposed": {
                "ndtorch": timed(lambda: ours.tensor(a["transposed"])),
                "torch.tensor": timed(lambda: torch.tensor(a["transposed"])),
                "np.copy": timed(lambda: np.copy(a["transposed"], order="K"))},
            "copy unaligned": {
                "ndtorch": timed(lambda: ours.tensor(a["unaligned"])),
                "np.copy": timed(lambda: np.copy(a["unaligned"], order="K"))},
            "copy list": {
                "ndtorch": timed(lambda: ours.tensor(arrays), calls=5),
                "torch.tensor": timed(lambda: torch.tensor(np.stack(arrays)), calls=5)},
        },
        rounds=25)


def parts():
    """What large copies consist of: rows of CPU time in the program and in the kernel, of time on the wall,
    and of page faults. Two of the parts, fresh memory and a copy without it, stand alone too."""
    import numpy as np
    import torch

    import calls_ndtorch as ours

    a = large_arrays()
    kept, kept_array = torch.ones(len(a["float32"])), np.ones_like(a["float32"])
    shared = torch.from_numpy(a["float32"])

    def touch(advice):
        """Memory of 64 MB, aligned as huge pages ask, and one byte written to each small page."""
        size, huge_page = a["float32"].nbytes, 2 << 20
        with mmap.mmap(-1, size + huge_page, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.madvise(advice)
            pages = np.frombuffer(memory, "uint8")
            start = -pages.ctypes.data % huge_page
            pages[start:start + size:mmap.PAGESIZE] = 1
            del pages

    def measured(call):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        call()
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        return {"program": after.ru_utime - before.ru_utime, "kernel": after.ru_stime - before.ru_stime,
                "wall": wall, "faults": after.ru_minflt - before.ru_minflt}

    ways = {
        "`tensor(a)`": lambda: ours.tensor(a["float32"]),
        "`torch.tensor`": lambda: torch.tensor(a["float32"]),
        "`np.copy`": lambda: np.copy(a["float32"]),
        "`tensor(a)`, byte-swapped": lambda: ours.tensor(a["swapped"]),
        "`astype`, byte-swapped": lambda: a["swapped"].astype("float32"),
        "only fresh memory, small pages": lambda: touch(mmap.MADV_NOHUGEPAGE),
        "only fresh memory, huge pages": lambda: touch(mmap.MADV_HUGEPAGE),
        "only the copy, `np.copyto`": lambda: np.copyto(kept_array, a["float32"]),
        "only the copy, `Tensor.copy_`": lambda: kept.copy_(shared),
        "only the copy, `np.copyto`, byte-swapped": lambda: np.copyto(kept_array, a["swapped"]),
    }
    done = interleave(
        {"": {way: lambda call=call: measured(call) for way, call in ways.items()}}, rounds=25)
    return {f"part {name}": {way: [one[name] for one in rounds] for way, rounds in done[""].items()}
            for name in ["program", "kernel", "wall", "faults"]}


def memory(key):
    """VmRSS or VmHWM (its high-water mark) of this process, in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {key} in /proc/self/status")


def peak():
    """How far a copy raises the process's high-water mark, each kind in a process of its own."""
    kinds = ["float32", "int64", "negative", "swapped", "transposed", "unaligned", "list"]
    return interleave(
        {f"peak {kind}": {"ndtorch": lambda kind=kind: in_new_process("peak_of", kind),
                          "the result": lambda: 64 << 20} for kind in kinds},
        rounds=2, warm_up=False)


def peak_of(kind):
    import calls_ndtorch as ours

    array = large_arrays()["float32" if kind == "list" else kind]
    if kind == "list":
        array = list(array.reshape(1024, -1))
    copy = ours.keep_float if kind == "int64" else ours.keep
    copy(array[:2])  # what the first call of a process sets up
    before = memory("VmRSS")
    # A mark from before the copy would hide a part of it.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    kept = copy(array)  # noqa: F841
    return memory("VmHWM") - before


def imports():
    """The CPU time of `import x` in a new process that has imported NumPy already."""
    return interleave(
        {"import": {"ndtorch": lambda: in_new_process("import_of", "calls_ndtorch"),
                    "torch": lambda: in_new_process("import_of", "torch")}},
        rounds=7)


def import_of(name):
    import numpy  # noqa: F401 (both need it, so it is nobody's cost)

    start = time.process_time()
    __import__(name)
    return time.process_time() - start


def in_new_process(function, argument):
    command = [sys.executable, __file__, function, argument]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def compile_():
    """The CPU time of the compiler on a module that includes this and defines nothing."""
    compiler = json.loads((BUILT / "compiler.json").read_text())["path"]
    environment = dict(os.environ, CCACHE_DISABLE="1")
    headers = {
        "ndtorch": ["ndtorch/ndtorch.h"],
        "pybind11 and ATen": ["pybind11/numpy.h", "ATen/core/Tensor.h"],
        "torch/extension.h": ["torch/extension.h"],
    }

    def timed(directory, name):
        source = pathlib.Path(directory, "module.cpp")
        text = "".join(f"#include <{header}>\n" for header in headers[name])
        source.write_text(text + "PYBIND11_MODULE(module, m) { m.doc() = \"\"; }\n")
        flags = BUILT / "compile_flags.txt"
        command = [compiler, f"@{flags}", "-c", str(source), "-o", f"{source}.o"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    with tempfile.TemporaryDirectory() as directory:
        return interleave(
            {"compile": {name: lambda name=name: timed(directory, name) for name in headers}},
            rounds=3, warm_up=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    measures = {"small": small, "large": large, "parts": parts, "peak": peak, "imports": imports,
                "compile": compile_}
    inner = {"peak_of": peak_of, "import_of": import_of}
    parser.add_argument("part", choices=[*measures, *inner])
    parser.add_argument("argument", nargs="?", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part in inner:
        print(inner[arguments.part](arguments.argument))
    else:
        json.dump(measures[arguments.part](), sys.stdout)


if __name__ == "__main__":
    main()
