"""Draws wings.svg, the picture of the wings in CONTRIBUTING.md.

The wings, what each one knows, its files and what it includes are read from the tree and from CONTRIBUTING.md's
table, so the picture can't tell of a layout that has gone. Only the flows are written down here, and each of their
steps has to be a file that an earlier step includes.
"""

import pathlib
import re
import textwrap
from xml.sax.saxutils import escape

from which_function import GREY, LINE, text

ROOT = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = ROOT / "include/ndtorch"

WIDTH, PAD, GAP = 860, 16, 12
LANE, NAME = 16, 108  # between two lanes of arrows; the width of the column of names
ARROW, BLUE, GREEN = "#46505e", "#1d5fa8", "#1f7a3a"
PUBLIC, WING = ("#fff6e0", "#b98a2c"), ("#f3f5f8", "#aab4c2")  # ground and border

# dtype.h is public, but all that is above numpy/ reads it, and so does numpy/ itself: it is drawn beside numpy/.
TABLE, BESIDE = "dtype.h", "numpy"

# What happens in which file, in this order. Arrays become tensors in blue, tensors become arrays in green.
FLOWS = [
    ("A", "from_numpy(a): an array to a tensor", BLUE, [
        ("from_numpy.h", "is called"),
        ("numpy/array.h", "describes the array, or says what is wrong"),
        ("memory/strided_view.h", "is that description"),
        ("torch/share_array.h", "puts the next two together"),
        ("torch/owner.h", "will keep the array alive"),
        ("torch/tensor.h", "makes the tensor"),
    ]),
    ("B", "as_tensor(x): anything to a tensor", BLUE, [
        ("from_numpy.h", "is called"),
        ("torch/request.h", "reads the options"),
        ("holders/from_any.h", "tells the kinds of data apart"),
        ("torch/share_array.h", "shares an array, as in A"),
        ("torch/copy_array.h", "copies what can't be shared"),
        ("holders/protocols.h", "asks other holders of memory"),
        ("holders/sequence.h", "reads numbers and lists"),
    ]),
    ("C", "tensor_t<…>: an argument of a function", BLUE, [
        ("typed.h", "is asked by pybind11"),
        ("arguments/requirements.h", "has what the type asks for"),
        ("arguments/read_argument.h", "checks the object"),
        ("torch/share_array.h", "shares an array, as in A"),
        ("torch/copy_array.h", "copies, if that is allowed"),
        ("arguments/mismatch.h", "else says the reason"),
    ]),
    ("D", "to_numpy(t): a tensor to an array", GREEN, [
        ("to_numpy.h", "is called"),
        ("torch/expose_tensor.h", "does the next five where needed"),
        ("torch/tensor.h", "checks the tensor"),
        ("torch/transfer.h", "copies it from its device"),
        ("torch/storage.h", "finds its memory"),
        ("torch/owner.h", "will keep the storage alive"),
        ("numpy/array.h", "makes the array"),
    ]),
]


def part_of(header):
    """Of a header, by its path below include/ndtorch: its wing, "dtype.h" or "public"."""
    path = pathlib.PurePath(header)
    if path.parts[0] == "detail":
        return path.parts[1]
    return TABLE if header == TABLE else "public"


def read_tree():
    """The files of each part, and each include as a pair of headers."""
    files, includes = {}, []
    for path in sorted(INCLUDE.rglob("*.h")):
        header = path.relative_to(INCLUDE).as_posix()
        files.setdefault(part_of(header), []).append(path.name)
        found = re.findall(r"^#include <ndtorch/(.*)>", path.read_text(encoding="utf-8"), re.MULTILINE)
        includes += [(header, name) for name in found]
    return files, includes


