"""examples/dataloader: C++ in the workers of a DataLoader, with PyTorch's arithmetic as the oracle."""

import numpy as np
import pytest

from support import ROOT, load

torch = pytest.importorskip("torch", reason="Python has no torch")
windows = pytest.importorskip("windows", reason="the examples were not built")

demo = load(ROOT / "examples/dataloader/demo.py")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("dataloader") / "signal.npy"
    demo.write_signal(path, 2)
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_give_what_pytorch_computes(file, workers):
    # A parallel operator in the parent first: its threads are missing in a forked worker.
    torch.ones(1000, 1000).sum()
    data = demo.Windows(file, 1000)
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=workers)
    items = torch.cat([batch for batch, _ in loader])
    signal = torch.tensor(np.load(file))[: len(data) * 1000].view(len(data), 1000, -1)
    expected = (signal - signal.mean(1, keepdim=True)) / signal.std(1, keepdim=True, unbiased=False)
    torch.testing.assert_close(items, expected)


def test_workers_read_the_files_own_memory(file):
    loader = torch.utils.data.DataLoader(demo.Windows(file, 1000), num_workers=2)
    assert all(is_view.all() for _, is_view in loader)


def test_a_window_outside_of_the_signal_is_an_index_error(file):
    signal = np.load(file, mmap_mode="r")
    for start, length in [(-1, 3), (len(signal) - 2, 3), (0, 0), (0, len(signal) + 1)]:
        with pytest.raises(IndexError, match=f"no rows from {start}, {length} of them"):
            windows.window(signal, start, length)
