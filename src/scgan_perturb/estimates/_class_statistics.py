"""Empirical Bayes estimates of the mean and spread of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..data._tensor_scaler import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._samples import Rows

PRIOR_SAMPLES = 5  # weight of the variance within all classes, in samples; benchmarks/realism.py
MIN_SPREAD = 1e-3  # in scaled units, for genes that do not vary within classes
BLOCK = 512  # samples at a time


@dataclass(frozen=True)
class ClassStatistics:
    """Mean expression of each class and its standard deviation, scaled, classes × genes."""

    mean: torch.Tensor
    spread: torch.Tensor


def class_statistics(rows: Rows, labels: torch.Tensor, n_classes: int) -> ClassStatistics:
    """Empirical Bayes estimates of the mean and spread of each class, gene by gene.

    A class's mean is shrunk towards the mean of all classes, the more the larger its error is
    relative to the differences between classes. Its variance is shrunk towards the variance within
    all classes, which counts as `PRIOR_SAMPLES` samples. Each class needs at least one sample.
    """
    return statistics_of(class_moments(rows, labels, n_classes))


class Moments(NamedTuple):
    """Number of samples of each class, sums and sums of squares: classes × genes, float64."""

    counts: torch.Tensor
    sums: torch.Tensor
    squares: torch.Tensor


def class_moments(rows: Rows, labels: torch.Tensor, n_classes: int) -> Moments:
    """The moments of samples, in one pass; moments of several sets can be added."""
    counts = torch.bincount(labels, minlength=n_classes).to(torch.float64)[:, None]
    sums = torch.zeros(n_classes, rows.n_genes, dtype=torch.float64, device=labels.device)
    squares = torch.zeros_like(sums)
    for index, x in _blocks(rows):
        sums.index_add_(0, labels[index], x.double())
        squares.index_add_(0, labels[index], x.double().square())
    return Moments(counts, sums, squares)


def statistics_of(moments: Moments) -> ClassStatistics:
    """The estimates, from the moments of all samples."""
    counts, sums, squares = moments
    n_samples, n_classes = int(counts.sum()), len(counts)
    mean = sums / counts
    deviations = (squares - counts * mean.square()).clamp_(min=0)
    within = deviations.sum(dim=0) / max(n_samples - n_classes, 1)
    variance = (deviations + PRIOR_SAMPLES * within) / (counts - 1 + PRIOR_SAMPLES)
    mean = _shrunk_means(mean, counts, within)
    spread = variance.sqrt().clamp_(min=MIN_SPREAD).float()
    return ClassStatistics(mean, spread)


def standardise(
    x: torch.Tensor, labels: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor
) -> torch.Tensor:
    """(x − μ)/σ with the means and spreads of each sample's class, samples × genes."""
    deviation = torch.empty_like(x)
    for piece in pieces(x):
        label = labels[piece]
        torch.sub(x[piece], mean[label], out=deviation[piece]).div_(spread[label])
    return deviation


def _shrunk_means(mean: torch.Tensor, counts: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
    """Posterior means; the variance between classes by the moments of DerSimonian and Laird (1986).

    This estimate weights classes by size. Unweighted, the errors of small classes would hide the
    differences between large ones, which would then be shrunk as well.
    """
    n_samples = counts.sum()
    centre = (counts * mean).sum(dim=0) / n_samples
    excess = (counts * (mean - centre).square()).sum(dim=0) - (len(mean) - 1) * within
    between = (excess / (n_samples - counts.square().sum() / n_samples)).clamp_(min=0)
    error = within / counts
    # A mean without error is exact.
    precision = 1 / (between + error).clamp_min_(1e-30)
    weight = torch.where(error > 0, between * precision, 1.0)
    centre = (precision * mean).sum(dim=0) / precision.sum(dim=0)
    return (centre + weight * (mean - centre)).float()


def _blocks(rows: Rows) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for index in torch.arange(len(rows), device=rows.device).split(BLOCK):
        yield index, rows[index]
