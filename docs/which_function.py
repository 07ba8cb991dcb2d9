"""Draws which_function.svg, the chart of choose.md.

Narrow, so that a telephone shows it in a legible size, and on a ground of its own, so that it can be
read on a dark page too.
"""

import pathlib
from xml.sax.saxutils import escape

WIDTH, PAD, ROW, GAP = 440, 16, 34, 10
INK, GREY, LINE = "#1b2330", "#5a6472", "#c3cad4"

# Above each arrow its heading; then the questions, in the order in which to ask them.
CHARTS = [
    ("Python → C++", "#e3eefb", "#1d5fa8", [
        ("an argument of a pybind11 function?", "tensor_t<…>", "checked; shared if it can be"),
        ("an array whose memory must be shared?", "from_numpy(a)", "never copies"),
        ("raw bytes, and you know the dtype?", "frombuffer(b, dtype)", "never copies"),
        ("a copy, whatever comes?", "tensor(x)", "always copies"),
        ("anything else", "as_tensor(x)", "shared if it can be, else copied"),
    ]),
    ("C++ → Python", "#e6f4e8", "#1f7a3a", [
        ("an array on the tensor's memory?", "numpy(t)", "never copies"),
        ("from a GPU, and other work to do?", "to_numpy_async(t)", "copies; wait() later"),
        ("a torch.Tensor?", "to_torch(t)", "never copies"),
        ("for JAX, CuPy, any from_dlpack()?", "to_dlpack(t)", "never copies"),
        ("anything else", "to_numpy(t)", "shared if it can be, else copied"),
    ]),
]


def text(x, y, words, size=14, color=INK, weight="400", family="sans", anchor="start"):
    families = {"sans": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
                "mono": "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"}
    return (f'<text x="{x}" y="{y}" font-size="{size}" fill="{color}" font-weight="{weight}" '
            f'text-anchor="{anchor}" font-family="{families[family]}">{escape(words)}</text>')


def draw():
    parts, y = [], PAD
    for title, ground, color, questions in CHARTS:
        parts.append(text(PAD, y + 20, title, size=19, weight="700", color=color))
        parts.append(text(WIDTH - PAD, y + 20, "the first yes wins", size=13, color=GREY, anchor="end"))
        y += 34
        spine = PAD + 8
        first = y
        rows = []
        for question, function, memory in questions:
            height = 2 * ROW
            rows.append(
                f'<rect x="{spine + 18}" y="{y}" width="{WIDTH - PAD - spine - 18}" height="{height}" '
                f'rx="8" fill="{ground}" stroke="{color}" stroke-opacity="0.35"/>')
            rows.append(f'<path d="M{spine} {y + height / 2}h18" stroke="{LINE}" stroke-width="2"/>')
            rows.append(f'<circle cx="{spine}" cy="{y + height / 2}" r="5" fill="{color}"/>')
            rows.append(text(spine + 32, y + 26, question, size=15))
            rows.append(text(spine + 32, y + 52, function, size=15, weight="700", color=color,
                             family="mono"))
            rows.append(text(WIDTH - PAD - 12, y + 52, memory, size=12, color=GREY, anchor="end"))
            last = y + height / 2
            y += height + GAP
        parts.append(f'<path d="M{spine} {first}V{last}" stroke="{LINE}" stroke-width="2"/>')
        parts += rows
        y += 12
    height = y + PAD - 12 - GAP
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">\n<title>Which function do I want?</title>\n'
            f'<rect width="{WIDTH}" height="{height}" rx="12" fill="#ffffff"/>\n{body}\n</svg>\n')


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
