"""The distribution of each gene in each group: a jump at its least value, and quantiles above it.

A group is a class, or a class within a context.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ._moments import group_moments, shrunk_moments

if TYPE_CHECKING:
    from ._moments import Moments
    from ._samples import Rows

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
N_KNOTS, LAST_KNOT = 33, 2.6  # of a quantile function, equidistant in normal scores
LARGEST_SCORE = 4.5
SHAPE_PRIOR = 100  # values at which a class's own quantiles weigh as much as the shape of all
NORMAL_PRIOR = 30  # values of all classes at which their quantiles weigh as much as the normal
CHUNK_VALUES = 2**23  # of samples × genes to sort at a time


@dataclass(frozen=True)
class Marginals:
    """For each group and gene a distribution with a jump at the gene's least value.

    Values are in scaled units, in which the least value of a gene is 0. A gene is *present* in a
    sample that has more than that.

    Parameters
    ----------
    share
        Probability that the gene is present, groups × genes.
    location, scale
        Mean and standard deviation of the values where it is present, groups × genes.
    shape
        Quantiles of these values after subtracting the location and dividing by the scale, at
        `N_KNOTS` normal scores from -`LAST_KNOT` to `LAST_KNOT`, classes × genes × knots. The
        contexts of a class share it.
    low, high
        Range of the values where a gene is present, genes.
    always
        Genes without a jump: they count as present in every sample. Boolean, genes.
    """

    share: torch.Tensor
    location: torch.Tensor
    scale: torch.Tensor
    shape: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    always: torch.Tensor

    @property
    def n_contexts(self) -> int:
        """Number of contexts."""
        return len(self.share) // len(self.shape)


def estimate_marginals(
    rows: Rows, labels: torch.Tensor, n_classes: int, n_contexts: int = 1
) -> Marginals:
    """Estimate the distributions, so that small groups lean on similar ones.

    Parameters
    ----------
    rows
        Training samples.
    labels
        Position of the group of each. Each class and each context has at least one.
    n_classes, n_contexts
        Number of classes, and of contexts.
    """
    moments, always = group_moments(rows, labels, n_classes * n_contexts)
    share, location, scale = shrunk_moments(moments, always, n_contexts)
    n_chunk = max(CHUNK_VALUES // len(rows), 1)
    parts = [
        _shapes(
            rows.columns(genes),
            labels,
            always[genes],
            location[:, genes],
            scale[:, genes],
            n_contexts,
        )
        for genes in (
            slice(start, min(start + n_chunk, rows.n_genes))
            for start in range(0, rows.n_genes, n_chunk)
        )
    ]
    shapes, lows, highs = zip(*parts, strict=True)
    shape, low, high = torch.cat(shapes, 1), torch.cat(lows), torch.cat(highs)
    return Marginals(share, location, scale, shape, low, high, always)


def with_moments(marginals: Marginals, moments: Moments) -> Marginals:
    """The marginals with shares, locations and scales of other samples, and the same shapes."""
    share, location, scale = shrunk_moments(moments, marginals.always, marginals.n_contexts)
    return replace(marginals, share=share, location=location, scale=scale)


def knots(device: torch.device | None = None) -> torch.Tensor:
    """Normal scores of the knots."""
    return torch.linspace(-LAST_KNOT, LAST_KNOT, N_KNOTS, device=device)


def _shapes(
    x: torch.Tensor,
    labels: torch.Tensor,
    always: torch.Tensor,
    location: torch.Tensor,
    scale: torch.Tensor,
    n_contexts: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Standardised quantiles of each class, and the range of the values of genes that are present.

    A class's own quantiles count by their number; the rest is the shape that all classes share,
    which in turn is normal where values are few.
    """
    present = (x > 0) | always
    low = torch.where(present, x, torch.inf).amin(0)
    low, high = torch.where(low.isfinite(), low, 0.0), x.amax(0)
    residual = torch.where(present, (x - location[labels]) / scale[labels], -torch.inf)
    residual = residual.T.contiguous()  # sorting is fastest along the memory
    z = knots(x.device)
    at = torch.special.ndtr(z)
    n_values = present.sum(0)[:, None]
    weight = n_values / (n_values + NORMAL_PRIOR)
    common = weight * _quantiles(residual, at) + (1 - weight) * z
    shape = common.new_empty(len(location) // n_contexts, location.shape[1], N_KNOTS)
    classes = labels // n_contexts
    for label in range(len(shape)):
        own = residual[:, classes == label]
        n_values = own.isfinite().sum(1, keepdim=True)
        weight = n_values / (n_values + SHAPE_PRIOR)
        blend = weight * _quantiles(own, at) + (1 - weight) * common
        # A sum of rising functions rises; rounding and ties need the two steps.
        shape[label] = blend.cummax(1).values + 1e-3 * z
    return shape, low, high


def _quantiles(values: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Quantiles along each row of the finite values; the others are -inf. Without any: zeros."""
    ascending = values.sort(1).values
    n_all = values.shape[1]
    n_values = ascending.isfinite().sum(1, keepdim=True)
    position = (at * n_values - 0.5).clamp_min(0).minimum((n_values - 1).clamp_min(0))
    below = (position.floor() + (n_all - n_values)).long().clamp(0, n_all - 1)
    above = (below + 1).clamp_max(n_all - 1)
    first, second = (torch.nan_to_num(ascending.gather(1, i), neginf=0.0) for i in (below, above))
    fraction = position - position.floor()
    return torch.lerp(first, second, fraction)


def find_scores(
    marginals: Marginals, values: torch.Tensor, labels: torch.Tensor, genes: torch.Tensor
) -> torch.Tensor:
    """Normal scores of values of present genes.

    Parameters
    ----------
    values
        Scaled values, all of one dimension.
    labels, genes
        The group and the gene of each.
    """
    at, table, start = _positions(marginals, labels, genes)
    standard = (values - marginals.location.flatten()[at]) / marginals.scale.flatten()[at]
    # Binary search for the last knot at or below the value.
    below = torch.zeros_like(start)
    step = 1 << (N_KNOTS - 2).bit_length() - 1
    while step:
        trial = below + step
        fits = (trial <= N_KNOTS - 2) & (table[start + trial.clamp_max(N_KNOTS - 2)] <= standard)
        below = torch.where(fits, trial, below)
        step //= 2
    first, second = table[start + below], table[start + below + 1]
    z = below + (standard - first) / (second - first)
    width = 2 * LAST_KNOT / (N_KNOTS - 1)
    return (z * width - LAST_KNOT).clamp(-LARGEST_SCORE, LARGEST_SCORE)


def find_values(
    marginals: Marginals, scores: torch.Tensor, labels: torch.Tensor, genes: torch.Tensor
) -> torch.Tensor:
    """Scaled values of present genes of groups from normal scores: undoes :func:`find_scores`."""
    at, table, start = _positions(marginals, labels, genes)
    position = (scores + LAST_KNOT) * ((N_KNOTS - 1) / (2 * LAST_KNOT))
    below = position.floor().long().clamp(0, N_KNOTS - 2)
    first, second = table[start + below], table[start + below + 1]
    standard = first + (position - below) * (second - first)
    values = marginals.location.flatten()[at] + marginals.scale.flatten()[at] * standard
    return values.clamp(marginals.low[genes], marginals.high[genes])


def _positions(
    marginals: Marginals, labels: torch.Tensor, genes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions of groups and genes in moments, all quantiles, and the first quantile of each."""
    n_genes, n_contexts = marginals.share.shape[1], marginals.n_contexts
    at = labels * n_genes + genes
    of_class = at if n_contexts == 1 else labels // n_contexts * n_genes + genes
    return at, marginals.shape.flatten(), of_class * N_KNOTS
