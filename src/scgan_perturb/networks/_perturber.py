"""Apply a fitted generator to scaled samples, for each recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from ..engine._threads import threads_for
from ._networks import perturb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ._transport_generator import Encoded, TransportGenerator

N_DRAWS = 9  # at most, until one convinces the classifier; docs/method.md
SURE = 0.95  # probability of the target from which a sample is not of a source
# The last bits of a product depend on its shape. With these numbers of rows, filled up with zeros,
# a sample has the same result in any company.
ROWS_CPU, ROWS_GPU, ROWS_REDRAWN = 128, 1024, 16
FLOPS_PER_VALUE = 10_000  # floating-point operations that a value of a draw is worth


def flops_of_draw(n_samples: int, n_genes: int) -> float:
    """Work of one draw of samples that are perturbed at once, in floating-point operations."""
    return FLOPS_PER_VALUE * n_samples * n_genes


class Perturbed(NamedTuple):
    """Perturbed samples.

    Parameters
    ----------
    x
        Scaled samples, samples × genes.
    logits
        What the classifier to convince says of them, samples × classes.
    sizes
        Logarithm of the size factor of each, if values are logged counts; else None.
    levels
        The values that occur, in input units, if these are few; else None.
    """

    x: torch.Tensor
    logits: torch.Tensor
    sizes: torch.Tensor | None = None
    levels: torch.Tensor | None = None


class PaperPerturber(nn.Module):
    """x_adv = clip(x + G(x), 0, 1) (paper, section 2.2)."""

    def __init__(self, generator: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.generator, self.classifier = generator, classifier

    def forward(self, x: torch.Tensor, *_: torch.Tensor) -> Perturbed:
        """Scaled samples to perturbed ones, and the classifier's logits for these."""
        perturbed = perturb(self.generator, x)[1]
        return Perturbed(perturbed, self.classifier(perturbed))