def read_table():
    """What each wing knows, by its name and from the top down."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| wing \|.*\n\|[-|]*\n((?:\|.*\n)+)", page, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)/` \| (.*) \|$", table, re.MULTILINE)
    return {name: knows.replace("`", "") for name, knows in rows}


def header_of(step):
    return f"detail/{step}" if "/" in step else step


def check_flows(includes):
    for letter, _, _, steps in FLOWS:
        headers = [header_of(step) for step, _ in steps]
        for i, header in enumerate(headers[1:], 1):
            if not any((before, header) in includes for before in headers[:i]):
                raise SystemExit(f"flow {letter}: no earlier step includes {header}")


def steps_at(header):
    return [(f"{letter}{number}", color) for letter, _, color, steps in FLOWS
            for number, (step, _) in enumerate(steps, 1) if header_of(step) == header]


def badge(x, y, words, color):
    return (f'<rect x="{x}" y="{y - 8}" width="22" height="16" rx="8" fill="{color}"/>'
            + text(x + 11, y + 4, words, size=11, weight="700", color="#ffffff", anchor="middle"))


def chips(x, y, right, names, prefix):
    """Files as boxes, from left to right and on more lines where they don't fit; and the lowest y."""
    parts, left = [], x
    for name in names:
        steps = steps_at(prefix + name)
        width = round(len(name) * 7.3) + 16 + 25 * len(steps)
        if x + width > right:
            x, y = left, y + 30
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="24" rx="5" fill="#ffffff" stroke="{LINE}"/>')
        parts.append(text(x + 8, y + 16, name, size=12, family="mono"))
        for i, (words, color) in enumerate(steps):
            parts.append(badge(x + width - 25 * (len(steps) - i) - 3, y + 12, words, color))
        x += width + 6
    return parts, y + 24


def box(x, y, width, height, colors):
    return (f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{colors[0]}" '
            f'stroke="{colors[1]}"/>')


def arrow(x, y, to):
    """A horizontal line with its head at `to`."""
    back = 7 if x > to else -7
    return (f'<path d="M{x} {y}H{to + back}" stroke="{ARROW}" stroke-width="1.5"/>'
            f'<path d="M{to} {y}l{back} -4v8z" fill="{ARROW}"/>')


def draw_table(x, y, right, includes):
    """dtype.h in the row of numpy/, and who of the two includes what of the other."""
    beside = f"detail/{BESIDE}/"
    readers = [one.removeprefix(beside) for one, other in includes if other == TABLE and one.startswith(beside)]
    read = [other.removeprefix(beside) for one, other in includes if one == TABLE and other.startswith(beside)]
    words, height = [], 26
    if readers:
        words.append(f"{', '.join(readers)} includes it")
    if read:
        words.append(f"it includes {', '.join(read)}")
    parts = [text(x + 10, y + 18, TABLE, size=12, weight="700", family="mono"),
             text(x + 72, y + 18, "public: the table of dtypes", size=12, color=GREY)]
    for line in words:
        height += 16
        parts.append(text(x + 10, y + height - 8, line, size=12, color=GREY))
    return [box(x, y, right - x, height, PUBLIC), *parts], y + height


def draw_lanes(rows, edges, right):
    """For each part a line down to it, with a dot wherever the line of a part that includes it meets it."""
    lanes = {part: right + 14 + LANE * i for i, part in enumerate(
        [part for part in rows if any(other == part for _, other in edges)])}
    parts, dots = [], []
    for part, (edge, _, leave) in rows.items():
        reached = [lanes[other] for one, other in sorted(edges) if one == part and other != part]
        if reached:
            parts.append(f'<path d="M{edge} {leave}H{max(reached)}" stroke="{LINE}" stroke-width="1.5"/>')
        dots += [f'<circle cx="{x}" cy="{leave}" r="4" fill="{ARROW}"/>' for x in reached]
    for part, x in lanes.items():
        edge, arrive, _ = rows[part]
        highest = min(rows[one][2] for one, other in edges if other == part)
        parts.append(f'<path d="M{x} {highest}V{arrive}" fill="none" stroke="{ARROW}" stroke-width="1.5"/>')
        parts.append(arrow(x, arrive, edge))
    return parts + dots


