"""docs/errors.md has every message of the headers, and no other."""

import re

import messages
from support import ROOT, blocks_in

# What these say is no error: annotations of signatures, and the lines of explain().
NO_ERRORS = ["ndtorch/detail/arguments/signature.h", "ndtorch/explain.h",
             "ndtorch/detail/holders/explain_object.h"]
# Words of others' errors that are recognised, a docstring, and the descriptions of what came, which
# the page has as `…`.
NOT_OURS = [
    "DefaultCPUAllocator: can't allocate memory", "\nException raised from ", "Failed to allocate a ",
    "A tensor's memory, for from_dlpack() of any library.",
    "an array of shape ", "a tensor of shape ", "a torch.Tensor of shape ", "a DLPack tensor of ",
    # lines of explain()
    ": as_tensor reads it, with np.asarray(), as", ", a buffer: as_tensor reads it as",
    "shares its memory by __cuda_array_interface__", "shares its memory by __dlpack__",
    "shares the memory of the torch.Tensor",
    # annotations of signatures
    "typing.Union[str, torch.device]", "typing.Optional[dict[str, typing.Any]]"]


def plain(text):
    return " ".join(text.split())


def blocks_of(language):
    return blocks_in(language, (ROOT / "docs/errors.md").read_text())


def page():
    """The messages of the page, without the parts that are filled in."""
    blocks = blocks_of("text")
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


# The first words of a remedy.
REMEDY = re.compile(
    r"(?:^|[.:;,(] |or |and )(?:Use|use|Copy|copy|Cast|cast|Pass|Convert|convert|Fill|Give|Make|make|Take|take|Ask|ask|Say|"
    r"Leave|Return|Merge|call|Call|install|Install|Read|read its|Resolve|Reshape|Move|Export|Put|Pad|Update|Free|have|"
    r"Write|Define|Include|Keep|ndtorch::to_numpy does)\b")
# What no test of tests/subjects/test_remedies.cpp can bring about, and who shows it.
NOT_BROUGHT_ABOUT = {
    "can't write to read-only memory on": "a device without an allocator",
    "You may want to copy the array to protect its data": "a warning of PyTorch's: tests/torch/test_copy_on_write.cpp",
    "its mask would be lost. Fill the masked values first. Got": "memory of a GPU",
    "unsupported stream:": "a stream of a GPU's: tests/public/test_exchange_device.cpp",
    "Put the plain tensor inside there, or pass": "ndtorch::torch_python: tests/python/test_torch_python.py",
    "Cannot pack tensors on": "a kind of device that this LibTorch lacks",
    "Call it from there, not from a subinterpreter.": "tests/ends",
    "Keep the first one until the process ends.": "tests/ends",
    "was called without the GIL": "a debug build's: tests/interpreter/test_errors.cpp",
    "mdspan() can't describe": "C++23: tests/compile",
    "Free memory, or convert the data in parts.": "a machine without memory: tests/faults",
    "ndtorch/tensor_caster.h and torch/extension.h both": "the compiler's: tests/compile",
    "With NDTORCH_TORCH_PYTHON": "the compiler's: tests/compile",
    "ndtorch/options_caster.h and torch/extension.h both": "the compiler's: tests/compile",
    "and any_contig": "the compiler's: tests/compile",
    "give either exact_dtype or any_cast": "the compiler's: tests/compile",
    "give writable once": "the compiler's: tests/compile",
    "give one of returns::numpy": "the compiler's: tests/compile",
}


def test_each_remedy_of_the_page_is_applied_by_a_test():
    says = [plain(text).strip(". ") for text in messages.literals(ROOT / "tests/subjects/test_remedies.cpp")
            if len(re.findall(r"[A-Za-z]{2,}", text)) >= 3]
    # What a test says is filled in: of each part between the gaps it has some, or all of it.
    missing = []
    for block in blocks_of("text"):
        parts = [plain(part).strip(". ") for part in block.split("…")]
        remedies = [part for part in parts if REMEDY.search(part)]
        tried = any(part in text or text in part for part in remedies for text in says if len(part) > 8)
        if remedies and not tried and not any(words in plain(block) for words in NOT_BROUGHT_ABOUT):
            missing.append(plain(block))
    assert missing == []


def test_the_page_has_each_message_of_cmakes_files_and_no_other():
    written = {plain(text) for block in blocks_of("console") for text in re.split(r"\n(?=ndtorch)", block)}
    files = ["cmake/ndtorch_find_dependencies.cmake", "cmake/ndtorch_find_torch.cmake",
             "cmake/ndtorch_same_version.cmake"]
    # A message is one argument or several in a row, and begins with our name.
    argument = r'"(?:\\.|[^"\\])*"'
    said = set()
    for file in files:
        for text in re.findall(rf'"ndtorch(?=:? )(?:\\.|[^"\\])*"(?:\s+{argument})*', (ROOT / file).read_text()):
            joined = "".join(part[1:-1] for part in re.findall(argument, text))
            joined = joined.replace(r"\n", "\n").replace(r"\"", '"')
            said.add(plain(re.sub(r"\$\{\w+\}", "…", joined)))
    assert len(said) > 10
    assert said == written
