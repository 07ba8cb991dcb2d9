"""Whether the files say of a release what they have to: the quick part of `make release-check`.

    release.py [tag]        the tag that is to be published, such as v1.2.3
"""

import re
import subprocess
import sys

from shared import ROOT, version


def problems(changelog, citation, tag, dirty):
    """What is in the way of releasing version(), as sentences."""
    number = version()
    if tag and tag != f"v{number}":
        yield f"the tag is {tag}, and include/ndtorch/version.h says {number}"
    if f"\nversion: {number}\n" not in citation:
        yield f"CITATION.cff doesn't name version {number}"
    sections = re.findall(r"^## \[(.*?)\]( - \d{4}-\d{2}-\d{2})?$", changelog, re.MULTILINE)
    named = [name for name, _ in sections]
    if "Unreleased" in named and re.search(r"^## \[Unreleased\]\s+(?!## )\S", changelog, re.MULTILINE):
        yield "CHANGELOG.md has entries under [Unreleased]: give them a version and a date"
    if not any(name == number and date for name, date in sections):
        yield f"CHANGELOG.md has no section [{number}] with a date"
    if dirty:
        yield "not committed: " + ", ".join(dirty)


def main():
    dirty = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, check=True, text=True,
                           stdout=subprocess.PIPE).stdout.split("\n")
    found = list(problems((ROOT / "CHANGELOG.md").read_text(), (ROOT / "CITATION.cff").read_text(),
                          "".join(sys.argv[1:]), [line[3:] for line in dirty if line]))
    for problem in found:
        print("release:", problem)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
