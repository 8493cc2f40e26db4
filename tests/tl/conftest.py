from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scgan_perturb.metrics import _two_sample

if TYPE_CHECKING:
    from collections.abc import Iterator

N_TREES = 20
SMALL = {"N_TREES": N_TREES, "N_TREES_PER_FOLD": 5}


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    """Smaller forests in `sp.tl.evaluate`, which would take more time than all else it does."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in SMALL.items():
            monkeypatch.setattr(_two_sample, name, value)
        yield
