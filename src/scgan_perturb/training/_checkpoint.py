"""Checkpoints of a training run: written atomically, resumed only by the same run."""

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
from ..engine._shares import gather

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import nn


State = dict[str, torch.Tensor]
Record = dict[str, float]
FORMAT = "1"


class Trainer(Protocol):
    """A trainer whose state can be saved and restored."""

    def state(self) -> State:
        """All tensors that change in training, by name."""

    def load(self, state: State) -> None:
        """Restore a state."""


@dataclass
class Checkpoint:
    """One file with the state of one training run.

    Parameters
    ----------
    path
        The file; its folder is created.
    identity
        Data and settings of the run: text by name. A file with another value is refused.
    fabric
        The processes of the run: all read the file, rank 0 writes it.
    """

    path: Path
    identity: Mapping[str, str]
    fabric: Fabric
    _written: float = field(default=0.0, init=False)
    _n_epochs: int = field(default=0, init=False)

    def resume(self, trainer: Trainer) -> list[Record]:
        """Restore the trainer from the file, if it exists; return the history.

        Raises
        ------
        ValueError
            If the file is damaged, of another run, or not the same for all processes.
        """
        self._written = time.monotonic()
        history = self._read(trainer) if self.path.is_file() else []
        self._n_epochs = len(history)
        self._check_processes_agree()
        if history:
            logger.info("Resuming after epoch %d, from %s.", self._n_epochs, self.path)
        return history

    def _read(self, trainer: Trainer) -> list[Record]:
        try:
            with safe_open(self.path, framework="pt") as file:
                run = json.loads((file.metadata() or {})["run"])
                self._check_identity(run["identity"])
                trainer.load({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, json.JSONDecodeError, KeyError, RuntimeError, OSError) as error:
            msg = f"The checkpoint {self.path} is damaged ({error}). Delete it to start over."
            raise ValueError(msg) from error
        return run["history"]

    def _check_processes_agree(self) -> None:
        n_epochs = torch.tensor([self._n_epochs], device=self.fabric.device)
        n_epochs = gather(self.fabric, n_epochs, self.fabric.world_size)
        if n_epochs.min() != n_epochs.max():
            msg = (
                f"Processes read {self.path} after different epochs: {n_epochs.tolist()}. Use a "
                "folder that all machines share."
            )
            raise ValueError(msg)

    def _check_identity(self, stored: Mapping[str, str]) -> None:
        identity = {"format": FORMAT, **self.identity}
        differences = [
            f"{name} (was {stored.get(name, 'not set')}, is {identity.get(name, 'not set')})"
            for name in sorted(identity.keys() | stored.keys())
            if identity.get(name) != stored.get(name)
        ]
        if differences:
            msg = (
                f"The checkpoint {self.path} belongs to another run. Differences: "
                f"{'; '.join(differences)}. Name another folder, or delete it to start over."
            )
            raise ValueError(msg)

    def save(self, trainer: Trainer, history: list[Record], *, is_last: bool) -> None:
        """Write the state after the last epoch, or if `settings.checkpoint_interval` has passed."""
        if not self.fabric.is_global_zero:
            return
        if not is_last and time.monotonic() - self._written < settings.checkpoint_interval:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        run = {"identity": {"format": FORMAT, **self.identity}, "history": history}
        tensors = {name: tensor.detach().contiguous() for name, tensor in trainer.state().items()}
        part = self.path.with_suffix(".part")
        save_file(tensors, part, {"run": json.dumps(run)})
        with part.open("rb") as file:
            os.fsync(file.fileno())
        # A kill at any instant leaves either the old file or the new one.
        part.replace(self.path)
        self._written, self._n_epochs = time.monotonic(), len(history)

    def log_where_to_resume(self) -> None:
        """Log where training can resume after a stop."""
        if self._n_epochs:
            text = "Stopped. The same call resumes after epoch %d, from %s."
            logger.info(text, self._n_epochs, self.path)
        else:
            logger.info("Stopped before the first checkpoint was written to %s.", self.path)


def module_state(name: str, module: nn.Module) -> State:
    """Weights and buffers of a network, by name."""
    return {f"{name}.{part}": tensor for part, tensor in module.state_dict().items()}


def load_module(name: str, module: nn.Module, state: State) -> None:
    """Restore the state of a network, in place."""
    module.load_state_dict(dict(_parts(name, state)))


def optimizer_state(name: str, optimizer: torch.optim.Optimizer) -> State:
    """Moments, counts and learning rate of an optimiser of one group, by name."""
    (group,) = optimizer.param_groups
    rate = torch.as_tensor(group["lr"], dtype=torch.float64)
    return {f"{name}.lr": rate} | {
        f"{name}.{position}.{part}": tensor
        for position, weight in enumerate(group["params"])
        for part, tensor in optimizer.state[weight].items()
    }


def load_optimizer(name: str, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Restore the state of an optimiser, in place."""
    (group,) = optimizer.param_groups
    for key, tensor in _parts(name, state):
        if key != "lr":
            position, part = key.split(".")
            weight = group["params"][int(position)]
            optimizer.state[weight][part] = tensor.to(weight.device)
        elif torch.is_tensor(group["lr"]):
            group["lr"].copy_(tensor)
        else:
            group["lr"] = tensor.item()


def _parts(name: str, state: State) -> Iterator[tuple[str, torch.Tensor]]:
    prefix = f"{name}."
    return ((key.removeprefix(prefix), t) for key, t in state.items() if key.startswith(prefix))
