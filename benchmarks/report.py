"""Makes a table, a picture and a short JSON file of what run.py measured, for the docs.

    report.py <results.json> <docs folder>
"""

import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tools"))
import shared

BEGIN, END = "<!-- made by `make bench`: begin -->", "<!-- made by `make bench`: end -->"

# work, the measured row, who is ours, [(peer as in the row, as in the table, bar)]
ROWS = [
    ("`from_numpy` in C++, 1-d", "from_numpy 1-d", "ndtorch", [
        ("torch", "`torch::utils::tensor_from_numpy`", 0.35), ("floor", "the floor", 1.30)]),
    ("`from_numpy` in C++, 4-d", "from_numpy 4-d", "ndtorch", [
        ("torch", "`torch::utils::tensor_from_numpy`", 0.35), ("floor", "the floor", 1.30)]),
    ("`numpy` in C++, 1-d", "numpy 1-d", "ndtorch", [
        ("torch", "`torch::utils::tensor_to_numpy`", 0.20), ("floor", "the floor", 1.30)]),
    ("`numpy` in C++, 4-d", "numpy 4-d", "ndtorch", [
        ("torch", "`torch::utils::tensor_to_numpy`", 0.20), ("floor", "the floor", 1.30)]),
    ("`to_numpy` of a CPU tensor, 1-d", "numpy 1-d", "to_numpy", [("ndtorch", "`numpy`", 1.05)]),
    ("`to_numpy` of a CPU tensor, 4-d", "numpy 4-d", "to_numpy", [("ndtorch", "`numpy`", 1.05)]),
    ("`numpy(from_numpy(a))`", "round trip", "ndtorch", [("torch", "torch's pair", 0.20)]),
    ("a tensor's end without the GIL", "drop without the GIL", "ndtorch", [
        ("torch", "that of `torch::utils::tensor_from_numpy`", 0.30)]),
    ("call with a `tensor_t<float>` argument", "call argument", "ndtorch", [
        ("nanobind", "nanobind's `ndarray`", 0.80)]),
    ("call that returns one as NumPy", "call result", "ndtorch", [
        ("nanobind", "nanobind's `ndarray`", 0.35)]),
    ("call array → array", "call array to array", "ndtorch", [("tvm-ffi", "apache-tvm-ffi", 0.60)]),
    ("`tensor(a)`, 64 MB float32", "copy", "ndtorch", [
        ("torch.tensor", "`torch.tensor`", 0.30), ("np.copy", "`np.copy`", 1.05)]),
    ("`tensor<float>(a)`, 16M int64", "copy int64 to float32", "ndtorch", [
        ("torch.tensor", "`torch.tensor(a, dtype=…)`", 0.50), ("astype", "`astype`", 0.80)]),
    ("`tensor(a)`, 64 MB, negative stride", "copy negative", "ndtorch", [
        ("np.copy", "`np.copy`", 0.80)]),
    ("`tensor(a)`, 64 MB, byte-swapped", "copy swapped", "ndtorch", [("astype", "`astype`", 0.80)]),
    ("`tensor(a)`, 64 MB, transposed", "copy transposed", "ndtorch", [
        ("np.copy", "`np.copy(order='K')`", 1.05)]),
    ("`tensor(a)`, 64 MB, unaligned", "copy unaligned", "ndtorch", [
        ("np.copy", "`np.copy(order='K')`", 1.05)]),
    ("call that makes `tensor(a)`, 4×4", "call 4x4", "ndtorch", [
        ("torch.tensor", "`torch.tensor`", 0.20)]),
    ("`tensor(list of 1,000 arrays)`", "copy list", "ndtorch", [
        ("torch.tensor", "`torch.tensor(np.stack(…))`", 0.80)]),
    ("`from_numpy` of 1 GB", "from_numpy size", "1 GB", [("1 KB", "the same of 1 KB", 1.10)]),
    ("`numpy` of 1 GB", "numpy size", "1 GB", [("1 KB", "the same of 1 KB", 1.10)]),
    ("peak memory of a copy, {worst}", "peak", "ndtorch", [
        ("the result", "the result's size", 1.05)]),
    ("import of an extension", "import", "ndtorch", [("torch", "`import torch`", 0.25)]),
    ("compile time of `<ndtorch/ndtorch.h>`", "compile", "ndtorch", [
        ("pybind11 and ATen", "`pybind11/numpy.h` + `ATen/core/Tensor.h`", 1.15),
        ("torch/extension.h", "`torch/extension.h`", 0.40)]),
]

