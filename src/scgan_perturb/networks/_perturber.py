"""Apply a fitted generator to scaled samples, for each recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ._networks import perturb

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._transport_generator import Encoded, TransportGenerator

N_DRAWS = 9  # at most, until f calls a draw the target; docs/method.md
# The last bits of a product depend on its shape. With these numbers of rows, filled up with zeros,
# a sample has the same result in any company.
ROWS_CPU, ROWS_GPU, ROWS_REDRAWN = 128, 1024, 16


class PaperPerturber(nn.Module):
    """x_adv = clip(x + G(x), 0, 1) (paper, section 2.2)."""

    def __init__(self, generator: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.generator, self.classifier = generator, classifier

    def forward(self, x: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled samples to perturbed ones, and the logits of f for these."""
        perturbed = perturb(self.generator, x)[1]
        return perturbed, self.classifier(perturbed)


class TransportPerturber(nn.Module):
    """The transport generator towards one of its targets, from the class that f predicts.

    Of at most `N_DRAWS` draws of a sample, the first that f calls the target counts; where f calls
    none of them so, the first of all.

    Parameters
    ----------
    generator
        The generator.
    classifier
        f.
    target
        Target index.
    seed
        Seed of the draws.
    """

    def __init__(
        self, generator: TransportGenerator, classifier: nn.Module, target: int, seed: int
    ) -> None:
        super().__init__()
        self.generator, self.classifier = generator, classifier
        self.target, self.seed = target, seed
        self.target_class = int(generator.targets[target])
        self.prepared = generator.prepare()

    def _apply(self, fn: Callable, recurse: bool = True) -> TransportPerturber:  # noqa: FBT001, FBT002
        """What follows from the weights moves with them to another device."""
        super()._apply(fn, recurse)
        if self.generator.targets.device != self.prepared.maps.device:
            self.prepared = self.generator.prepare()
        return self

    def forward(self, x: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled samples and their keys to perturbed samples, and the logits of f for these."""
        n_rows = ROWS_GPU if x.device.type == "cuda" else ROWS_CPU
        parts = [
            self._perturbed(*block)
            for block in zip(x.split(n_rows), keys.split(n_rows), strict=True)
        ]
        perturbed, logits = zip(*parts, strict=True)
        return torch.cat(perturbed), torch.cat(logits)

    def expected(self, x: torch.Tensor, keys: torch.Tensor, n_draws: int) -> torch.Tensor:
        """Mean of the perturbed samples over draws, whatever f calls them."""
        n_rows = ROWS_GPU if x.device.type == "cuda" else ROWS_CPU
        parts = []
        for block, key in zip(x.split(n_rows), keys.split(n_rows), strict=True):
            encoded = self._encoded(_filled(block, n_rows), _filled(key, n_rows))
            total = sum(self._draw(encoded, draw) for draw in range(n_draws))
            parts.append((total / n_draws)[: len(block)])
        return torch.cat(parts)

    def _encoded(self, x: torch.Tensor, keys: torch.Tensor) -> Encoded:
        labels = self.classifier(x).argmax(dim=1)
        return self.generator.encode(self.prepared, x, labels, keys)

    def _draw(self, encoded: Encoded, draw: int) -> torch.Tensor:
        target = torch.full_like(encoded.labels, self.target)
        return self.generator(self.prepared, encoded, target, self.seed, draw)

    def _perturbed(self, x: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n_samples = len(x)
        n_rows = ROWS_GPU if x.device.type == "cuda" else ROWS_CPU
        encoded = self._encoded(_filled(x, n_rows), _filled(keys, n_rows))
        perturbed = self._draw(encoded, 0)
        logits = self.classifier(perturbed)
        remaining = (logits[:n_samples].argmax(dim=1) != self.target_class).nonzero().flatten()
        for draw in range(1, N_DRAWS):
            solved = [
                self._redrawn(encoded, rows, draw, perturbed, logits)
                for rows in remaining.split(ROWS_REDRAWN)
                if len(rows)
            ]
            if not solved:
                break
            remaining = remaining[~torch.cat(solved)]
        return perturbed[:n_samples], logits[:n_samples]

    def _redrawn(
        self,
        encoded: Encoded,
        rows: torch.Tensor,
        draw: int,
        perturbed: torch.Tensor,
        logits: torch.Tensor,
    ) -> torch.Tensor:
        """Draw some samples again; keep those that f calls the target now, and tell which."""
        part = type(encoded)(*(_filled(values[rows], ROWS_REDRAWN) for values in encoded))
        drawn = self._draw(part, draw)
        new = self.classifier(drawn)
        is_target = new[: len(rows)].argmax(dim=1) == self.target_class
        solved = rows[is_target]
        perturbed[solved], logits[solved] = (
            values[: len(rows)][is_target] for values in (drawn, new)
        )
        return is_target


def _filled(x: torch.Tensor, n_rows: int) -> torch.Tensor:
    """The samples, followed by zeros."""
    missing = n_rows - len(x)
    return torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x
