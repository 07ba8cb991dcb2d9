"""What stands in two places says the same in both: versions, pins, make targets, files."""

import re

import pytest

import release
from support import MAKE_TARGETS, ROOT

CITATION = f"title: x\nversion: {release.version()}\nlicense: y\n"
RELEASED = f"# Changelog\n\n## [Unreleased]\n\n## [{release.version()}] - 2026-01-02\n\n### Added\n"


def test_a_release_may_go_out_when_all_files_name_its_version():
    assert list(release.problems(RELEASED, CITATION, f"v{release.version()}", [])) == []


@pytest.mark.parametrize("changelog, citation, tag, dirty, problem", [
    (RELEASED, CITATION, "v9.9.9", [], "the tag is v9.9.9"),
    (RELEASED, "version: 9.9.9\n", "", [], "CITATION.cff"),
    (RELEASED.replace("] - 2026-01-02", "]"), CITATION, "", [], "with a date"),
    ("## [Unreleased]\n\n### Added\n" + RELEASED, CITATION, "", [], "under [Unreleased]"),
    (RELEASED, CITATION, "", ["README.md"], "not committed: README.md"),
])
def test_a_release_is_held_back(changelog, citation, tag, dirty, problem):
    (found,) = release.problems(changelog, citation, tag, dirty)
    assert problem in found


def test_the_citation_names_the_version():
    assert f"\nversion: {release.version()}\n" in (ROOT / "CITATION.cff").read_text()


def test_pre_commit_runs_the_versions_that_make_lint_runs():
    pins = re.findall(r"additional_dependencies: \[(.*)\]",
                      (ROOT / ".pre-commit-config.yaml").read_text())
    assert len(pins) == 3
    assert set(pins) <= set((ROOT / "requirements-dev.txt").read_text().split("\n"))


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")),
                         ids=lambda path: path.name)
def test_workflows_call_make_targets(workflow):
    text = workflow.read_text()
    called = re.findall(r"make ([a-z-]+)", text)
    for listed in re.findall(r"target: \[(.*)\]", text):
        called += [entry.split()[0] for entry in listed.split(", ")]
    assert called
    assert set(called) <= MAKE_TARGETS


def test_contributing_names_what_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"`([\w./]+/[\w./]*)`", text):
        if "test_x" not in path and not path.startswith("/"):
            places = [ROOT / path, ROOT / "include/ndtorch" / path,
                      ROOT / "include/ndtorch/detail" / path, ROOT / "tests" / path]
            assert any(place.exists() for place in places), path
    for target in re.findall(r"make ([a-z-]+)", text):
        assert target in MAKE_TARGETS


# From the bottom up: a wing includes what is in itself and in those before it. (dtype.h, which is public,
# is the table that numpy/ and all above it read.)
WINGS = ["python", "memory", "numpy", "torch", "holders", "arguments"]
HEADERS = sorted((ROOT / "include/ndtorch").rglob("*.h"))


def test_every_header_is_public_or_in_a_wing():
    detail = ROOT / "include/ndtorch/detail"
    assert {path.parent.name for path in HEADERS if detail in path.parents} == set(WINGS)
    assert list(detail.glob("*.h")) == []


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_includes_nothing_from_above_itself(wing):
    allowed = [f"detail/{name}/" for name in WINGS[:WINGS.index(wing) + 1]]
    if wing not in ("python", "memory"):
        allowed.append("dtype.h")
    wrong = [
        (path.name, name) for path in HEADERS if path.parent.name == wing
        for name in re.findall(r"^#include <ndtorch/(.*)>", path.read_text(), re.MULTILINE)
        if not name.startswith(tuple(allowed))]
    assert wrong == []


def test_the_table_of_dtypes_includes_nothing_of_libtorchs_wing():
    includes = re.findall(r"^#include <ndtorch/detail/(.*)>",
                          (ROOT / "include/ndtorch/dtype.h").read_text(), re.MULTILINE)
    assert {name.split("/")[0] for name in includes} <= {"python", "numpy"}
