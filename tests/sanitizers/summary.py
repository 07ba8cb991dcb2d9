"""Prints what ctest ran under the sanitizers, and fails unless all of it passed without a finding.

    python summary.py RESULTS.xml...    as `ctest --output-junit` writes them, one for each build
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

REPORT = re.compile(r"ERROR: (?:Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer")
PASSED = re.compile(r"^\[  PASSED  \] (\d+) test|^(\d+) passed", re.MULTILINE)

failed = []
total_findings = 0
print(f"\n{'build':12}{'tests passed':>14}{'findings':>10}{'faults reported':>17}")
for path in map(pathlib.Path, sys.argv[1:]):
    tests = findings = reported = faults = 0
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name")
        if case.get("status") != "run":
            failed.append(f"{path.parent.name}: {name}")
        output = case.findtext("system-out") or ""
        if name.startswith("canary."):
            faults += not name.endswith(".nothing")
            reported += "\nreported: " in "\n" + output
            continue
        findings += len(REPORT.findall(output))
        counts = [int(a or b) for a, b in PASSED.findall(output)]
        tests += sum(counts) if counts else case.get("status") == "run"
    print(f"{path.parent.name:12}{tests:14}{findings:10}{reported:12} of {faults}")
    total_findings += findings
    if tests == 0 or reported == 0 or reported != faults:
        failed.append(f"{path.parent.name}: its sanitizers are not at work")
for one in failed:
    print("failed:", one)
sys.exit(bool(failed or total_findings))