# The same without a bar.
MORE = [
    ("`from_numpy` in C++, 1-d", "from_numpy 1-d", "ndtorch", [
        ("by hand", "`py::array_t` + `from_blob`"), ("dlpack", "`at::fromDLPack`")]),
    ("`numpy` in C++, 1-d", "numpy 1-d", "ndtorch", [("by hand", "`py::array_t` + capsule")]),
    ("call of `from_numpy`", "call from_numpy", "ndtorch", [
        ("torch.from_numpy", "`torch.from_numpy`")]),
    ("call that returns one as NumPy", "call numpy", "ndtorch", [
        ("Tensor.numpy", "`torch.Tensor.numpy`")]),
    ("call array → array", "call array to array", "ndtorch", [
        ("by hand", "`py::array_t` + `from_blob` + capsule"),
        ("nanobind", "nanobind, which returns the same object")]),
    ("`Tensor(a)`, 16M int64", "copy int64 to float32", "ndtorch::Tensor", [
        ("torch.Tensor", "`torch.Tensor`")]),
    ("`tensor(a)`, 64 MB, transposed", "copy transposed", "ndtorch", [
        ("torch.tensor", "`torch.tensor`")]),
]

# Nanoseconds of whole calls, the function empty.
CALLS = [
    ("no argument", "call empty", ["ndtorch", "ndtorch", "nanobind"]),
    ("one argument", "call argument", ["ndtorch", "py::array_t", "nanobind"]),
    ("one result", "call result", ["ndtorch", "by hand", "nanobind"]),
]


# What `calls.py parts` tells of each way to copy.
PARTS = ["program", "kernel", "wall", "faults"]


def ratio(values, ours, peer):
    """The median of ours over the peer's, round by round, and the quartiles around it."""
    median, quartiles = shared.ratio(values[ours], values[peer])
    return {"ratio": median, "quartiles": quartiles,
            "ours": statistics.median(values[ours]), "peer": statistics.median(values[peer])}


def compare(values):
    """One dict for each line of the table."""
    # Of the kinds of copies, the one that needs the most memory stands for all.
    peaks = {row: rounds for row, rounds in values.items() if row.startswith("peak ")}
    worst = max(peaks, key=lambda row: ratio(peaks[row], "ndtorch", "the result")["ratio"])
    values = dict(values, peak=peaks[worst])
    names = {"worst": f"the worst of {len(peaks)} kinds"}
    return [
        {"work": work.format(**names), "over": over, "bar": bar, **ratio(values[row], ours, peer)}
        for work, row, ours, peers in ROWS for peer, over, bar in peers
    ]


def verdict(line):
    low, high = line["quartiles"]
    close = ", close" if low <= line["bar"] < high else ""
    return ("yes" if line["ratio"] <= line["bar"] else "**no**") + close


def table(lines):
    text = ["| work | over | ours over it | spread | bar | holds |", "|---|---|--:|---|--:|---|"]
    for line in lines:
        low, high = line["quartiles"]
        text.append(f"| {line['work']} | {line['over']} | {line['ratio']:.2f} "
                    f"| {low:.2f}–{high:.2f} | {line['bar']:.2f} | {verdict(line)} |")
    return text