def draw_flows(y):
    parts, column = [], (WIDTH - 2 * PAD) // 2
    for i in range(0, len(FLOWS), 2):
        for at, (letter, title, color, steps) in enumerate(FLOWS[i:i + 2]):
            x = PAD + at * column
            parts.append(text(x, y + 16, title, size=14, weight="700", color=color))
            for number, (step, does) in enumerate(steps, 1):
                line = y + 16 + 22 * number
                parts.append(badge(x, line - 4, f"{letter}{number}", color))
                parts.append(text(x + 29, line, step, size=12, family="mono"))
                parts.append(text(x + 38 + round(len(step) * 7.3), line, does, size=12, color=GREY))
        y += 22 * max(len(flow[3]) for flow in FLOWS[i:i + 2]) + 36
    return parts, y


def in_words(knows, files, edges):
    """The picture as text, for those who hear it."""
    lines = ["From the top down:"]
    for part, what in {**knows, TABLE: f"public, beside {BESIDE}"}.items():
        included = sorted(other for one, other in edges if one == part)
        lines.append(f"{part} ({what}) has {', '.join(files[part])}"
                     f" and includes {', '.join(included) or 'none of the others'}.")
    for letter, title, _, steps in FLOWS:
        lines.append(f"{letter}, {title}: " + "; ".join(f"{step} {does}" for step, does in steps) + ".")
    return "\n".join(lines)


def draw():
    files, includes = read_tree()
    check_flows(includes)
    edges = {(part_of(one), part_of(other)) for one, other in includes}
    edges = {(one, other) for one, other in edges if one != other}
    if "public" in {other for _, other in edges}:
        raise SystemExit("a wing includes a public header other than dtype.h")
    knows = {"public": "what users include: the public functions and their comments", **read_table()}
    if set(knows) | {TABLE} != set(files):
        raise SystemExit(f"CONTRIBUTING.md's table has {list(knows)}, include/ndtorch has {list(files)}")

    # The two that stand beside each other are joined by words, the others by lanes.
    joined = {(TABLE, BESIDE), (BESIDE, TABLE)}
    lanes = sorted({other for _, other in edges})
    right = WIDTH - PAD - 14 - LANE * (len(lanes) - 1) - 6
    parts = [text(PAD, PAD + 20, "The wings of include/ndtorch/", size=19, weight="700"),
             f'<circle cx="{PAD + 11}" cy="{PAD + 38}" r="4" fill="{ARROW}"/>',
             text(PAD + 29, PAD + 42, "The wing whose line has this dot includes what the arrow below the dot "
                  "points to.", size=13, color=GREY),
             badge(PAD, PAD + 59, "A1", BLUE),
             text(PAD + 29, PAD + 63, "The file does this step of one of the four conversions that are listed below.",
                  size=13, color=GREY)]
    y, rows = PAD + 84, {}
    for part, what in knows.items():
        top, x = y, PAD + NAME + 12
        body = [text(PAD + 12, y + 23, part if part == "public" else f"{part}/", size=15, weight="700",
                     family="sans" if part == "public" else "mono")]
        y += 6
        for line in textwrap.wrap(what, 90):
            y += 17
            body.append(text(x, y, line, size=12.5))
        prefix = "" if part == "public" else f"detail/{part}/"
        end = right - 12
        bottom = 0
        if part == BESIDE:
            end = right - 12 - 240 - 8
            beside, bottom = draw_table(end + 8, y + 10, right - 12, includes)
            rows[BESIDE] = (right, top + 18, bottom + 8)
            rows[TABLE] = (right - 12, y + 24, bottom - 6)
            body += beside
        drawn, low = chips(x, y + 10, end, files[part], prefix)
        y = max(low, bottom) + 16
        parts += [box(PAD, top, right - PAD, y - top, PUBLIC if part == "public" else WING), *body, *drawn]
        if part != BESIDE:
            rows[part] = (right, top + 18, y - 12)
        y += GAP
    parts += draw_lanes(rows, edges - joined, right)
    drawn, y = draw_flows(y + 8)
    parts += drawn
    height = y + PAD - 20
    body = "\n".join(parts)
    words = in_words(knows, files, edges)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title words">\n'
            f'<title id="title">The wings of ndtorch, and how data flows through them</title>\n'
            f'<desc id="words">{escape(words)}</desc>\n'
            f'<rect width="{WIDTH}" height="{height}" rx="12" fill="#ffffff"/>\n{body}\n</svg>\n')


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
