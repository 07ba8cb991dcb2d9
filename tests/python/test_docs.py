"""The code in docs/ is code that the tests compile."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("page, source", [
    ("lifetime.md", "tests/load/locks.cpp"), ("gpu.md", "tests/test_to_numpy_async.cpp")])
def test_a_page_shows_code_that_is_built(page, source):
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"```cpp\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        assert block in (ROOT / source).read_text()
