"""A training run on disk: written whole or not at all, gone on with only by the same run."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .._messages import logger
from .._settings import settings
from ..engine._shares import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import nn


State = dict[str, torch.Tensor]
Record = dict[str, float]
FORMAT = "1"


class Trainer(Protocol):
    """What can be written and read back."""

    def state(self) -> State:
        """All that changes while it trains, by name."""

    def load(self, state: State) -> None:
        """Go on from such a state."""


@dataclass
class Checkpoint:
    """One file with the state of one training run.

    Parameters
    ----------
    path
        The file; its folder is made.
    identity
        What the run is of, and how it is run: text by name. A file that differs in any of it is
        refused by that name.
    fabric
        The processes of the run: all of them read the file, and the first writes it.
    """

    path: Path
    identity: Mapping[str, str]
    fabric: Fabric
    _written: float = field(default=0.0, init=False)
    _n_epochs: int = field(default=0, init=False)

    def resume(self, trainer: Trainer) -> list[Record]:
        """Put the trainer into the state of the file, if there is one; returns the history.

        Raises
        ------
        ValueError
            If the file is damaged, of another run, or not the same for all processes.
        """
        self._written = time.monotonic()
        history = self._read(trainer) if self.path.is_file() else []
        self._n_epochs = len(history)
        self._compare()
        if history:
            logger.info("Going on after epoch %d, from %s.", self._n_epochs, self.path)
        return history

    def _read(self, trainer: Trainer) -> list[Record]:
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["run"])
                self._check(about["identity"])
                trainer.load({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, json.JSONDecodeError, KeyError, RuntimeError, OSError) as error:
            msg = f"The checkpoint {self.path} is damaged ({error}). Delete it to start anew."
            raise ValueError(msg) from error
        return about["history"]

    def _compare(self) -> None:
        own = torch.tensor([self._n_epochs], device=self.fabric.device)
        found = gathered(self.fabric, own, self.fabric.world_size)
        if found.min() != found.max():
            msg = (
                f"Processes found {self.path} after different epochs: {found.tolist()}. The folder "
                "must be one that all machines share."
            )
            raise ValueError(msg)

    def _check(self, found: Mapping[str, str]) -> None:
        wanted = {"format": FORMAT, **self.identity}
        differing = [
            f"{name} (was {found.get(name, 'not there')}, is {wanted.get(name, 'not there')})"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        ]
        if differing:
            msg = (
                f"The checkpoint {self.path} is of another run; what differs: "
                f"{'; '.join(differing)}. Name another folder, or delete it to start anew."
            )
            raise ValueError(msg)

    def save(self, trainer: Trainer, history: list[Record], *, is_last: bool) -> None:
        """Write the state, if it is the last or the file is old."""
        if not self.fabric.is_global_zero:
            return
        if not is_last and time.monotonic() - self._written < settings.checkpoint_interval:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        about = {"identity": {"format": FORMAT, **self.identity}, "history": history}
        tensors = {name: tensor.detach().contiguous() for name, tensor in trainer.state().items()}
        beside = self.path.with_suffix(".part")
        save_file(tensors, beside, {"run": json.dumps(about)})
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        # A kill at any instant leaves the file before or the file after.
        beside.replace(self.path)
        self._written, self._n_epochs = time.monotonic(), len(history)

    def say_where(self) -> None:
        """Tell the user what a stop left."""
        if self._n_epochs:
            text = "Stopped. The same call goes on after epoch %d, from %s."
            logger.info(text, self._n_epochs, self.path)
        else:
            logger.info("Stopped before the first state was written to %s.", self.path)


def module_state(name: str, module: nn.Module) -> State:
    """Weights and buffers of a network, by name."""
    return {f"{name}.{part}": tensor for part, tensor in module.state_dict().items()}


def load_module(name: str, module: nn.Module, state: State) -> None:
    """Give a network what :func:`module_state` said, in place."""
    module.load_state_dict(dict(_parts(name, state)))


def optimizer_state(name: str, optimizer: torch.optim.Optimizer) -> State:
    """Moments, counts and learning rate of an optimiser of one group, by name."""
    (group,) = optimizer.param_groups
    rate = torch.as_tensor(group["lr"], dtype=torch.float64)
    return {f"{name}.lr": rate} | {
        f"{name}.{place}.{part}": tensor
        for place, weight in enumerate(group["params"])
        for part, tensor in optimizer.state[weight].items()
    }


def load_optimizer(name: str, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimiser what :func:`optimizer_state` said, in place."""
    (group,) = optimizer.param_groups
    for key, tensor in _parts(name, state):
        if key != "lr":
            place, part = key.split(".")
            weight = group["params"][int(place)]
            optimizer.state[weight][part] = tensor.to(weight.device)
        elif torch.is_tensor(group["lr"]):
            group["lr"].copy_(tensor)
        else:
            group["lr"] = tensor.item()


def _parts(name: str, state: State) -> Iterator[tuple[str, torch.Tensor]]:
    prefix = f"{name}."
    return ((key.removeprefix(prefix), t) for key, t in state.items() if key.startswith(prefix))
