"""Tests of what `make test-gpu` and `make bench-gpu` make of what they see."""

import importlib.util
import os
import subprocess

import pytest

import gpu
import gpu_tests
from support import ROOT, run_python

PRINTED = """\
[ RUN      ] gpu/copies.go_there/cuda_0
[       OK ] gpu/copies.go_there/cuda_0 (12 ms)
[ RUN      ] gpu/copies.come_back/cuda_0
a.cpp:7: Failure
no
[  FAILED  ] gpu/copies.come_back/cuda_0, where GetParam() = "cuda:0" (3 ms)
[ RUN      ] gpu/copies.go_there/cuda_1
a.h:32: Skipped
no such GPU
[  SKIPPED ] gpu/copies.go_there/cuda_1 (0 ms)
[==========] 3 tests from 1 test suite ran. (15 ms total)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] gpu/copies.go_there/cuda_1
[  FAILED  ] gpu/copies.come_back/cuda_0, where GetParam() = "cuda:0"
"""
CASES = {
    "gpu/copies.go_there/cuda_0": ("OK", ""),
    "gpu/copies.come_back/cuda_0": ("FAILED", ""),
    "gpu/copies.go_there/cuda_1": ("SKIPPED", "no such GPU"),
}


def test_each_case_and_its_reason_is_read():
    assert gpu_tests.results(PRINTED) == CASES


@pytest.mark.parametrize("results, wrong, last, status", [
    (["OK", "SKIPPED"], "", "1 cases ran on a GPU and passed, 1 were skipped.", 0),
    (["OK", "FAILED"], "", "FAILED: copies", 1),
    (["OK"], "exit status -11", "FAILED: copies", 1),
    ([], "", "FAILED: copies", 1),
    (["SKIPPED"], "", "No test ran on a GPU: all 1 cases were skipped (no GPU).", 1),
])
def test_only_cases_that_ran_and_passed_are_a_success(results, wrong, last, status):
    cases = {str(i): (result, "no GPU" * (result == "SKIPPED")) for i, result in enumerate(results)}
    lines, given = gpu_tests.summarize({"copies": (cases, wrong)})
    assert (lines[-1], given) == (last, status)


def work(ours, theirs, on_bus=None):
    return {"name": "export 64 MB", "peer": "t.cpu().numpy()", "bar": 0.40, "on bus": on_bus,
            "values": {"ndtorch": [ours] * 5, "torch": [theirs] * 5}}


@pytest.mark.parametrize("measured, holds", [
    (work(1.0, 4.0), True),
    (work(1.0, 2.0), False),
    (work(1.0, 4.0, on_bus=61), True),
    (work(1.0, 4.0, on_bus=59), False),  # fast beside torch, and slow for the bus
])
def test_a_work_holds_where_all_its_bars_do(measured, holds):
    assert gpu.compare(measured, {"export": 100})["holds"] is holds


@pytest.fixture
def results():
    return {
        "machine": {"date": "2026-01-01", "GPU": "a GPU", "CPU": "a CPU", "software": ["a library"]},
        "sizes": {"export": 32 * gpu.MB, "import": 8 * gpu.MB,
                  "pieces": {8 * gpu.MB: 16 * gpu.MB, 256 * gpu.MB: 32 * gpu.MB}},
        "pinned": {"export": 1e9, "import": 2e9},
        "works": [work(1.0, 4.0), dict(work(1.0, 4.0), values=None)],
        "sweeps": [{"name": "export 1 MB, or at once", "bytes": 1e9,
                    "values": {"at once": [2.0] * 3, "1 MB": [1.0] * 3}}],
    }


def test_what_was_missed_is_no_success(results):
    assert not gpu.is_good(results)
    del results["works"][1]
    assert gpu.is_good(results)


def test_the_page_gets_the_tables(results, tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text((ROOT / "docs" / "gpu.md").read_text())
    for _ in range(2):
        gpu.finish(results, page)
        text = page.read_text()
        assert "| 1000 ms | 4000 ms | 0.25 | 0.25–0.25 | 0.40 |  | yes |" in text
        assert "| not measured: out of time |" in text
        assert "| export 1 MB | 0.5 | **1** |" in text
        assert text.count(gpu.BEGIN) == text.count(gpu.END) == 1
        assert text.startswith("# GPUs\n") and text.endswith(gpu.END + "\n")


def test_the_page_names_the_bars_until_there_are_figures(tmp_path):
    page = tmp_path / "gpu.md"
    text = (ROOT / "docs" / "gpu.md").read_text()
    page.write_text(text)
    gpu.write_page(page, gpu.bars())
    assert page.read_text() == text or "not measured on a GPU" not in text
    assert "| export 4 GB | `t.cpu().numpy()` | ≤ 0.40, and ≥ 60% of the bus's pinned rate |" in "".join(
        gpu.bars())


def test_a_python_that_is_not_there_is_named():
    done = subprocess.run(["sh", ROOT / "tools" / "gpu.sh", "test"], check=False, capture_output=True,
                          text=True, env=os.environ | {"PYTHON": "nopython"})
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "No such Python: nopython\n")


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ["torch", "inverted_device", "gpu_transfers"])),
    reason="needs torch, and modules that are not built")
def test_the_benchmark_runs_on_the_tests_device():
    done = run_python(ROOT / "benchmarks/gpu.py", "--dry-run")
    assert done.stdout.startswith("Dry run: 20 works and 22 sweeps went through"), done.stdout
    assert "Nothing was measured." in done.stdout
