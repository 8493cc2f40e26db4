"""What is told to registries is what the package says of itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAPERS = {"10.48550/arXiv.1907.00118", "10.1016/j.patter.2020.100087"}


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


@pytest.mark.parametrize("field", ["name", "version", "license"])
def test_meta_yaml_agrees_with_pyproject(field):
    assert read("meta.yaml")[field] == PROJECT[field]


@pytest.mark.parametrize(
    ("field", "ours"), [("title", "name"), ("version", "version"), ("license", "license")]
)
def test_citation_agrees_with_pyproject(field, ours):
    assert read("CITATION.cff")[field] == PROJECT[ours]


def test_both_papers_are_cited_everywhere():
    assert {reference["doi"] for reference in read("CITATION.cff")["references"]} == PAPERS
    assert set(read("meta.yaml")["publications"]) == PAPERS
    bibliography = (ROOT / "docs" / "references.bib").read_text("utf-8")
    assert set(re.findall(r"doi = {(\S+)}", bibliography)) >= PAPERS


def test_the_repository_has_one_address():
    home = read("meta.yaml")["project_home"]
    assert {PROJECT["urls"]["Source"], read("CITATION.cff")["repository-code"]} == {home}
    assert PROJECT["urls"]["Documentation"] == read("meta.yaml")["documentation_home"]


def test_every_python_that_is_promised_is_tested():
    tested = read(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    version = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    assert tested["python"] == version.findall("\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={tested['python'][0]}"
    assert tested["include"] == [{"python": tested["python"][-1], "install": "--pre"}]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path):
    used = re.findall(r"uses: (\S+)(.*)", path.read_text("utf-8"))
    assert used
    for action, version in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", version)


def test_the_checklist_has_its_nine_mandatory_items():
    text = (ROOT / "docs" / "scverse.md").read_text("utf-8")
    table = text.partition("## Mandatory\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| .* \| (?:met|ready) \| ", table, re.MULTILINE)) == 9
