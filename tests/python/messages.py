"""The texts that stand in ndtorch's headers, read without a compiler."""

import codecs
import re

from support import ROOT

INCLUDE = ROOT / "include"
# In this order: a quote in a comment begins no literal, and neither does one in a character literal.
TOKEN = re.compile(r"""
    //[^\n]* | /\*.*?\*/ | '(?:\\.|[^'\\\n])+' | (?P<text>"(?:\\.|[^"\\\n])*") | (?P<gap>\s+) | .
    """, re.VERBOSE | re.DOTALL)


def literals(path):
    """The string literals of a file; those that the compiler joins are one."""
    parts, found = None, []
    for token in TOKEN.finditer(path.read_text()):
        if token["text"]:
            parts = (parts or "") + codecs.decode(token["text"][1:-1], "unicode_escape")
        elif parts is not None and not token["gap"]:
            found.append(parts)
            parts = None
    return found


def sentences():
    """Those of three words and more, by file: what a user may get to read."""
    return {
        str(path.relative_to(INCLUDE)): [
            text for text in literals(path) if " " in text.strip() and len(re.findall(r"[A-Za-z]{2,}", text)) >= 3]
        for path in sorted(INCLUDE.rglob("*.h"))
    }
