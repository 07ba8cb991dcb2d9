"""The static checks of `make lint`: all of them run, and any finding fails.

    lint.py <build folder of the preset "lint"> [--jobs N]

clang-tidy's work is kept: a file is checked again when it, a header, a setting or the tool changed.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import time

ROOT = pathlib.Path(__file__).parents[1]
PATH = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])


def tool(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        sys.exit(f"{name} is not installed: python -m pip install -r requirements-dev.txt")
    return found


def run(*command):
    """The exit status and all that was printed."""
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def files(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
        cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout.split("\n")
    return [name for name in listed if name and (ROOT / name).is_file()]


def digest_of(*contents):
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def clang_tidy(build, jobs):
    """Checks each C++ file that the build compiles, as C++17, which all headers have to be."""
    command = [tool("clang-tidy"), "--quiet", "-p", str(build), "--extra-arg=-std=c++17",
               # LibTorch's macros use what is an extension in each standard.
               "--extra-arg=-Wno-c2y-extensions",
               "--removed-arg=-fno-gnu-unique"]  # g++'s alone
    shared = digest_of(
        run(command[0], "--version")[1].encode(),
        *((ROOT / name).read_bytes() for name in files("*.h", "*.clang-tidy", "requirements.txt")))
    commands = json.loads((build / "compile_commands.json").read_text())
    digests = {
        one["file"]: digest_of(shared.encode(), one["command"].encode(),
                               pathlib.Path(one["file"]).read_bytes())
        for one in commands
    }
    kept = build / "clang-tidy.json"
    clean = json.loads(kept.read_text()) if kept.exists() else {}
    todo = [file for file, digest in digests.items() if clean.get(file) != digest]

    findings = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for file, (status, output) in zip(
                todo, pool.map(lambda file: run(*command, file), todo), strict=True):
            if status == 0:
                clean[file] = digests[file]
            else:
                findings.append(output)
            kept.write_text(json.dumps(clean))  # so that a run that was stopped goes on
    return bool(findings), f"{len(digests)} files, {len(todo)} of them anew", "".join(findings)


def on_files(command, *patterns):
    """A check that gets the names of all files of a kind."""
    def check():
        names = files(*patterns)
        status, output = run(tool(command[0]), *command[1:], *names)
        return status != 0, f"{len(names)} files", output
    return check


def warnings(build, jobs):
    """Our headers as a user's own, not as a system's: see tests/compile/CMakeLists.txt."""
    status, output = run(tool("cmake"), "--build", str(build), "--target", "compile_checks",
                         "--parallel", str(jobs))
    return status != 0, "g++ and clang++ where found, C++17 and C++20", output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=lambda name: pathlib.Path(name).absolute())
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    checks = {
        "clang-format": on_files(["clang-format", "--dry-run", "-Werror"], "*.h", "*.cpp"),
        "ruff": on_files(["ruff", "check", "--quiet"], "*.py"),
        "shellcheck": on_files(["shellcheck"], "*.sh", ".ci/run"),
        "compiler warnings": lambda: warnings(arguments.build, arguments.jobs),
        "clang-tidy": lambda: clang_tidy(arguments.build, arguments.jobs),
    }
    any_failed = False
    for name, check in checks.items():
        started = time.monotonic()
        failed, what, output = check()
        if failed:
            print(output.rstrip())
        result = "FAILED" if failed else "clean"
        print(f"{name}: {result} ({what}, {time.monotonic() - started:.0f} s)", flush=True)
        any_failed |= failed
    return int(any_failed)


if __name__ == "__main__":
    sys.exit(main())
