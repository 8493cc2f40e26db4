"""Whether dense layers are faster in bfloat16 on a device."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear

from ._threads import threads_for

if TYPE_CHECKING:
    from collections.abc import Callable

FLOAT32, BFLOAT16 = "32-true", "bf16-mixed"
# Samples, inputs and outputs of a product: the classifier's second layer. It takes 2 ms; its ratio
# of the two precisions is about that of whole steps, see benchmarks/busy.py.
SAMPLES, INPUTS, OUTPUTS = 128, 1024, 512
REPEATS = 7
LEAST_GAIN = 1.1  # below it the precision could differ from run to run


@cache
def faster_precision(device: torch.device) -> str:
    """The faster precision of dense layers on a device, measured once per process on a processor.

    A processor can have instructions for bfloat16 that are slower than those for float32. GPUs with
    such instructions are always faster with them.
    """
    if not has_bfloat16(device):
        return FLOAT32
    if device.type != "cpu":
        return BFLOAT16
    x, weight = torch.ones(SAMPLES, INPUTS), torch.ones(OUTPUTS, INPUTS)
    with torch.inference_mode(), threads_for(2 * SAMPLES * INPUTS * OUTPUTS):
        faster_by = gain(
            lambda: linear(x.bfloat16(), weight.bfloat16()),  # with the casts of mixed precision
            lambda: linear(x, weight),
        )
    return BFLOAT16 if faster_by >= LEAST_GAIN else FLOAT32


def gain(call: Callable[[], object], reference: Callable[[], object]) -> float:
    """How many times faster a call is than the reference, the best of several repeats each."""
    best, best_of_reference = float("inf"), float("inf")
    for _ in range(REPEATS):  # in turn, as both then meet the same load
        best = min(best, _seconds(call))
        best_of_reference = min(best_of_reference, _seconds(reference))
    return best_of_reference / best


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def has_bfloat16(device: torch.device) -> bool:
    """Whether the chip has bfloat16 instructions."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch has no public function for this; a missing private one counts as no.
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
    return False
