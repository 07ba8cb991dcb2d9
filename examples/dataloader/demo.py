"""Reads windows of a long signal through C++, in the workers of a PyTorch DataLoader.

    python demo.py [--mb 200] [--workers 2]

`windows` has to be importable: put the directory with the built module on PYTHONPATH.
"""

import argparse
import pathlib
import tempfile
import time

import numpy as np
import torch

import windows

COLUMNS = 8


class Windows(torch.utils.data.Dataset):
    """Windows of a signal in a .npy file, which each worker maps into memory and none reads whole."""

    def __init__(self, file, length):
        self.file, self.length = file, length
        self.signal = np.load(file, mmap_mode="r")

    def __getstate__(self):  # a worker that is spawned maps the file anew, and gets no copy of it
        return {"file": self.file, "length": self.length}

    def __setstate__(self, state):
        self.__init__(**state)

    def __len__(self):
        return len(self.signal) // self.length

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        item = windows.window(self.signal, index * self.length, self.length)
        is_view = windows.address(self.signal) == self.signal.ctypes.data
        return item, is_view


def write_signal(file, megabytes):
    rows = megabytes * 1_000_000 // (4 * COLUMNS)
    signal = np.lib.format.open_memmap(file, "w+", "float32", (rows, COLUMNS))
    signal[:] = np.random.default_rng(0).normal(3, 2, (rows, COLUMNS))
    signal.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "signal.npy")
        write_signal(file, arguments.mb)
        data = Windows(file, length=1000)
        loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=arguments.workers)
        start = time.perf_counter()
        batches, rows, views = 0, 0, 0
        for items, is_view in loader:
            batches += 1
            rows += items.shape[0] * items.shape[1]
            views += int(is_view.sum())
        seconds = time.perf_counter() - start
    print(f"{arguments.mb} MB mapped into memory, {arguments.workers} workers: {batches} batches of "
          f"{tuple(items.shape[1:])} windows, {rows} rows in {seconds:.1f} s")
    print(f"{views} of {len(data)} windows were read from the file's own memory")
    print(f"the last batch: {items.dtype}, mean {items.mean():.4f}, deviation {items.std():.4f}")


if __name__ == "__main__":
    main()
