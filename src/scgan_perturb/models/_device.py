"""The device that networks run on, through Lightning Fabric."""

from __future__ import annotations

from lightning_fabric import Fabric


def open_fabric(accelerator: str) -> Fabric:
    """One device in float32: `"auto"` takes a CUDA or Apple GPU where there is one.

    Raises
    ------
    ValueError
        If there is no such accelerator, or it is not available.
    """
    try:
        fabric = Fabric(accelerator=accelerator, devices=1, precision="32-true")
    except (ValueError, RuntimeError, ImportError) as error:
        msg = f"accelerator={accelerator!r} cannot be used: {error}"
        raise ValueError(msg) from error
    fabric.launch()
    return fabric
