"""What docs/processes.md shows of threads and worker processes; the tests run it.

`workers` has to be importable: put the directory with the built module on PYTHONPATH.
"""

import concurrent.futures
import multiprocessing

import numpy as np

import workers


def in_threads(arrays):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(workers.norm, arrays))


def norm_of(array):
    return workers.norm(array)


def in_new_processes(arrays):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        return list(pool.map(norm_of, arrays))


def in_forked_processes(arrays):
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(
            2, mp_context=context, initializer=workers.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(norm_of, arrays))


if __name__ == "__main__":
    many = [np.full(1_000_000, float(i)) for i in range(4)]
    print("this process: ", [workers.norm(array) for array in many])
    print("threads:      ", in_threads(many))
    print("new processes:", in_new_processes(many))
    print("forked ones:  ", in_forked_processes(many))