class TransportPerturber(nn.Module):
    """The transport generator towards one of its targets, from the class that f predicts.

    Of at most `N_DRAWS` draws of a sample, the first that convinces the classifier counts; if none
    does, the first of all.

    Parameters
    ----------
    generator
        The generator.
    classifier
        f, which predicts the class of a sample.
    classifier_to_convince
        The classifier to convince: f or another one, whose first classes are those of f.
    target
        Target index.
    seed
        Seed of the draws.
    sources
        Positions of the classes that samples can be of, besides the target; None for all.
    """

    def __init__(
        self,
        generator: TransportGenerator,
        classifier: nn.Module,
        classifier_to_convince: nn.Module,
        target: int,
        seed: int,
        sources: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.classifier = generator, classifier
        self.classifier_to_convince = classifier_to_convince
        self.seed, self.sources = seed, sources
        self.prepared = generator.prepare(target)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> TransportPerturber:
        """What follows from the weights moves with them to another device."""
        super()._apply(fn, recurse)
        if self.generator.targets.device != self.prepared.maps.device:
            self.prepared = self.generator.prepare(self.prepared.target)
        return self

    def forward(
        self, x: torch.Tensor, keys: torch.Tensor, contexts: torch.Tensor | None = None
    ) -> Perturbed:
        """Perturbed samples, and the classifier's logits.

        Parameters
        ----------
        x
            Scaled samples, samples × genes.
        keys
            Their keys to random numbers.
        contexts
            Positions of their contexts; -1 for the most similar one. None without contexts.
        """
        parts = [self._convincing(*block) for block in _blocks(x, keys, contexts)]
        x, logits, sizes = (torch.cat(values) for values in zip(*parts, strict=True))
        lattice, levels = self.prepared.lattice, self.prepared.levels
        return Perturbed(x, logits, None if lattice is None else sizes, levels)

    def expected(
        self,
        x: torch.Tensor,
        keys: torch.Tensor,
        contexts: torch.Tensor | None = None,
        *,
        n_draws: int,
    ) -> torch.Tensor:
        """Mean of the perturbed samples over the first draws, whatever the classifier says."""
        parts = []
        for block in _blocks(x, keys, contexts):
            encoded = self._encoded(*block)
            total = torch.zeros_like(encoded.x)
            changed = torch.zeros_like(encoded.present)
            for draw in range(n_draws):
                drawn, _ = self.generator(self.prepared, encoded, self.seed, draw)
                total += drawn
                changed |= drawn != encoded.x
            # Without the rounding of the sum where no draw changes a value.
            parts.append(torch.where(changed, total / n_draws, encoded.x)[: len(block[0])])
        return torch.cat(parts)

    def _encoded(self, x: torch.Tensor, keys: torch.Tensor, contexts: torch.Tensor) -> Encoded:
        n_rows = _rows_of(x)
        x, keys, contexts = (_filled(part, n_rows) for part in (x, keys, contexts))
        labels = self._classes(x)
        if (contexts < 0).any():
            nearest = self.generator.nearest_contexts(self.prepared, x, labels, keys)
            contexts = torch.where(contexts < 0, nearest, contexts)
        groups = labels * self.generator.n_contexts + contexts
        return self.generator.encode(self.prepared, x, groups, keys)

    def _classes(self, x: torch.Tensor) -> torch.Tensor:
        """Positions of the classes of samples: of all classes, or of the sources and the target.

        Where sources are named, a sample is of a source unless it surely is of the target.
        """
        logits = self.classifier(x)
        if self.sources is None:
            return logits.argmax(dim=1)
        of_source = torch.full_like(logits, -torch.inf)
        of_source[:, self.sources] = logits[:, self.sources]
        is_target = logits.softmax(dim=1)[:, self.prepared.label] > SURE
        return of_source.argmax(dim=1).masked_fill(is_target, self.prepared.label)

    def _draw(self, encoded: Encoded, draw: int, n_samples: int) -> tuple[torch.Tensor, ...]:
        """A draw of the first samples: perturbed, logits and size factors."""
        x, sizes = self.generator(self.prepared, encoded, self.seed, draw)
        return x[:n_samples], self.classifier_to_convince(x)[:n_samples], sizes[:n_samples]

    def _convincing(
        self, x: torch.Tensor, keys: torch.Tensor, contexts: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """At most one block of samples: perturbed, logits and size factors."""
        encoded = self._encoded(x, keys, contexts)
        perturbed = self._draw(encoded, 0, len(x))
        remaining = (~self._is_target(perturbed[1])).nonzero().flatten()
        with threads_for(flops_of_draw(ROWS_REDRAWN, x.shape[1])):
            for draw in range(1, N_DRAWS):
                if len(remaining) == 0:
                    break
                found = [
                    self._redrawn(encoded, rows, draw, perturbed)
                    for rows in remaining.split(ROWS_REDRAWN)
                ]
                remaining = remaining[~torch.cat(found)]
        return perturbed

    def _redrawn(
        self,
        encoded: Encoded,
        rows: torch.Tensor,
        draw: int,
        perturbed: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Draw a few samples again, keep in place those that convince, and tell which do."""
        part = type(encoded)(*(_filled(values[rows], ROWS_REDRAWN) for values in encoded))
        drawn = self._draw(part, draw, len(rows))
        is_target = self._is_target(drawn[1])
        for kept, values in zip(perturbed, drawn, strict=True):
            kept[rows[is_target]] = values[is_target]
        return is_target

    def _is_target(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.argmax(dim=1) == self.prepared.label


def _blocks(
    x: torch.Tensor, keys: torch.Tensor, contexts: torch.Tensor | None
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Samples, keys and contexts, a block of the products at a time."""
    if contexts is None:
        contexts = torch.zeros(len(x), dtype=torch.long, device=x.device)
    n_rows = _rows_of(x)
    return zip(*(part.split(n_rows) for part in (x, keys, contexts)), strict=True)


def _rows_of(x: torch.Tensor) -> int:
    """Number of rows of the products, on the device of the samples."""
    return ROWS_GPU if x.device.type == "cuda" else ROWS_CPU


def _filled(x: torch.Tensor, n_rows: int) -> torch.Tensor:
    """The samples, followed by zeros; in rows, since the last bits depend on the layout as well."""
    missing = n_rows - len(x)
    return torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x.contiguous()
