"""Compares the instructions that the hot paths execute with those that are committed.

    hot_paths.py [--update] <program>

Counted by callgrind, so a busy machine changes nothing. What does change the counts is another
compiler, Python, NumPy, LibTorch or C library: instruction_counts.json names those it was made
with. `--update` writes it anew, after a change that is meant.
"""

import argparse
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import numpy
import torch

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tools"))
import shared

COUNTS = pathlib.Path(__file__).with_name("instruction_counts.json")
CALLS = 1000  # as in hot_paths.cpp
MARGIN = 0.05


def count(program):
    """Instructions per call of each path."""
    environment = shared.embedded_environment(PYTHONHASHSEED="0")
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory, "out")
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={out}", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        counts = {}
        for dump in sorted(out.parent.glob("out.*")):
            text = dump.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)[1]
            total = re.search(r"^totals: (\d+)$", text, re.MULTILINE)[1]
            counts[name] = round(int(total) / CALLS)
    return counts


def made_with(program):
    compiler = json.loads(pathlib.Path(program).with_name("compiler.json").read_text())
    return {
        "machine": platform.machine(),
        "compiler": compiler["name"],
        "C library": " ".join(platform.libc_ver()),
        "Python": platform.python_version(),
        "NumPy": numpy.__version__,
        "LibTorch": torch.__version__.partition("+")[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", help="the built hot_paths")
    parser.add_argument("--update", action="store_true", help="write instruction_counts.json anew")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("hot_paths.py: no valgrind found (apt-get install valgrind)")

    counts = count(arguments.program)
    here = made_with(arguments.program)
    if arguments.update:
        text = json.dumps({"made with": here, "instructions per call": counts}, indent=2)
        COUNTS.write_text(text + "\n")
        print(text)
        return

    committed = json.loads(COUNTS.read_text())
    before = committed["instructions per call"]
    worse, better = [], []
    for name in before.keys() | counts.keys():
        if counts.get(name, float("inf")) > before.get(name, 0) * (1 + MARGIN):
            worse.append(name)
        elif counts[name] < before[name] * (1 - MARGIN):
            better.append(name)
    print(f"{'instructions per call':24}{'committed':>12}{'now':>12}{'change':>10}")
    for name in [*before, *(counts.keys() - before.keys())]:
        old, new = before.get(name), counts.get(name)
        change = f"{new / old - 1:+.1%}" if old and new else "-"
        mark = "  more than the margin" if name in worse else ""
        print(f"{name:24}{old or '-':>12}{new or '-':>12}{change:>10}{mark}")
    other = [f"{key} {here[key]} (committed: {value})"
             for key, value in committed["made with"].items() if here[key] != value]
    if other and (worse or better):
        print("The committed counts were made with other versions, which changes them too: "
              + ", ".join(other))
    if better:
        print("Fewer than committed: commit what `make bench-guard UPDATE=1` writes, so that they "
              "stay.")
    if worse:
        sys.exit("More instructions than committed. Where that is meant: make bench-guard UPDATE=1")


if __name__ == "__main__":
    main()
