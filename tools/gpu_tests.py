"""Runs the tests' cases for a GPU and says how many ran; fails where one fails, and where none ran.

    gpu_tests.py <folder of the built tests>
"""

import collections
import pathlib
import re
import subprocess
import sys

import shared

# The programs with cases for a GPU, which are in suites whose names start with "gpu/".
PROGRAMS = ["device", "transfer", "device_streams", "to_numpy_async", "gpu_exchange"]
TIMEOUT = 150  # seconds for each

RESULT = re.compile(r"^\[ *(OK|SKIPPED|FAILED) *\] (gpu/\S+?),? .*\(\d+ ms\)$")
REASON = re.compile(r"^\S+: Skipped\n(.*)$", re.MULTILINE)


def results(output):
    """{case: its result, and where it was skipped why}, of what a GoogleTest program printed."""
    found, said = {}, []
    for line in output.splitlines():
        match = RESULT.match(line)
        if match:
            reason = REASON.search("\n".join(said))
            found[match[2]] = (match[1], reason[1] if reason else "")
        if match or line.startswith("[ RUN "):
            said = []
        else:
            said.append(line)
    return found


def run(program):
    """The cases of one program, and what it printed if it failed."""
    # The interpreter inside finds what this one finds; pinned memory is the GPU's.
    environment = shared.embedded_environment(NDTORCH_TESTS_WITHOUT_INVERTED="1")
    try:
        done = subprocess.run(
            [program, "--gtest_filter=gpu/*"], env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        return results(output), f"{output}\nstopped after {TIMEOUT} s"
    if done.returncode:
        return results(done.stdout), f"{done.stdout}\nexit status {done.returncode}"
    return results(done.stdout), ""


def summarize(programs):
    """What to print of {name: (its cases, what went wrong)}, and the exit status."""
    lines, skipped, ran, failed = [], collections.Counter(), 0, []
    for name, (cases, wrong) in programs.items():
        counts = collections.Counter(result for result, _ in cases.values())
        skipped.update(reason for result, reason in cases.values() if result == "SKIPPED")
        ran += counts["OK"] + counts["FAILED"]
        lines.append(f"test_{name}: {counts['OK']} passed, {counts['FAILED']} failed, "
                     f"{counts['SKIPPED']} skipped")
        if wrong or counts["FAILED"] or not cases:
            failed.append(name)
            lines.append(wrong or "it has no case for a GPU")
    lines += [f"skipped {count}: {reason}" for reason, count in skipped.most_common()]
    if failed:
        return [*lines, f"FAILED: {', '.join(failed)}"], 1
    if not ran:
        reasons = ", ".join(skipped)
        return [f"No test ran on a GPU: all {skipped.total()} cases were skipped ({reasons})."], 1
    return [*lines, f"{ran} cases ran on a GPU and passed, {skipped.total()} were skipped."], 0


def main():
    built = pathlib.Path(sys.argv[1]).resolve()
    lines, status = summarize({name: run(built / f"test_{name}") for name in PROGRAMS})
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
