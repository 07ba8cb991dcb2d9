"""Measures copies to and from a GPU beside torch's: `make bench-gpu`. See docs/gpu.md.

    gpu.py [--seconds N] [--results FILE] [--page docs/gpu.md]
    gpu.py --dry-run              on the tests' device and in small: does all of it run?
    gpu.py --report FILE --page docs/gpu.md    writes the page from the results of another machine
    gpu.py --bars --page docs/gpu.md           writes the page without any: what is to be reached

What is divided took turns in one process, and is divided round by round. PYTHONPATH has to name the
folder of the built module gpu_transfers (and for a dry run, inverted_device's).
"""

import argparse
import datetime
import gc
import json
import pathlib
import platform
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tools"))
import shared

BEGIN = "<!-- made by `make bench-gpu`: begin -->"
END = "<!-- made by `make bench-gpu`: end -->"

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30
LARGE = [64 * MB, 256 * MB, GB, 4 * GB]
SMALL = [KB, 64 * KB, MB, 16 * MB, 48 * MB]
EXPORT, IMPORT = "t.cpu().numpy()", "torch.tensor(a).cuda()"
OF_PINNED_RATE = 0.60

PIECES = [MB << i for i in range(7)]
SWEPT = [256 * MB, GB]
AROUND_THE_LIMIT = [MB << i for i in range(6)] + [48 * MB, 64 * MB, 128 * MB]


def size(nbytes):
    for unit, name in (GB, "GB"), (MB, "MB"), (KB, "KB"):
        if nbytes >= unit:
            return f"{nbytes / unit:g} {name}"
    return f"{nbytes} bytes"


# ----- what is measured


