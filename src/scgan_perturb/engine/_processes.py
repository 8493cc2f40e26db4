"""The processes that train together, and the part of each. Imports torch only where there are several."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def in_a_group() -> bool:
    """Whether this process trains with others, or has done so."""
    if "torch" not in sys.modules:
        return False
    from torch import distributed  # noqa: PLC0415 (torch takes seconds)

    return distributed.is_available() and distributed.is_initialized()


def is_first() -> bool:
    """Whether this process is alone or has rank 0."""
    if not in_a_group():
        return True
    from torch import distributed  # noqa: PLC0415

    return distributed.get_rank() == 0


def part(fabric: Fabric, n: int) -> slice:
    """The consecutive part of n items for this process; empty if there are too few."""
    return slice(
        n * fabric.global_rank // fabric.world_size,
        n * (fabric.global_rank + 1) // fabric.world_size,
    )


def gather_objects(fabric: Fabric, local: Any) -> list[Any]:
    """The objects of all processes, by rank. They are pickled, so they should be small."""
    found = [local] * fabric.world_size
    if fabric.world_size > 1:
        from torch import distributed  # noqa: PLC0415

        distributed.all_gather_object(found, local)
    return found
