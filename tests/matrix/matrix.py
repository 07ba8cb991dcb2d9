"""Builds and runs the tests in each configuration of configurations.ini, and prints a table.

    matrix.py <folder> [--rows name,name] [--jobs N] [--write]

`--write` puts the table into README.md and docs/support.md, which also says what was skipped.

Each configuration has a virtual environment and a build tree of its own in the folder; each LibTorch
is taken out of its wheel once and serves all Pythons. What a row gave is kept there: `--rows` runs
some rows anew, and the table has all that have run. The exit status is 1 where a row failed, or could
not run.
"""

import argparse
import configparser
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))
import shared  # noqa: E402

BEGIN, END = "<!-- begin: make matrix -->", "<!-- end: make matrix -->"
LEFT_OUT = "left out: "
NOTHING = {"result": "not run", "notes": {}}
# Any of them: LibTorch's C++ libraries are the same in all.
WHEELS_OF = "3.11"


class NotRun(Exception):
    """This machine lacks what the row is about."""


class Failed(Exception):
    """The row's build failed."""


def run(command, log, **options):
    """Runs a command and returns what it printed, which goes to the log too."""
    with open(log, "a") as file:
        print("$", *command, file=file, flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              **options)
        file.write(done.stdout)
    return done.returncode, done.stdout


def must(command, log, **options):
    status, output = run(command, log, **options)
    if status:
        raise Failed(f"{pathlib.Path(command[0]).name}: {last_line(output)}")
    return output


def last_line(output):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror: |Error: |Error at ", line)]
    return errors[0] if errors else lines[-1] if lines else "no output"


def find_python(version):
    """An interpreter of this version: on PATH, or pyenv's."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    on_path = shutil.which(f"python{version}")
    for candidate in [on_path, *sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python"))]:
        if candidate is None:
            continue
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True, text=True)
        if asked.stdout.strip() == version:
            return candidate
    raise NotRun(f"no Python {version}")


def pip(python, *arguments):
    return [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]


def make_venv(folder, row, log):
    """A virtual environment with the row's packages; returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        must([find_python(row["python"]), "-m", "venv", str(folder)], log)
    packages = [f"{name}=={row[name]}" for name in ("numpy", "pybind11")]
    if row.getboolean("torch"):
        packages.append(f"torch=={row['libtorch']}")
    must(pip(str(python), "install", *packages), log)
    # It asks for NumPy 2, and runs on 1.26.
    must(pip(str(python), "install", "--no-deps", *test_packages()), log)
    return str(python)


def test_packages():
    """What else the tests import, as pinned."""
    pins = (ROOT / "requirements.txt").read_text().split("\n")
    return [pin for pin in pins if pin.startswith("ml_dtypes==")]


def get_libtorch(folder, version, log):
    """LibTorch's headers and CPU libraries, out of a wheel of PyTorch."""
    prefix = folder / version
    if not (prefix / "complete").exists():
        wheels = prefix / "wheel"
        shutil.rmtree(prefix, ignore_errors=True)
        wheels.mkdir(parents=True)
        must(pip(sys.executable, "download", "--no-cache-dir", "--no-deps", "--only-binary=:all:",
                 f"--python-version={WHEELS_OF}", "--dest", str(wheels), f"torch=={version}"), log)
        (wheel,) = wheels.iterdir()
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            kept = re.compile(
                r"torch/(include|share/cmake)/|torch/lib/lib(c10|torch_cpu|g[a-z]+(-\w+)?)\.so"
                r"|torch\.libs/|torch-[^/]*/METADATA")
            archive.extractall(prefix, [name for name in names if kept.match(name)])
        shutil.rmtree(wheels)
        add_cuda_runtime(prefix, log)
        # A CUDA wheel's own libtorch.so loads the kernels of the device. In a CPU wheel it is this.
        must(["g++", "-shared", "-Wl,--no-as-needed", f"-L{prefix}/torch/lib", "-ltorch_cpu",
              "-o", str(prefix / "torch/lib/libtorch.so")], log)
        (prefix / "complete").touch()
    return prefix / "torch"


def add_cuda_runtime(prefix, log):
    """A CUDA wheel's libtorch_cpu is linked with these two small libraries."""
    (metadata,) = prefix.glob("torch-*/METADATA")
    text = metadata.read_text()
    packages = re.findall(r"^Requires-Dist: (nvidia-cuda-(?:runtime|cupti)-\w+) ?\(?(==[\d.]+)",
                          text, re.MULTILINE)
    toolkit = re.findall(r"^Requires-Dist: (cuda-toolkit)\[.*\](==[\d.]+)", text, re.MULTILINE)
    if packages:
        wanted = ["--no-deps", *("".join(package) for package in packages)]
    elif toolkit:
        wanted = [f"{name}[cudart,cupti]{version}" for name, version in toolkit]
    else:
        return  # a CPU wheel
    must(pip(sys.executable, "install", "--no-cache-dir", "--target", str(prefix), *wanted), log)


