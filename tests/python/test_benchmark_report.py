"""Tests of what `make bench` makes of its measurements."""

import json

import pytest

import report
from support import ROOT, run_python


@pytest.fixture
def results():
    """As run.py writes them: each function takes a second in every round."""
    rows = [(row, who) for _, row, ours, peers in report.ROWS + report.MORE
            for who in [ours, *(peer[0] for peer in peers)]]
    rows += [(row, who) for _, row, columns in report.CALLS for who in columns]
    rows += [(f"part {part}", "a way to copy") for part in report.PARTS]
    values = {}
    for row, who in rows:
        values.setdefault("peak float32" if row == "peak" else row, {})[who] = [1.0] * 5
    machine = {"date": "2026-01-01", "CPU": "a CPU", "software": ["a library 1.0"]}
    return {"machine": machine, "values": values}


def line(ratio, low, high, bar=1.0):
    return {"ratio": ratio, "quartiles": [low, high], "bar": bar}


def test_a_ratio_is_the_median_of_the_rounds_own_ratios():
    # A burst of other work that slows one round down for both changes nothing.
    values = {"ndtorch": [1.0, 10.0, 1.0], "peer": [2.0, 20.0, 2.0]}
    assert report.ratio(values, "ndtorch", "peer")["ratio"] == 0.5
    assert report.ratio(values, "ndtorch", "peer")["quartiles"] == [0.5, 0.5]


def test_rounds_that_have_no_partner_are_refused():
    with pytest.raises(ValueError):
        report.ratio({"ndtorch": [1.0, 1.0], "peer": [1.0]}, "ndtorch", "peer")


@pytest.mark.parametrize("measured, said", [
    (line(0.5, 0.4, 0.6), "yes"),
    (line(1.0, 0.9, 1.0), "yes"),
    (line(0.98, 0.9, 1.1), "yes, close"),
    (line(1.02, 0.9, 1.1), "**no**, close"),
    (line(1.5, 1.4, 1.6), "**no**"),
])
def test_a_verdict_says_whether_the_bar_holds_and_how_surely(measured, said):
    assert report.verdict(measured) == said


def test_the_copy_that_needs_the_most_memory_stands_for_all(results):
    results["values"]["peak list"] = {"ndtorch": [2.0] * 5, "the result": [1.0] * 5}
    peak = next(line for line in report.compare(results["values"]) if "peak" in line["work"])
    assert peak["ratio"] == 2
    assert peak["work"] == "peak memory of a copy, the worst of 2 kinds"


def test_a_second_run_replaces_what_the_first_put_into_the_docs(results, tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{report.BEGIN}\n{report.END}\nafter\n")
    pages = []
    for seconds in 1.0, 4.0:
        results["values"]["copy"]["ndtorch"] = [seconds] * 5
        (tmp_path / "results.json").write_text(json.dumps(results))
        done = run_python(ROOT / "benchmarks/report.py", tmp_path / "results.json", tmp_path)
        pages.append(page.read_text())
        copy = f"| `np.copy` | {seconds:.2f} | {seconds:.2f}–{seconds:.2f} | 1.05 |"
        assert copy in pages[-1]
        assert "| a way to copy | 1000.0 | 1000.0 | 1000.0 | 1 |" in pages[-1]
        assert copy in done.stdout
    assert pages[1].startswith("before\n") and pages[1].endswith("\nafter\n")
    assert pages[0].count("\n") == pages[1].count("\n")
    assert len(json.loads((tmp_path / "benchmarks.json").read_text())["rows"]) == 31
    assert (tmp_path / "benchmarks.png").stat().st_size > 10_000
    assert (tmp_path / "benchmarks.svg").stat().st_size > 10_000
