"""Runs pytest, and fails where an object or memory is lost when the tests are done.

    LD_PRELOAD=libasan.so PYTHONMALLOC=malloc python run_pytest.py [pytest's arguments]

LeakSanitizer looks while the interpreter is still there. What Python's own modules lose at its end,
and what packages lose at their import, is then no noise that could hide a leak of ours.
"""

import contextlib
import ctypes
import gc
import importlib
import sys

PACKAGES = ["pytest", "numpy", "torch", "ml_dtypes", "matplotlib.image", "PIL.Image", "jax.numpy"]

sanitizer = ctypes.CDLL(None)
sanitizer.__lsan_disable()
for package in PACKAGES:
    with contextlib.suppress(ImportError):  # its tests are skipped
        importlib.import_module(package)
sanitizer.__lsan_enable()

status = sys.modules["pytest"].main(sys.argv[1:])
gc.collect()
sys.stdout.flush()
leaks = sanitizer.__lsan_do_recoverable_leak_check()
sys.exit(status or leaks)
