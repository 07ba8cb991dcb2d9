"""Lets workers of Ray read one array of its object store through C++, and measures what that takes.

    python demo.py [--mb 1000] [--workers 3] [--plot FILE.svg]

`shared_points` has to be importable: put the directory with the built module on PYTHONPATH.
Ray's object store is memory that all processes of a machine share. Its arrays are read-only.
"""

import argparse
import pathlib
import time

import numpy as np
import ray

WAYS = ["C++, by ndtorch", "torch.tensor"]


def private_memory():
    """Megabytes that this process has for itself; what it shares with others doesn't count."""
    fields = dict(line.split(":") for line in
                  pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    kilobytes = sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
    return kilobytes / 1000


@ray.remote
class Worker:
    def __init__(self):
        import torch

        import shared_points

        torch.set_num_threads(1)
        self.torch, self.cpp = torch, shared_points
        self.work(WAYS[0], np.zeros((2, 3), np.float32))  # what the first call loads, once
        self.work(WAYS[1], np.zeros((2, 3), np.float32))

    def work(self, way, points):
        """The points' center, the time until C++ or PyTorch has a tensor, and the memory for it."""
        before = private_memory()
        start = time.perf_counter()
        if way == "torch.tensor":
            tensor = self.torch.tensor(points)
            address = tensor.data_ptr()
        else:
            address = self.cpp.address(points)
        seconds = time.perf_counter() - start
        center = tensor.mean(0).numpy() if way == "torch.tensor" else self.cpp.center(points)
        return {
            "center": center.tolist(),
            "seconds": seconds,
            "megabytes": private_memory() - before,
            "the store's memory": address == points.ctypes.data,
            "read-only": not points.flags.writeable,
        }

    def write(self, points):
        """Doubles a tensor of the shared array in place. The center of that, and of the array after."""
        written = self.cpp.center_after_scaling(points, 2)
        return written.tolist(), self.cpp.center(points).tolist()


def measure(megabytes, workers):
    points = np.random.default_rng(0).random((megabytes * 1_000_000 // 12, 3), dtype=np.float32)
    expected = points.mean(0, dtype=np.float64).tolist()
    shared = ray.put(points)
    del points
    crew = [Worker.remote() for _ in range(workers)]
    results = {way: ray.get([one.work.remote(way, shared) for one in crew]) for way in WAYS}
    written, after = ray.get(crew[0].write.remote(shared))
    elsewhere = ray.get(crew[-1].work.remote(WAYS[0], shared))["center"]
    return {"expected": expected, "ways": results, "written": written, "after": after,
            "elsewhere": elsewhere}


def plot(results, megabytes, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
    for axis, key, label, scale in [(axes[0], "megabytes", "private memory, MB", 1),
                                    (axes[1], "seconds", "time to a tensor, ms", 1000)]:
        for i, way in enumerate(WAYS):
            values = [max(one[key], 0) * scale for one in results["ways"][way]]
            axis.barh([i + 0.8 * (k + 0.5) / len(values) - 0.4 for k in range(len(values))], values,
                      height=0.7 / len(values), color="#4477aa" if i == 0 else "#bbbbbb")
            axis.annotate(f" {max(values):,.{0 if max(values) >= 10 else 2}f} at most", (max(values), i), va="center")
        axis.set_yticks(range(len(WAYS)), WAYS)
        axis.set_xlabel(label + ", each worker")
        axis.margins(x=0.3)
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{megabytes} MB in Ray's object store, read by "
                    f"{len(results['ways'][WAYS[0]])} workers")
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--plot", type=pathlib.Path)
    arguments = parser.parse_args()

    ray.init(num_cpus=arguments.workers, include_dashboard=False, logging_level="ERROR",
             object_store_memory=(arguments.mb + 200) * 1_000_000)
    results = measure(arguments.mb, arguments.workers)
    ray.shutdown()

    print(f"{arguments.mb} MB in Ray's object store, {arguments.workers} workers\n")
    print(f"{'':18}{'private memory':>16}{'time to a tensor':>20}{'whose memory':>22}")
    for way, workers in results["ways"].items():
        for one in workers:
            whose = "the store's" if one["the store's memory"] else "the worker's"
            print(f"{way:18}{one['megabytes']:13.1f} MB{one['seconds'] * 1000:17.3f} ms{whose:>22}")
    print(f"\nwritten in place by one worker, in C++: center {results['written']}")
    print(f"the array after it, in that worker:     center {results['after']}")
    print(f"the array after it, in another worker:  center {results['elsewhere']}")
    if arguments.plot:
        plot(results, arguments.mb, arguments.plot)


if __name__ == "__main__":
    main()
