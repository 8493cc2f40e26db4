from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> None:
    """Forests are what is tested here: they have all their trees."""