def more_tables(values):
    text = ["| work | over | ours over it | spread |", "|---|---|--:|---|"]
    for work, row, ours, peers in MORE:
        for peer, over in peers:
            line = ratio(values[row], ours, peer)
            low, high = line["quartiles"]
            text.append(f"| {work} | {over} | {line['ratio']:.2f} | {low:.2f}–{high:.2f} |")
    text += ["", "Nanoseconds of a whole call from Python to an empty function:", "",
             "| | `tensor_t<float>` | `py::array_t<float>` | nanobind's `ndarray<float>` |",
             "|---|--:|--:|--:|"]
    for name, row, columns in CALLS:
        cells = [f"{statistics.median(values[row][who]) * 1e9:.0f}" for who in columns]
        text.append(f"| {name} | {' | '.join(cells)} |")
    text += ["", "What a copy of 64 MB consists of, in milliseconds: CPU time in the program, which moves the "
             "bytes, and in the kernel, which hands out pages and fills them with zeros.", "",
             "| 64 MB float32 | program | kernel | wall | page faults |", "|---|--:|--:|--:|--:|"]
    medians = {part: {way: statistics.median(rounds) for way, rounds in values[f"part {part}"].items()}
               for part in PARTS}
    for way, faults in medians["faults"].items():
        times = [f"{medians[part][way] * 1e3:.1f}" for part in PARTS[:3]]
        text.append(f"| {way} | {' | '.join(times)} | {faults:.0f} |")
    return text


def plain(text):
    return text.replace("`", "").replace("torch::utils::", "")


def picture(lines, folder):
    plt.rcParams.update({"font.size": 9, "svg.hashsalt": "ndtorch", "svg.fonttype": "none"})
    figure, axes = plt.subplots(figsize=(9, 0.22 * len(lines) + 1.2), layout="constrained")
    limit = 1.5
    good, bad, dark = "#2a7f9e", "#d9822b", "#222222"
    for y, line in enumerate(lines):
        holds = line["ratio"] <= line["bar"]
        low, high = (min(end, limit) for end in line["quartiles"])
        shown = min(line["ratio"], limit)
        axes.barh(y, shown, height=0.62, color=good if holds else bad)
        axes.plot([low, high], [y, y], color=dark, linewidth=1)
        axes.plot([line["bar"]] * 2, [y - 0.42, y + 0.42], color=dark, linewidth=2)
        axes.text(limit + 0.02, y, f"{line['ratio']:.2f}", va="center")
    axes.axvline(1, color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    axes.set_yticks(range(len(lines)),
                    [f"{plain(line['work'])}  /  {plain(line['over'])}" for line in lines])
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlim(0, limit)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("ndtorch over the other (less is better)")
    figure.legend(
        handles=[Patch(color=good, label="within its bar"), Patch(color=bad, label="beyond it"),
                 Line2D([], [], color=dark, linewidth=2, label="the bar"),
                 Line2D([], [], color=dark, linewidth=1, label="quartiles")],
        loc="outside upper right", ncols=4, frameon=False)
    for suffix, metadata in ("png", {"Software": None}), ("svg", {"Date": None}):
        figure.savefig(folder / f"benchmarks.{suffix}", dpi=120, metadata=metadata,
                       facecolor="white")


def main():
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())
    docs = pathlib.Path(sys.argv[2])
    lines = compare(results["values"])
    machine = results["machine"]
    made_on = f"{machine['date']}, {machine['CPU']}; {', '.join(machine['software'])}."

    print("\n".join(table(lines)))
    print()
    print("\n".join(more_tables(results["values"])))
    print(f"\n{sum(line['ratio'] <= line['bar'] for line in lines)} of {len(lines)} bars hold.")

    summary = {"machine": machine, "rows": lines}
    (docs / "benchmarks.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    picture(lines, docs)
    made = [made_on, "", *table(lines), "",
            "![Ratios as bars, each with its bar marked](benchmarks.svg)", "",
            "Without a bar:", "", *more_tables(results["values"])]
    shared.put_between(docs / "benchmarks.md", BEGIN, END, made)


if __name__ == "__main__":
    main()
