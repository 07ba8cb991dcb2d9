"""examples/ray: what its workers measure of a smaller array, with a Ray of our own."""

import numpy as np
import pytest

from support import ROOT, load

ray = pytest.importorskip("ray", reason="Ray is not installed")

MEGABYTES = 60


@pytest.fixture(scope="module")
def results():
    demo = load(ROOT / "examples/ray/demo.py")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR",
             object_store_memory=(MEGABYTES + 200) * 1_000_000)
    # The workers can't import a file that is no module: its classes travel by value.
    ray.cloudpickle.register_pickle_by_value(demo)
    yield demo.measure(MEGABYTES, 2)
    ray.shutdown()


def test_each_worker_reads_the_stores_memory(results):
    for worker in results["ways"]["C++, by ndtorch"]:
        assert worker["read-only"]
        assert worker["the store's memory"]
        np.testing.assert_allclose(worker["center"], results["expected"], rtol=1e-4)


def test_the_tensors_take_no_memory_of_the_workers(results):
    for worker in results["ways"]["C++, by ndtorch"]:
        assert worker["megabytes"] < MEGABYTES / 10
    for worker in results["ways"]["torch.tensor"]:
        assert worker["megabytes"] > MEGABYTES * 0.9, "the measure sees a copy"


def test_a_write_stays_private(results):
    np.testing.assert_allclose(results["written"], np.multiply(results["expected"], 2), rtol=1e-4)
    np.testing.assert_allclose(results["after"], results["expected"], rtol=1e-4)
    np.testing.assert_allclose(results["elsewhere"], results["expected"], rtol=1e-4)
