"""Measures everything: `conversions` and the parts of calls.py, into one JSON file for report.py.

    run.py <folder of the built programs> <results.json>

What takes a microsecond depends on where a process happens to have its code and its memory, so that
is measured in several processes, and each one's values are rounds of their own.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tools"))
import shared

CALLS = pathlib.Path(__file__).with_name("calls.py")
MIN_TIME = 0.04  # seconds for each C++ benchmark in each process


def conversions(built):
    """{row: {who: [seconds]}} of one process."""
    environment = shared.embedded_environment()
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory, "out.json")
        done = subprocess.run(
            [built / "conversions", f"--benchmark_out={out}", f"--benchmark_min_time={MIN_TIME}"],
            env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        times = {}
        for benchmark in json.loads(out.read_text())["benchmarks"]:
            row, who, *how = benchmark["name"].split("/")
            assert benchmark["time_unit"] == "ns"
            time = "real_time" if "manual_time" in how else "cpu_time"
            times.setdefault(row, {})[who] = [benchmark[time] * 1e-9]
        return times


def calls(built, part):
    environment = dict(os.environ, PYTHONPATH=str(built))
    done = subprocess.run(
        [sys.executable, CALLS, part], check=True, env=environment, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def machine(built):
    def package(name):
        return f"{name} {importlib.metadata.version(name)}"

    return {
        "date": datetime.date.today().isoformat(),
        "CPU": shared.cpu(),
        "software": [
            f"Python {platform.python_version()}",
            *map(package, ["torch", "numpy", "pybind11", "nanobind", "apache-tvm-ffi"]),
            json.loads((built / "compiler.json").read_text())["name"],
        ],
    }


def main():
    built, output = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    values = {}
    steps = [
        ("conversions in C++", 15, lambda: conversions(built)),
        ("calls from Python", 5, lambda: calls(built, "small")),
        ("large copies", 1, lambda: calls(built, "large")),
        ("what large copies consist of", 1, lambda: calls(built, "parts")),
        ("peak memory", 1, lambda: calls(built, "peak")),
        ("imports", 1, lambda: calls(built, "imports")),
        ("compile times", 1, lambda: calls(built, "compile")),
    ]
    for name, processes, measure in steps:
        print(f"Measuring {name}", file=sys.stderr, flush=True)
        for _ in range(processes):
            for row, times in measure().items():
                for who, rounds in times.items():
                    values.setdefault(row, {}).setdefault(who, []).extend(rounds)
    output.write_text(json.dumps({"machine": machine(built), "values": values}))


if __name__ == "__main__":
    main()
