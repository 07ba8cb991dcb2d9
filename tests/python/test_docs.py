"""The code in docs/ is code that is built and run, and the commands there are commands that run."""

import difflib
import doctest
import json
import os
import pathlib
import re
import runpy

import first
import pytest

from support import MAKE_TARGETS, ROOT, blocks, blocks_in, run_python

PAGES = sorted((ROOT / "docs").glob("*.md"))
SCRIPTS = sorted((ROOT / "docs/snippets").glob("*.py"))
# Where the tests were built: <build>/examples/first/first.so.
BUILD = pathlib.Path(first.__file__).parents[2]

per_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code(page, language):
    return blocks_in(language, page.read_text())


def flat(text):
    """Without indentation, which is another in a namespace or a function."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.fixture(scope="session")
def built():
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    return [flat(pathlib.Path(one["file"]).read_text()) for one in commands
            if pathlib.Path(one["file"]).is_relative_to(ROOT)]


@per_page
def test_a_page_has_no_other_blocks_than_these(page):
    # What CMake prints ("console") is compared with its files in test_error_page.py.
    known = {"cpp", "cmake", "python", "sh", "text", "console", "diff"}
    found = blocks(page.read_text())
    assert page.read_text().count("\n```") == 2 * len(found)
    assert [language for language, _ in found
            if language not in known and not language.startswith("{")] == []


@per_page
def test_a_page_shows_code_that_is_built(page, built):
    assert [block for block in code(page, "cpp")
            if not any(flat(block) in source for source in built)] == []


@per_page
def test_a_page_shows_a_cmakelists_that_a_consumer_builds_with(page):
    consumers = [path.read_text().replace("consumer", "first")
                 for path in (ROOT / "tests/consumers").glob("*/CMakeLists.txt")]
    assert consumers
    assert [block for block in code(page, "cmake") if block not in consumers] == []


@per_page
def test_a_pages_python_prints_what_it_says(page):
    names = {}
    sessions = [block for block in code(page, "python") if block.startswith(">>> ")]
    for number, block in enumerate(sessions):
        if "import torch" in block:
            pytest.importorskip("torch")
        test = doctest.DocTestParser().get_doctest(block, names, f"{page.name}:{number}", None, None)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        assert runner.run(test, clear_globs=False).failed == 0
        assert runner.tries > 0
        names = test.globs


@per_page
def test_a_pages_other_python_is_of_a_script(page):
    scripts = [path.read_text() for path in SCRIPTS]
    assert [block for block in code(page, "python")
            if not block.startswith(">>> ") and not any(block in script for script in scripts)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_pages_scripts_run(script):
    results = {line.split(": ")[1].strip() for line in run_python(script).stdout.splitlines()}
    assert len(results) == 1  # each way gives the same


# With NDTORCH_UPDATE_DOCS set the page gets the difference.
def test_the_page_shows_the_whole_difference_of_both_ends():
    ends = [(ROOT / "docs/snippets" / name).read_text().splitlines()
            for name in ("ops_before.cpp", "ops_after.cpp")]
    difference = "\n".join(difflib.unified_diff(*ends, "before.cpp", "after.cpp", lineterm="", n=2))
    page = ROOT / "docs/from_torch_extension.md"
    text = page.read_text()
    if "NDTORCH_UPDATE_DOCS" in os.environ:
        begin, rest = text.split("```diff\n")
        page.write_text(f"{begin}```diff\n{difference}\n```{rest.split('```', 1)[1]}")
        return
    assert [block.rstrip("\n") for block in code(page, "diff")] == [difference]


@per_page
def test_a_page_shows_commands_that_something_runs(page):
    indented = re.findall(r"(?<=\n)\n((?:    \S[^\n]*\n)+)", re.sub(
        r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    lines = [line.split("  #")[0].strip() for block in code(page, "sh") + indented
             for line in re.sub(r"\\\n *", "", block).splitlines()]
    scripts = [path.read_text() for path in
               [ROOT / "Makefile", *(ROOT / "tests/consumers").glob("*.py"), *(ROOT / "tools").iterdir()]
               if path.is_file()]
    for line in lines:
        words = line.split()
        if words[0] == "make":
            assert words[1] in MAKE_TARGETS, line
        else:
            assert any(line in re.sub(r'"\s+"', "", script) for script in scripts), line


def test_the_chart_is_what_its_script_draws():
    drawn = runpy.run_path(str(ROOT / "docs/which_function.py"))["draw"]()
    assert (ROOT / "docs/which_function.svg").read_text(encoding="utf-8") == drawn


def test_the_picture_of_the_wings_shows_the_headers_as_they_are(monkeypatch):
    # It takes the chart's colours. A header that moves, or includes another wing, makes it out of date:
    # python docs/wings.py draws it anew.
    monkeypatch.syspath_prepend(ROOT / "docs")
    drawn = runpy.run_path(str(ROOT / "docs/wings.py"))["draw"]()
    assert (ROOT / "docs/wings.svg").read_text(encoding="utf-8") == drawn


def test_the_chart_names_functions_that_there_are():
    charts = runpy.run_path(str(ROOT / "docs/which_function.py"))["CHARTS"]
    headers = "".join(path.read_text() for path in (ROOT / "include/ndtorch").glob("*.h"))
    names = [re.match(r"\w+", function)[0] for *_, rows in charts for _, function, _ in rows]
    assert len(names) == 10
    assert [name for name in names if not re.search(rf"^(inline|class) .*\b{name}\b", headers,
                                                    re.MULTILINE)] == []


def test_the_reference_has_each_public_name():
    headers = {path: path.read_text() for path in
               [*(ROOT / "include/ndtorch").glob("*.h"), *(ROOT / "include/ndtorch/detail/arguments").glob("*.h")]}
    names = set()
    for text in headers.values():
        depth = 0  # of ndtorch::detail, which is nobody's business
        for line in text.splitlines():
            if re.match(r"namespace (\[\[.*\]\] )?(pybind11::)?detail", line):
                depth = 1
            elif re.match(r"}  // namespace (pybind11::)?detail", line):
                depth = 0
            elif not depth:
                names |= set(re.findall(
                    r"^(?:inline |template <.*> )?(?:[\w:<>&]+ )?(?:struct|class|enum class) (\w+)(?= ?[{:])", line))
                names |= set(re.findall(r"^(?:inline |\[\[nodiscard\]\] )*(?:[\w:]+) (\w+)\((?:const )?(?:py|at|c10)::", line))
    assert {"tensor_t", "from_numpy", "writable", "any_contig", "translate_errors", "device_of"} < names
    reference = (ROOT / "docs/api.md").read_text()
    assert [name for name in sorted(names)
            if not re.search(rf"^### {name}$|<a id=\"{name}\">|`\w+::{name}\b", reference, re.MULTILINE)] == []


def test_a_links_file_and_heading_are_there():
    def anchors(page):
        text = page.read_text()
        slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
                 for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
        repeated = [f"{slug}-{slugs[:i].count(slug)}" for i, slug in enumerate(slugs) if slug in slugs[:i]]
        return {*slugs, *repeated, *re.findall(r'<a id="([\w-]+)">', text)}

    missing = []
    for page in [*PAGES, ROOT / "README.md", ROOT / "examples/README.md"]:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"`[^`]*<(snippets/[^>]+)>`", text):
            file, _, heading = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if "://" in link or (target.is_dir() and not heading):
                continue
            if not target.is_file() or (heading and heading not in anchors(target)):
                missing.append(f"{page.name}: {link}")
    assert missing == []


def test_each_page_is_in_the_sites_list():
    index = (ROOT / "docs/index.md").read_text()
    for page in PAGES:
        if page.name != "index.md":
            assert f"]({page.name})" in index
            assert f"\n{page.stem}\n" in index
