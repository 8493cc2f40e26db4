"""The device and the precision that networks run with, through Lightning Fabric."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric

FLOAT32, BFLOAT16 = "32-true", "bf16-mixed"
PRECISIONS = ("auto", FLOAT32, BFLOAT16)


def open_fabric(accelerator: str, precision: str = FLOAT32) -> Fabric:
    """One device: `"auto"` takes a CUDA or Apple GPU where there is one.

    Parameters
    ----------
    accelerator
        Device as Lightning Fabric names them.
    precision
        What dense layers compute in: `"32-true"`, `"bf16-mixed"`, or `"auto"` for the latter where
        the chip has instructions for it. Weights and their updates are float32 in any case.

    Raises
    ------
    ValueError
        If there is no such precision or accelerator, or it is not available.
    """
    if precision not in PRECISIONS:
        msg = f"precision must be one of {', '.join(map(repr, PRECISIONS))}, not {precision!r}."
        raise ValueError(msg)
    try:
        fabric = Fabric(accelerator=accelerator, devices=1)
        if precision == BFLOAT16 or (precision == "auto" and has_bfloat16(fabric.device)):
            fabric = Fabric(accelerator=accelerator, devices=1, precision="bf16-mixed")
    except (ValueError, RuntimeError, ImportError) as error:
        msg = f"accelerator={accelerator!r} cannot be used: {error}"
        raise ValueError(msg) from error
    fabric.launch()
    return fabric


def has_bfloat16(device: torch.device) -> bool:
    """Whether the chip multiplies bfloat16 by itself, not by way of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # No public question yet; where one of these is missing, the answer is no.
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, lambda: False)() for name in asked)
    return False
