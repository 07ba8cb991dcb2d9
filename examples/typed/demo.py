"""Calls the extension `points` with arrays that fit, arrays that are converted, and others.

    python demo.py

`points` has to be importable: put the directory with the built module on PYTHONPATH.
"""

import inspect
import textwrap

import numpy as np

import points

cloud = np.array([[3, 4, 0], [0, 5, 12]], np.float32)
integers = cloud.astype(np.int64)
frozen = cloud.copy()
frozen.flags.writeable = False


def show(title, *calls):
    """Runs each call, given as Python's own text, and prints what it gives or raises."""
    print(f"\n{title}\n")
    for call in calls:
        print(f"    >>> {call}")
        try:
            result = eval(call, globals())
        except (TypeError, ValueError) as error:
            print(textwrap.indent(f"{type(error).__name__}: {error}", "    "))
        else:
            if result is not None:
                print(textwrap.indent(repr(result), "    "))


def main():
    print("What a type checker and help() see:\n")
    print(textwrap.indent(inspect.getdoc(points.lengths), "    "))

    show(
        "Overloads by dtype: float32 stays float32, all else becomes float64.",
        "points.lengths(cloud)",
        "points.lengths(integers)",
        "points.lengths([[1, 2, 2]])",
    )
    show(
        "In place: the caller's array is written, whatever its layout.",
        "points.shift(cloud[::2], by=[10, 0, 0])",
        "cloud",
    )
    show(
        "What is only read may be read-only, and is not copied either.",
        "points.lengths(frozen)",
    )
    show(
        "Optional arguments, and batches.",
        "points.center(frozen)",
        "points.center(frozen, weights=[3, 1])",
        "points.bounds([frozen, integers + 1, [[-1, -1, -1]]])",
    )
    show(
        "What does not fit says why. Nothing is written into a copy in silence:",
        "points.shift(frozen, by=[1, 1, 1])",
        "points.lengths(cloud.T)",
        "points.bounds([frozen, 'cloud'])",
    )


if __name__ == "__main__":
    main()
