"""Runs the extension `photo` on a photograph, and shows what each conversion does.

    python demo.py [out.png]

`photo` has to be importable: put the directory with the built module on PYTHONPATH.
"""

import pathlib
import sys
import textwrap

import matplotlib

matplotlib.use("Agg")  # draws into a file; needs no display
import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np

import photo


def draw_steps(path):
    """Runs each step on the photograph, and writes one picture with the results side by side."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        original = plt.imread(file)  # read-only: the steps share its memory all the same

    inverted = original.copy()
    photo.invert(inverted)
    steps = {
        "the array": original,
        "grayscale": photo.grayscale(original),
        "blur": photo.blur(original),
        "edges": photo.edges(original),
        "invert, in place": inverted,
    }

    rows, columns = original.shape[:2]
    figure, axes = plt.subplots(
        1, len(steps), figsize=(3 * len(steps), 3 * rows / columns + 0.4), layout="constrained"
    )
    for axis, (name, picture) in zip(axes, steps.items(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(name)
        axis.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def memory_of(array, tensor):
    """"shared" or "copied", found by writing on each side and reading on the other."""
    array.flat[0] = tensor.read(0) + 1
    tensor_sees_array = tensor.read(0) == array.flat[0]
    tensor.write(0, array.flat[0] + 1)
    array_sees_tensor = array.flat[0] == tensor.read(0)
    if tensor_sees_array != array_sees_tensor:
        raise AssertionError("one side sees the other's writes, but not the other way round")
    return "shared" if array_sees_tensor else "copied"


def outcome(convert, source):
    """What a conversion gives: its dtype and whose memory it is on, or its error."""
    try:
        result = convert(source)
    except Exception as error:  # which one, and its words, are what the table shows
        return [type(error).__name__, str(error)]
    array, tensor = (source, result) if isinstance(source, np.ndarray) else (result, source)
    return [str(result.dtype), memory_of(array, tensor)]


def print_table():
    guide = photo.guide
    pixels = np.zeros(4, np.uint8)
    integers = np.zeros(4, np.int64)
    conversions = [
        ("from_numpy", guide.from_numpy, pixels),
        ("tensor", guide.tensor, pixels),
        ("tensor with a dtype", guide.tensor_with_dtype, pixels),
        ("Tensor", guide.Tensor, pixels),
        ("an int array stays int", guide.from_numpy, integers),
        ("a later cast", guide.later_cast, integers),
        ("numpy", guide.numpy, guide.plain()),
        ("numpy, requires_grad", guide.numpy, guide.with_grad()),
        ("detach, then numpy", guide.detach_numpy, guide.with_grad()),
        ("numpy, not on the CPU", guide.numpy, guide.on_meta()),
        ("to_numpy, always safe", guide.to_numpy, guide.with_grad()),
    ]
    line = "{:<23} {:<38} {:<7} -> {:<8} {}"
    print(line.format("conversion", "C++", "from", "to", "memory"))
    for name, convert, source in conversions:
        code = convert.__doc__.strip().splitlines()[-1]
        to, rest = outcome(convert, source)
        if rest in ("shared", "copied"):
            print(line.format(name, code, str(source.dtype), to, rest))
        else:
            print(line.format(name, code, str(source.dtype), to, "").rstrip())
            print(textwrap.fill(rest, 100, initial_indent=" " * 24, subsequent_indent=" " * 24))


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "photo.png")
    draw_steps(out)
    print(f"The steps, side by side: {out}\n")
    print_table()
    print(f"\nPython imported torch: {'torch' in sys.modules}")