class Bench:
    """The works, on one device: each makes {who: function} of a size in bytes."""

    def __init__(self, device, scale):
        import numpy as np
        import torch

        import gpu_transfers as ours

        self.ours, self.np, self.torch, self.scale = ours, np, torch, scale
        self.name, self.device = device, ours.device(device)

    def bytes(self, nbytes):
        """As many as are copied for that: whole elements of any dtype."""
        return max(nbytes // self.scale // 64 * 64, 64)

    def export(self, nbytes, transposed=False):
        count = self.bytes(nbytes) // 4
        there = self.torch.arange(count, dtype=self.torch.float32).to(self.name)
        if transposed:
            side = int(count**0.5)
            there = there[:side * side].view(side, side).t()
        held = self.ours.hold(there)
        return {
            "ndtorch": lambda: self.ours.to_numpy(held),
            "torch": lambda: there.cpu().numpy(),
        }

    def send(self, nbytes):
        array = self.np.arange(self.bytes(nbytes) // 4, dtype="float32")
        return {
            "ndtorch": lambda: self.ours.tensor(array, self.device),
            "torch": lambda: self.torch.tensor(array).to(self.name),
        }

    def send_cast(self, nbytes):
        array = self.np.arange(self.bytes(nbytes) // 8)
        return {
            "ndtorch": lambda: self.ours.tensor_float(array, self.device),
            "torch": lambda: self.torch.tensor(array, dtype=self.torch.float32).to(self.name),
        }

    def receive_pieces(self, nbytes, pieces, at_once=False):
        held = self.ours.hold(
            self.torch.arange(self.bytes(nbytes) // 4, dtype=self.torch.float32).to(self.name))

        def in_pieces_of(piece):
            return lambda: self.ours.receive_in_pieces(held, self.bytes(piece))

        functions = {"at once": lambda: self.ours.receive_at_once(held)} if at_once else {}
        return functions | {size(piece): in_pieces_of(piece) for piece in pieces}

    def send_pieces(self, nbytes, pieces, at_once=False):
        array = self.np.arange(self.bytes(nbytes) // 4, dtype="float32")

        def in_pieces_of(piece):
            return lambda: self.ours.send_in_pieces(array, self.device, self.bytes(piece))

        functions = {}
        if at_once:
            functions["at once"] = lambda: self.ours.send_at_once(array, self.device)
        return functions | {size(piece): in_pieces_of(piece) for piece in pieces}

    def pinned(self, nbytes=256 * MB):
        """torch's own copies of pinned memory, which nothing but the bus bounds."""
        here = self.torch.empty(self.bytes(nbytes), dtype=self.torch.uint8, pin_memory=True)
        there = self.torch.zeros(here.shape, dtype=self.torch.uint8).to(self.name)
        return {
            "export": lambda: here.copy_(there, non_blocking=True),
            "import": lambda: there.copy_(here, non_blocking=True),
        }

    def array_of(self, result):
        if isinstance(result, self.ours.held):
            return self.ours.to_numpy(result)
        return result.cpu().numpy() if isinstance(result, self.torch.Tensor) else result

    def check(self, functions):
        """All of them give the same."""
        results = [self.array_of(function()) for function in functions.values()]
        for result in results[1:]:
            assert result.dtype == results[0].dtype
            assert self.np.array_equal(result, results[0])

    def time(self, function, calls=1):
        """Seconds for one call, until the device has done all of it."""
        self.ours.synchronize(self.device)
        begin = time.perf_counter()
        for _ in range(calls - 1):
            function()
        result = function()
        self.ours.synchronize(self.device)
        seconds = (time.perf_counter() - begin) / calls
        del result  # after the time was taken
        return seconds

    def interleave(self, functions, rounds, min_time=0.002):
        """{who: [seconds in each round]}"""
        first = {}
        for who, function in functions.items():
            self.time(function)  # for what only the first call does
            first[who] = self.time(function)
        calls = max(1, min(1000, int(min_time / max(first.values()))))
        values, order = {who: [] for who in functions}, list(functions)
        for _ in range(rounds):
            for who in order:
                values[who].append(self.time(functions[who], calls))
            order = order[1:] + order[:1]
        return values


def works(bench):
    """What has a bar: (name, peer, bar, bytes, whether the bus's rate is a bar too, make)"""
    for nbytes in LARGE:
        yield (f"export {size(nbytes)}", EXPORT, 0.40, nbytes, True,
               lambda n=nbytes: bench.export(n))
    yield ("export 1 GB, transposed", EXPORT, 0.40, GB, False,
           lambda: bench.export(GB, transposed=True))
    for nbytes in LARGE:
        yield (f"import {size(nbytes)}", IMPORT, 0.50, nbytes, False, lambda n=nbytes: bench.send(n))
    yield ("import 1 GB, int64 → float32", "torch.tensor(a, dtype=torch.float32).cuda()", 0.50, GB,
           False, lambda: bench.send_cast(GB))
    for nbytes in SMALL:
        yield (f"export {size(nbytes)}", EXPORT, 1.05, nbytes, False,
               lambda n=nbytes: bench.export(n))
        yield (f"import {size(nbytes)}", IMPORT, 1.05, nbytes, False,
               lambda n=nbytes: bench.send(n))


def sweeps(bench):
    """Copies in pieces of other sizes: (name, bytes, make)"""
    for nbytes in SWEPT:
        yield (f"export {size(nbytes)}", nbytes, lambda n=nbytes: bench.receive_pieces(n, PIECES))
        yield (f"import {size(nbytes)}", nbytes, lambda n=nbytes: bench.send_pieces(n, PIECES))
    for nbytes in AROUND_THE_LIMIT:
        pieces = [piece for piece in PIECES if piece <= nbytes // 2]
        yield (f"export {size(nbytes)}, or at once", nbytes,
               lambda n=nbytes, p=pieces: bench.receive_pieces(n, p, at_once=True))
        yield (f"import {size(nbytes)}, or at once", nbytes,
               lambda n=nbytes, p=pieces: bench.send_pieces(n, p, at_once=True))


def rounds_for(nbytes):
    return 5 if nbytes >= GB else 15 if nbytes >= 16 * MB else 31


def measure(bench, machine, seconds, save, rounds=None):
    """Until the time is over; what was missed is in the results as null."""
    end = time.monotonic() + seconds
    results = {
        "machine": machine,
        "sizes": {"export": bench.ours.large_export, "import": bench.ours.large_import,
                  "pieces": {nbytes: bench.ours.piece_of_transfer(nbytes)
                             for nbytes in (bench.ours.large_import, 256 * MB)}},
        "pinned": {}, "works": [], "sweeps": [],
    }
    gc.disable()

    def values_of(make, count):
        if time.monotonic() > end:
            return None
        functions = make()
        bench.check(functions)
        values = bench.interleave(functions, rounds or count)
        del functions
        if bench.torch.cuda.is_available():
            bench.torch.cuda.empty_cache()
        return values

    pinned = bench.interleave(bench.pinned(), rounds or 15)
    results["pinned"] = {
        way: bench.bytes(256 * MB) / statistics.median(times) for way, times in pinned.items()}
    for name, peer, bar, nbytes, on_bus, make in works(bench):
        print(f"Measuring: {name}", file=sys.stderr, flush=True)
        results["works"].append({
            "name": name, "peer": peer, "bar": bar, "on bus": bench.bytes(nbytes) if on_bus else None,
            "values": values_of(make, rounds_for(nbytes))})
        save(results)
    for name, nbytes, make in sweeps(bench):
        print(f"Measuring pieces: {name}", file=sys.stderr, flush=True)
        results["sweeps"].append({
            "name": name, "bytes": bench.bytes(nbytes), "values": values_of(make, rounds_for(nbytes))})
        save(results)
    return results


def machine_of(torch):
    import numpy as np

    return {
        "date": datetime.date.today().isoformat(),
        "GPU": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "CPU": shared.cpu(),
        "software": [f"Python {platform.python_version()}", f"torch {torch.__version__}",
                     f"numpy {np.__version__}"],
    }


# ----- what is made of it


def compare(work, pinned):
    """The ratios' median and quartiles, and whether all bars hold; None where nothing was measured."""
    values = work["values"]
    if values is None:
        return None
    ratio, quartiles = shared.ratio(values["ndtorch"], values["torch"])
    of_pinned = None
    if work["on bus"]:
        rate = work["on bus"] / statistics.median(values["ndtorch"])
        of_pinned = rate / pinned["export"]
    return {
        "seconds": {who: statistics.median(times) for who, times in values.items()},
        "ratio": ratio, "quartiles": quartiles, "of pinned": of_pinned,
        "holds": ratio <= work["bar"] and (of_pinned is None or of_pinned >= OF_PINNED_RATE),
    }


def table(results):
    lines = [
        "| work | over | ours | theirs | ours over it | spread | bar | of the pinned rate | holds |",
        "|---|---|--:|--:|--:|---|--:|--:|---|",
    ]
    for work in results["works"]:
        start = f"| {work['name']} | `{work['peer']}` |"
        line = compare(work, results["pinned"])
        if line is None:
            lines.append(f"{start} | | | | {work['bar']:.2f} | | not measured: out of time |")
            continue
        low, high = line["quartiles"]
        ours, theirs = (f"{line['seconds'][who] * 1e3:.4g} ms" for who in ("ndtorch", "torch"))
        of_pinned = "" if line["of pinned"] is None else f"{line['of pinned']:.0%} (bar: {OF_PINNED_RATE:.0%})"
        lines.append(
            f"{start} {ours} | {theirs} | {line['ratio']:.2f} | {low:.2f}–{high:.2f} | "
            f"{work['bar']:.2f} | {of_pinned} | {'yes' if line['holds'] else '**no**'} |")
    return lines


def bars():
    """The table of what wasn't measured anywhere yet."""
    lines = ["| work | over | bar | ours over it |", "|---|---|---|---|"]
    for name, peer, bar, _, on_bus, _ in works(None):
        too = f", and ≥ {OF_PINNED_RATE:.0%} of the bus's pinned rate" if on_bus else ""
        lines.append(f"| {name} | `{peer}` | ≤ {bar:.2f}{too} | not measured on a GPU |")
    return lines


def sweep_table(results):
    columns = ["at once", *map(size, PIECES)]
    lines = [f"| GB/s in pieces of | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
    for sweep in results["sweeps"]:
        values = sweep["values"] or {}
        rates = {who: sweep["bytes"] / statistics.median(times) for who, times in values.items()}
        cells = []
        for column in columns:
            cell = f"{rates[column] / 1e9:.3g}" if column in rates else ""
            cells.append(f"**{cell}**" if cell and rates[column] == max(rates.values()) else cell)
        lines.append(f"| {sweep['name'].removesuffix(', or at once')} | {' | '.join(cells)} |")
    return lines


def report(results):
    machine = results["machine"]
    rates = ", ".join(f"{way} {rate / 1e9:.1f} GB/s" for way, rate in results["pinned"].items())
    sizes = results["sizes"]
    return [
        f"{machine['date']}, {machine['GPU']}, {machine['CPU']}; {', '.join(machine['software'])}.",
        "", f"The bus's pinned rate: {rates}.", "", *table(results), "",
        f"Copies in pieces of other sizes. ndtorch exports in pieces from {size(sizes['export'])} on, "
        f"and imports from {size(sizes['import'])} on; its pieces are of "
        f"{', of '.join(f'{size(piece)} from {size(int(nbytes))} on' for nbytes, piece in sizes['pieces'].items())}. "
        "The fastest is bold.", "", *sweep_table(results)]


def write_page(page, lines):
    shared.put_between(page, BEGIN, END, lines)


def is_good(results):
    lines = [compare(work, results["pinned"]) for work in results["works"]]
    return all(line is not None and line["holds"] for line in lines)


def finish(results, page):
    lines = report(results)
    print("\n".join(lines))
    if page:
        write_page(page, lines)
    return 0 if is_good(results) else "Not all bars hold, or not all was measured."


def dry_run():
    """All steps in small, on the tests' device. Their times say nothing and are not shown."""
    import torch

    import inverted_device

    torch._register_device_module(inverted_device.name, type(sys)(inverted_device.name))
    bench = Bench(f"{inverted_device.name}:0", scale=1024)
    results = measure(bench, machine_of(torch), 3600, lambda results: None, rounds=3)
    measured = [part["values"] for part in [*results["works"], *results["sweeps"]]]
    assert all(seconds > 0 for values in measured for times in values.values() for seconds in times)
    lines = report(results)
    print(f"Dry run: {len(results['works'])} works and {len(results['sweeps'])} sweeps went through, "
          f"{len(lines)} lines of a report. Nothing was measured.")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--bars", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    if arguments.bars:
        return write_page(arguments.page, bars())
    if arguments.report:
        return finish(json.loads(arguments.report.read_text()), arguments.page)
    if arguments.dry_run:
        return dry_run()
    import torch

    if not torch.cuda.is_available():
        return "No GPU here, so nothing was measured."

    def save(results):
        if arguments.results:
            arguments.results.write_text(json.dumps(results))

    bench = Bench("cuda:0", scale=1)
    return finish(measure(bench, machine_of(torch), arguments.seconds, save), arguments.page)


if __name__ == "__main__":
    sys.exit(main())
