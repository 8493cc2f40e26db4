"""Devices, precision and processes that networks train with, through Lightning Fabric."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch.nn.parallel import DistributedDataParallel

from .._messages import check_choice, silence
from ._precision import BFLOAT16, FLOAT32, faster_precision
from ._processes import in_a_group

PRECISIONS = ("auto", FLOAT32, BFLOAT16)
STRATEGIES = ("auto", "ddp")
OPTIONS = ("accelerator", "strategy", "devices", "num_nodes", "precision")
# torch 2.13 renamed the option and warns about the old name.
_SEND_NO_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers": False
}


def open_fabric(
    accelerator: str,
    precision: str = FLOAT32,
    *,
    devices: int | str = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
) -> Fabric:
    """The device of this process, and its connection to others that train with it.

    Parameters
    ----------
    accelerator
        Device as Lightning Fabric names them; `"auto"` takes a CUDA GPU where there is one, else the
        CPU.
    precision
        Precision of dense layers: `"32-true"`, `"bf16-mixed"`, or `"auto"` for the faster of them.
        Weights and their updates are always float32.
    devices, num_nodes
        Devices of each machine, one process each, or `"auto"` for all of its GPUs; and machines.
    strategy
        `"auto"` uses DDP for several processes only, `"ddp"` for a single process as well.

    Raises
    ------
    ValueError
        If the precision, strategy or accelerator is unknown or not available, or the GPU is of
        Apple, or a launcher has started another number of processes.
    """
    _check(precision, devices, strategy)
    options: dict[str, Any] = {
        "accelerator": _of_auto() if accelerator == "auto" else accelerator,
        "devices": devices,
        "num_nodes": num_nodes,
    }
    try:
        expected: Any = _expected(options["accelerator"]) if precision == "auto" else precision
        with _without_information():
            fabric = Fabric(**options, precision=expected)
        _check_float64(fabric)
        in_group = strategy == "ddp" or not isinstance(fabric.strategy, SingleDeviceStrategy)
        if not in_group and fabric.device.type == "cuda" and in_a_group():
            # A process that has trained with others stays on its GPU.
            options["devices"] = [torch.cuda.current_device()]
        if in_group or options["devices"] != devices:
            fabric = _launched(options, expected, in_group=in_group)
        else:  # each Fabric takes milliseconds
            fabric.launch()
        if precision == "auto":
            # All processes use the precision of the first.
            faster = fabric.broadcast(faster_precision(fabric.device))
            if faster != expected:
                fabric = _launched(options, faster, in_group=in_group)
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        others = {"devices": devices, "num_nodes": num_nodes, "strategy": strategy}
        named = [f"{name}={value!r}" for name, value in others.items() if value not in (1, "auto")]
        msg = f"{', '.join([f'accelerator={accelerator!r}', *named])} cannot be used: {error}"
        raise ValueError(msg) from error
    if not fabric.is_global_zero:
        silence()
    return fabric


@contextmanager
def _without_information() -> Iterator[None]:
    """Keep back what Lightning says of its precision, which tells a biologist nothing."""
    lightning = logging.getLogger("lightning_fabric.utilities.rank_zero")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        yield
    finally:
        lightning.setLevel(level)


def _of_auto() -> str:
    """The accelerator of "auto", for which Lightning would take the GPU of an Apple computer."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _expected(accelerator: str) -> str:
    """The precision of "auto", as far as it is known before the device is."""
    return faster_precision(torch.device("cpu")) if accelerator == "cpu" else FLOAT32


def _check_float64(fabric: Fabric) -> None:
    """Raise ValueError for a device that has no float64, in which moments are summed."""
    if fabric.device.type == "mps":
        msg = "GPUs of Apple have no float64. Use accelerator='cpu', which is 'auto' here."
        raise ValueError(msg)


def _launched(options: Mapping[str, Any], precision: Any, *, in_group: bool) -> Fabric:
    # Buffers are equal in all processes already: see _shares.
    strategy = DDPStrategy(**_SEND_NO_BUFFERS) if in_group else "auto"
    with _without_information():
        fabric = Fabric(**options, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def resolve_fabric(fabric: Fabric | Mapping[str, Any] | None) -> Fabric:
    """The Fabric to train with, launched.

    Parameters
    ----------
    fabric
        A Fabric with one device or DDP; or keyword arguments of :func:`open_fabric`, whose
        precision is `"auto"` by default; None for one device.

    Raises
    ------
    ValueError
        If an option is unknown or cannot be used.
    """
    if not isinstance(fabric, Fabric):
        options = {} if fabric is None else fabric
        if not isinstance(options, Mapping):
            msg = f"fabric must be a lightning_fabric.Fabric or a dict of its options, not {fabric!r}."
            raise ValueError(msg)
        for name in options:
            check_choice("An option in fabric", name, OPTIONS)
        return open_fabric(**{"accelerator": "auto", "precision": "auto", **options})
    _check_float64(fabric)
    check_choice("precision", fabric.strategy.precision.precision, (FLOAT32, BFLOAT16))
    if isinstance(fabric.strategy, DDPStrategy):
        fabric.strategy._ddp_kwargs |= _SEND_NO_BUFFERS
    elif not isinstance(fabric.strategy, SingleDeviceStrategy):
        msg = f"fabric uses {type(fabric.strategy).__name__}: use one device or strategy='ddp'."
        raise ValueError(msg)
    if not fabric._launched:  # a second launch would start the processes again
        fabric.launch()
    if not fabric.is_global_zero:
        silence()
    return fabric


def accelerator_of(fabric: Fabric | Mapping[str, Any] | None) -> str:
    """Name of the accelerator, for workers on other machines."""
    if isinstance(fabric, Fabric):
        return fabric.device.type
    return str((fabric or {}).get("accelerator", "auto"))


def device_of(accelerator: str | torch.device) -> torch.device:
    """The device that :func:`open_fabric` gives this process; a device is returned unchanged.

    The device of each accelerator is cached, because finding it is slow.

    Raises
    ------
    ValueError
        If there is no such accelerator, or it is not available.
    """
    if isinstance(accelerator, torch.device):
        return accelerator
    # Distributed training can change the device.
    return _device_of(accelerator, in_a_group())


@cache
def _device_of(accelerator: str, has_trained_with_others: bool) -> torch.device:  # noqa: ARG001
    return open_fabric(accelerator).device


def _check(precision: str, devices: int | str, strategy: str) -> None:
    check_choice("precision", precision, PRECISIONS)
    check_choice("strategy", strategy, STRATEGIES)
    if devices != "auto" and (not isinstance(devices, int) or devices < 1):
        msg = f"devices must be a whole number of at least 1, or 'auto', not {devices!r}."
        raise ValueError(msg)
