"""docs/errors.md has every message of the headers, and no other."""

import re

import messages
from messages import ROOT

# What these say is no error: annotations of signatures, and the lines of explain().
NO_ERRORS = ["ndtorch/detail/signature.h", "ndtorch/explain.h"]
# Words of others' errors that are recognised, a docstring, and the descriptions of what came, which
# the page has as `…`.
NOT_OURS = [
    "DefaultCPUAllocator: can't allocate memory", "\nException raised from ", "Failed to allocate a ",
    "A tensor's memory, for from_dlpack() of any library.",
    "an array of shape ", "a tensor of shape ", "a torch.Tensor of shape ", "a DLPack tensor of "]


def plain(text):
    return " ".join(text.split())


def page():
    """The messages of the page, without the parts that are filled in."""
    blocks = re.findall(r"```text\n(.*?)\n```", (ROOT / "docs/errors.md").read_text(), re.DOTALL)
    assert len(blocks) > 100
    return [plain(part) for block in blocks for part in block.split("…")]


def headers():
    return {path: [text for text in texts if text not in NOT_OURS]
            for path, texts in messages.sentences().items() if path not in NO_ERRORS}


def test_the_page_has_each_message_of_the_headers():
    parts = page()
    missing = [f"{path}: {text}" for path, texts in headers().items() for text in texts
               if not any(plain(text) in part for part in parts)]
    assert missing == []


def test_the_headers_have_each_message_of_the_page():
    texts = [plain(text) for path in sorted(messages.INCLUDE.rglob("*.h"))
             for text in messages.literals(path)]
    known = sorted(filter(None, texts), key=len, reverse=True)
    strange = []
    for part in page():
        # A message is put together: what no literal has is what is left of it.
        left = part
        for text in known:
            left = left.replace(text, " ") if len(text) > 1 else left
        if re.search(r"[A-Za-z]{2,}", left):
            strange.append((part, left))
    assert strange == []


def test_what_is_left_out_is_in_the_headers_and_throws_nothing():
    texts = [text for path in messages.INCLUDE.rglob("*.h") for text in messages.literals(path)]
    assert [text for text in NOT_OURS if text not in texts] == []
    for path in NO_ERRORS:
        assert "throw " not in re.sub(r"//.*", "", (messages.INCLUDE / path).read_text())
