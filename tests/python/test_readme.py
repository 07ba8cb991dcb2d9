"""The README's first extension: the code that it shows is the code that runs.

The directory with the built module has to be on PYTHONPATH.
"""

import doctest

import first

from support import ROOT, blocks_in

README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_file_that_is_built():
    assert blocks_in("cpp", README)[0] == (ROOT / "examples" / "first" / "first.cpp").read_text()


def test_the_readmes_setup_py_is_one_that_a_consumer_is_built_with():
    setup = (ROOT / "tests/consumers/cpp_extension/setup.py").read_text()
    assert blocks_in("python", README)[1] == setup.replace("consumer", "first")


def test_the_readmes_session_prints_what_it_says():
    test = doctest.DocTestParser().get_doctest(blocks_in("python", README)[0], {}, "README", None, None)
    assert doctest.DocTestRunner().run(test).attempted > 3
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_extension_names_its_types_in_the_docstring():
    assert '[m, 3]", "flags.writeable"' in first.normalize.__doc__
