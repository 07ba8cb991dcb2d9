"""Runs a command, and fails unless it fails with a sanitizer's report that contains TEXT; where TEXT is
empty, unless it passes.

    python expect_report.py TEXT COMMAND...

LeakSanitizer itself crashes now and then while it stops the threads of a process; it is asked again then.
"""

import subprocess
import sys

text, *command = sys.argv[1:]
for _ in range(3):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if "LeakSanitizer has encountered a fatal error" not in done.stdout:
        break
if not text:
    print(done.stdout)
    sys.exit(done.returncode)
if done.returncode == 0 or text not in done.stdout:
    sys.exit(f"{done.stdout}\nNot reported: exit status {done.returncode}, expected: {text}")
print("reported:", next(line for line in done.stdout.splitlines() if text in line))
