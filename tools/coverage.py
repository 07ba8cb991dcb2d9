"""Prints how much of include/ the tests ran, and fails where a line that none ran has no reason.

    coverage.py <build folder of the preset "coverage"> <list of uncovered lines>

The list has each such line as "file: code" under a comment that says why no test runs it. A line that
is not in the list fails, and so does one of the list that is covered, or isn't there any more.
"""

import collections
import json
import pathlib
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).parents[1]
INCLUDE = ROOT / "include" / "ndtorch"


def gcovr(build):
    """What gcovr counted, as JSON; its table is printed, and the pages with the lines are written."""
    report = build / "report"
    report.mkdir(exist_ok=True)
    subprocess.run(
        [pathlib.Path(sysconfig.get_path("scripts"), "gcovr"), "--root", ROOT,
         "--filter", f"{INCLUDE}/", "--exclude-throw-branches",
         "--exclude-unreachable-branches", "--merge-lines", "--print-summary",
         "--json", report / "coverage.json", "--html-details", report / "index.html",
         "--txt", "-"],
        cwd=build, check=True)
    return json.loads((report / "coverage.json").read_text())


def uncovered(report):
    """The lines that no test ran, as (file, code), with their numbers."""
    found = collections.defaultdict(list)
    for file in report["files"]:
        path = ROOT / file["file"]
        source = path.read_text().splitlines()
        name = path.relative_to(INCLUDE).as_posix()
        ran = collections.Counter()  # a line of a template stands there once for each instance
        for line in file["lines"]:
            if not line.get("gcovr/excluded"):
                ran[line["line_number"]] += line["count"]
        for number, count in ran.items():
            code = source[number - 1].strip()
            # A closing bracket alone is what runs at the end of a scope when an exception passes.
            if count == 0 and code.strip("(){}; "):
                found[name, code].append(number)
    return found


def read_list(path):
    """How often the list has each (file, code). A line before the first comment is an error."""
    listed = collections.Counter()
    reason = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("#"):
            reason = True
        elif not line.strip():
            reason = False
        elif not reason:
            sys.exit(f"{path}:{number}: no comment above says why")
        else:
            file, code = line.split(": ", 1)
            listed[file, code] += 1
    return listed


def main():
    build, path = (pathlib.Path(argument).absolute() for argument in sys.argv[1:])
    found = uncovered(gcovr(build))
    listed = read_list(path)
    wrong = 0
    for (file, code), numbers in sorted(found.items(), key=lambda item: (item[0][0], item[1])):
        if len(numbers) > listed[file, code]:
            wrong += 1
            where = ", ".join(map(str, numbers))
            print(f"not covered, and without a reason: {file}: {code}    (line {where})")
    for (file, code), count in listed.items():
        if len(found.get((file, code), [])) < count:
            wrong += 1
            print(f"listed, but covered or gone: {file}: {code}")
    print(f"{sum(map(len, found.values()))} lines are not covered, {sum(listed.values())} have a "
          f"reason in {path.relative_to(ROOT)}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
