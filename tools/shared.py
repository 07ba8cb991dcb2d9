"""What scripts of several folders share."""

import os
import pathlib
import platform
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).parents[1]


def version(header=ROOT / "include/ndtorch/version.h"):
    """The one that a version.h says, as 1.2.3."""
    return ".".join(re.findall(r"#define NDTORCH_VERSION_\w+ (\d+)", header.read_text()))


def embedded_environment(**more):
    """For a program whose interpreter is to find what this one finds."""
    return dict(os.environ, PYTHONHOME=sys.base_prefix, PYTHONPATH=os.pathsep.join(sys.path[1:]), **more)


def cpu():
    """The CPU's name, and how many cores there are for this process."""
    names = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def ratio(ours, peers):
    """The median of ours over the peer's, round by round, and the quartiles around it."""
    ratios = [a / b for a, b in zip(ours, peers, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, [low, high]


def put_between(page, begin, end, lines):
    """Replaces what a page has between two marks."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    page.write_text("\n".join([before + begin, "", *lines, "", end + after]), encoding="utf-8")