def configure(row, python, libtorch, build, log):
    compiler = shutil.which(row["compiler"])
    if compiler is None:
        raise NotRun(f"no {row['compiler']}")
    launcher = shutil.which("ccache")
    command = [
        "cmake", "-S", str(ROOT), "-B", str(build),
        *(["-G", "Ninja"] if shutil.which("ninja") else []),
        f"-DPython_EXECUTABLE={python}", f"-DTorch_DIR={libtorch}/share/cmake/Torch",
        f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_CXX_STANDARD={row['standard']}",
        "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={row['flags']}",
        f"-DCMAKE_CXX_VISIBILITY_PRESET={row['visibility']}",
        f"-DCMAKE_INTERPROCEDURAL_OPTIMIZATION={row['lto']}",
        "-DNDTORCH_BUILD_EXAMPLES=OFF",
        *([f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"] if launcher else []),
    ]
    return run(command, log)


def built_tests(build):
    """What a row can run, and the program of each: GoogleTest's, and the ends of a process."""
    listed = json.loads(subprocess.run(
        ["ctest", "--test-dir", str(build), "--show-only=json-v1"],
        check=True, capture_output=True, text=True).stdout)
    names = [test["name"] for test in listed["tests"]]
    written = {path.stem for path in (ROOT / "tests").rglob("test_*.cpp")}
    return {**{name: f"test_{name}" for name in names if f"test_{name}" in written},
            "ends": "ends"}


def ends(build, log, left_out):
    """How many processes ended, and the names of those that did not end as they have to."""
    excluded = ["-E", f"^({'|'.join(left_out)})$"] if left_out else []
    _, output = run(["ctest", "--test-dir", str(build), "-R", "^ends_", *excluded], log)
    ended = re.findall(r"Test +#\d+: (\w+) \.+ *(.*?) +[\d.]+ sec", output)
    return len(ended), [name for name, how in ended if how != "Passed"]


def count(results):
    """Sums GoogleTest's reports; says why tests were skipped or failed."""
    total, failures, skips = 0, [], {}
    for file in sorted(results.glob("*.json")):
        for suite in json.loads(file.read_text())["testsuites"]:
            for test in suite["testsuite"]:
                total += 1
                if test.get("failures"):
                    failures.append(f"{suite['name']}.{test['name']}")
                elif test.get("result") == "SKIPPED":
                    why = skipped_because(file.with_suffix(".log"), suite["name"], test["name"])
                    skips[why] = skips.get(why, 0) + 1
    return total, failures, skips


def skipped_because(log, suite, name):
    """GoogleTest's report has no reasons; its output has, before the line that ends the test."""
    found = re.search(rf"\[ RUN      \] {suite}\.{name}\n(.*?)\[  SKIPPED \]", log.read_text(),
                      re.DOTALL)
    reason = re.search(r": Skipped\n(.*)", found[1]) if found else None
    return reason[1].strip() if reason else "?"


def run_tests(row, left_out, build, log, jobs):
    programs = built_tests(build)
    names = row["tests"].split() or list(programs)
    unknown = set(names) - set(programs)
    if unknown:
        raise Failed(f"no such tests: {', '.join(sorted(unknown))}")
    must(["cmake", "--build", str(build), "--parallel", str(jobs), "--target",
          *(programs[name] for name in names)], log)
    if row["numpy_run"]:
        python = build.parent / "venv" / "bin" / "python"
        must(pip(str(python), "install", f"numpy=={row['numpy_run']}"), log)
    results = build / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    # `left_out` are sections: which tests, and why.
    patterns = [name for section in left_out for name in section["tests"].split()]
    # An embedded interpreter looks for packages beside the first Python of the PATH, too.
    environment = {**os.environ,
                   "PATH": f"{build.parent / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
                   **({"GTEST_FILTER": "-" + ":".join(patterns)} if patterns else {})}
    ended_badly = []
    for name in names:
        if name == "ends":
            continue
        # One program at a time: each says where its report goes.
        status, output = run(["ctest", "--test-dir", str(build), "-R", f"^{name}$", "--verbose"], log,
                             env={**environment, "GTEST_OUTPUT": f"json:{results}/{name}.json"})
        (results / f"{name}.log").write_text(re.sub(r"^\d+: ", "", output, flags=re.MULTILINE))
        if status and not (results / f"{name}.json").exists():
            ended_badly.append(name)
    total, failures, skips = count(results)
    if "ends" in names:
        number, failed = ends(build, log, [name for name in patterns if name.startswith("ends_")])
        total += number
        failures += failed
    skipped = sum(skips.values())
    result = f"{total - skipped - len(failures)} passed"
    failures += [f"{name} (no report)" for name in ended_badly]
    if skipped:
        result += f", {skipped} skipped"
    if failures:
        result += f", {len(failures)} failed"
    notes = {f"ran some of the {len(programs)} test programs": f"{len(names)}"} if row["tests"] else {}
    notes |= {f"skipped: {why}": f"{number}" for why, number in sorted(skips.items())}
    notes |= {f"left out: {section['because']}": "" for section in left_out}
    notes |= {f"failed: {', '.join(failures)}": ""} if failures else {}
    return {"ok": not failures and total > 0, "result": result, "notes": notes}


def run_row(row, left_out, folder, jobs):
    """What the row gave, as the table says it."""
    place = folder / row.name
    place.mkdir(parents=True, exist_ok=True)
    log = place / "log.txt"
    log.unlink(missing_ok=True)
    try:
        if shutil.which(row["compiler"]) is None:
            raise NotRun(f"no {row['compiler']}")
        python = make_venv(place / "venv", row, log)
        libtorch = get_libtorch(folder / "libtorch", row["libtorch"], log)
        status, output = configure(row, python, libtorch, place / "build", log)
        if row["refused"]:
            if status and row["refused"] in " ".join(output.split()):
                return {"ok": True, "result": "refused", "notes": {f"“{row['refused']}”": ""}}
            raise Failed(f"the build did not say “{row['refused']}”")
        if status:
            raise Failed(f"cmake: {last_line(output)}")
        return run_tests(row, left_out, place / "build", log, jobs)
    except NotRun as reason:
        return {"ok": None, "result": "not run", "notes": {str(reason): ""}}
    except Failed as reason:
        return {"ok": False, "result": "**failed**", "notes": {str(reason): ""}}


def table(rows, results):
    lines = ["| | Python | NumPy | pybind11 | LibTorch | compiler | tests |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        numpy = f"{row['numpy']}, run on {row['numpy_run']}" if row["numpy_run"] else row["numpy"]
        flags = [row["compiler"].replace("clang++", "clang"), f"C++{row['standard']}", row["flags"]]
        flags += ["LTO"] if row.getboolean("lto") else []
        flags += [f"-fvisibility={row['visibility']}"]
        lines.append(f"| {row.name} | {row['python']} | {numpy} | {row['pybind11']} | {row['libtorch']} "
                     f"| {' '.join(flags)} | {results.get(row.name, NOTHING)['result']} |")
    return lines


def remarks(rows, results):
    """What the rows did not run, and why: each remark once, with its rows and how many there."""
    found = {}
    for row in rows:
        for note, number in results.get(row.name, NOTHING)["notes"].items():
            found.setdefault(note, []).append(f"{row.name} {number}".strip())
    return [f"- {note} ({', '.join(where)})" for note, where in found.items()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=lambda name: pathlib.Path(name).absolute())
    parser.add_argument("--rows", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    configurations = configparser.ConfigParser()
    configurations.read(pathlib.Path(__file__).with_name("configurations.ini"))
    rows = [name for name in configurations.sections() if not name.startswith(LEFT_OUT)]
    chosen = arguments.rows.split(",") if arguments.rows else rows
    unknown = set(chosen) - set(rows)
    if unknown:
        parser.error(f"no such rows: {', '.join(sorted(unknown))}")

    arguments.folder.mkdir(parents=True, exist_ok=True)
    kept = arguments.folder / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name in chosen:
        started = time.monotonic()
        row = configurations[name]
        left_out = [configurations[LEFT_OUT + group] for group in row["left_out"].split()]
        results[name] = run_row(row, left_out, arguments.folder, arguments.jobs)
        kept.write_text(json.dumps(results, indent=1))
        print(f"{name}: {results[name]['result']}; {results[name]['notes']} "
              f"({(time.monotonic() - started) / 60:.0f} min)", flush=True)
    configured = [configurations[name] for name in rows]
    lines, notes = table(configured, results), ["", *remarks(configured, results)]
    print("", *lines, *notes, sep="\n")
    if arguments.write:
        shared.put_between(ROOT / "README.md", BEGIN, END, lines)
        shared.put_between(ROOT / "docs" / "support.md", BEGIN, END, lines + notes)
    not_run = [name for name in rows if results.get(name, {"ok": None})["ok"] is None]
    if not_run:
        print(f"\nNot run: {', '.join(not_run)}")
    return int(any(results[name]["ok"] is not True for name in chosen))


if __name__ == "__main__":
    sys.exit(main())
