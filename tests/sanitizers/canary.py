"""A pytest suite that commits the fault that NDTORCH_FAULT names, in an extension module.

No suite collects it: its name is none of a test's.
"""

import os

import canary_module


def test_canary_commits_its_fault():
    canary_module.commit(os.environ["NDTORCH_FAULT"])
