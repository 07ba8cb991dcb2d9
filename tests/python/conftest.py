"""The scripts of the repository can be imported by their names."""

import sys

from support import ROOT

sys.path += [str(ROOT / "benchmarks"), str(ROOT / "tools")]
