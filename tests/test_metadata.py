"""What is told to registries is what the package says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("field", ["name", "version", "license"])
def test_meta_yaml_agrees_with_pyproject(field):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert yaml.safe_load((ROOT / "meta.yaml").read_text("utf-8"))[field] == project[field]
