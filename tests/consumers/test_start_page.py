"""docs/start.md, followed to the letter: the files and commands of its first four sections."""

import doctest
import re

from environments import ROOT, generator
from support import blocks_in

PAGE = (ROOT / "docs/start.md").read_text().partition("## 5.")[0]


def test_the_start_page_leads_to_an_extension_that_works(environment, tmp_path):
    install, build = blocks_in("sh", PAGE)
    # The environment has what that installs, a wheel of this checkout.
    assert install == "pip install .\n"
    [source], [project], [session] = (
        blocks_in(language, PAGE) for language in ("cpp", "cmake", "python"))
    (tmp_path / "first.cpp").write_text(source)
    (tmp_path / "CMakeLists.txt").write_text(project)
    variables = environment.variables | ({"CMAKE_GENERATOR": "Ninja"} if generator() else {})
    for line in re.sub(r"\\\n *", "", build).splitlines():
        assert line in (
            "cmake -B build -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE=$(which python) "
            "-Dndtorch_DIR=$(python -m ndtorch --cmakedir)",
            "cmake --build build")
        environment.run(line, cwd=tmp_path, env=variables)

    examples = doctest.DocTestParser().get_examples(session)
    assert len(examples) == 5
    (tmp_path / "session.txt").write_text(session)
    environment.run(environment.python, "-m", "doctest", tmp_path / "session.txt",
                    cwd=tmp_path / "build",
                    env=environment.variables | {"PYTHONPATH": str(tmp_path / "build")})
