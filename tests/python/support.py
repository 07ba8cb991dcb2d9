"""What several of these tests need."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def run_python(*arguments, statuses=(0,), **environment):
    """Runs this Python on what is given, and wants it to end with one of the statuses."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300,
        env=os.environ | environment)
    assert done.returncode in statuses, done.stdout + done.stderr
    return done


def load(path):
    """An example's script as a module, under a name that no other has."""
    name = "_".join(path.relative_to(ROOT).with_suffix("").parts)
    specification = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def blocks(markdown):
    """The fenced blocks of a text: (language, text)."""
    return re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


def blocks_in(language, markdown):
    return [text for known, text in blocks(markdown) if known == language]
