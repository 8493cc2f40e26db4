"""Moments of each gene in each class, and estimates from them that lean on similar classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from ._contexts import pooled_groups, similar_contexts
from ._shrinkage import mixture_weights, similar_classes

if TYPE_CHECKING:
    from ._samples import Rows

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
SIMILAR = 0.8  # weight of similar classes in what a class leans on; the rest is of all others
FEW = 2  # values that halve the weight of a class in the location that others lean on
LEAST_DIFFERENCE = 0.02  # variance between classes, at least, in variances within
MIN_VARIANCE = 1e-6  # in scaled units
BLOCK = 512  # samples at a time
# Components of the priors: standard deviations between classes in those within, worth of a share
# and of a variance in samples. Wide enough that no weight gathers at an end.
LOCATION_VARIANCES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SHARE_SAMPLES = tuple(2.0**power for power in range(-1, 8))
SHARE_FACTORS = tuple(2.0**power for power in range(-2, 6))
SCALE_SAMPLES = tuple(2.0**power for power in range(7))


class Moments(NamedTuple):
    """Numbers of samples (groups), and of each group and gene the presences, sums and squares."""

    samples: torch.Tensor
    present: torch.Tensor
    sums: torch.Tensor
    squares: torch.Tensor


def group_moments(
    rows: Rows, labels: torch.Tensor, n_groups: int, always: torch.Tensor | None = None
) -> tuple[Moments, torch.Tensor]:
    """The moments of samples, in float64 and one pass, and which genes have no jump.

    Parameters
    ----------
    rows
        Samples.
    labels
        Position of the group of each: its class, or its class within a context.
    n_groups
        Number of groups.
    always
        Genes without a jump; None to find them: those at their least value in at most one sample.
    """
    samples = torch.bincount(labels, minlength=n_groups).double()
    present, sums, squares = (
        torch.zeros(n_groups, rows.n_genes, dtype=torch.float64, device=labels.device)
        for _ in range(3)
    )
    for index in torch.arange(len(rows), device=rows.device).split(BLOCK):
        x, own = rows[index].double(), labels[index]
        present.index_add_(0, own, (x > 0).double())
        sums.index_add_(0, own, x)
        squares.index_add_(0, own, x.square())
    if always is None:
        always = present.sum(0) >= len(rows) - 1
    present = torch.where(always, samples[:, None], present)
    return Moments(samples, present, sums, squares), always


def shrunk_moments(
    moments: Moments, always: torch.Tensor, n_contexts: int = 1
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Share, location and scale of each group and gene, each with a prior fitted over genes.

    Groups are classes, or classes within contexts. What a class leans on is for the most part a
    mixture of the classes that are similar to it; within a context, what other classes and other
    contexts predict.
    """
    samples, present, sums, squares = moments
    n_groups, n_present = len(samples), present.sum(0)
    mean = sums / present.clamp_min(1)
    deviations = (squares - present * mean.square()).clamp_min(0)
    within = deviations.sum(0) / (present - 1).clamp_min(0).sum(0).clamp_min(1)
    typical = within[within > 0].median() if (within > 0).any() else within.new_tensor(1.0)
    within = torch.where(within > 0, within, typical).clamp_min(MIN_VARIANCE)
    overall = sums.sum(0) / n_present.clamp_min(1)
    mean = torch.where(present > 0, mean, overall)
    if n_contexts > 1:
        share, location = _pooled_over_contexts(moments, mean, overall, within, n_contexts)
    else:
        others = samples * (1 - torch.eye(n_groups, dtype=samples.dtype, device=samples.device))
        others = others / others.sum(1, keepdim=True)
        similar = _similar(moments, mean, overall, within) if n_groups > 2 else others
        leaning = SIMILAR * similar + (1 - SIMILAR) * others
        location = _locations(mean, present, within, overall, leaning)
        share = _shares(moments, leaning)
    share[:, always] = 1.0
    scale = _scales(deviations, present, within)
    return share.float(), location.float(), scale.float()


def _effective_size(counts: torch.Tensor) -> torch.Tensor:
    """The weight of the variance between classes in a sum of squares (DerSimonian, Laird 1986)."""
    total = counts.sum(0)
    return total - counts.square().sum(0) / total.clamp_min(1)


def _angles(moments: Moments) -> torch.Tensor:
    """Shares of presence on a scale on which their error has the variance 1 / samples."""
    share = (moments.present + 0.25) / (moments.samples[:, None] + 0.5)
    return 2 * torch.asin(share.sqrt())


def _angle_variance(moments: Moments) -> torch.Tensor:
    """Variance of the angles between classes, genes."""
    samples, angles = moments.samples[:, None], _angles(moments)
    centre = (samples * angles).sum(0) / samples.sum()
    excess = (samples * (angles - centre).square()).sum(0) - (len(samples) - 1)
    return excess.clamp_min(0) / _effective_size(samples) + 1e-3


def _similar(
    moments: Moments, mean: torch.Tensor, overall: torch.Tensor, within: torch.Tensor
) -> torch.Tensor:
    """Similar classes, by their means and shares in units of what differs between classes."""
    samples, present = moments[:2]
    share = present.sum(0) / samples.sum()
    excess = (present * (mean - overall).square()).sum(0)
    excess = excess - ((present > 0).sum(0) - 1).clamp_min(0) * within
    between = excess.clamp_min(0) / _effective_size(present).clamp_min(1e-6)
    between = between + LEAST_DIFFERENCE * within
    angles = _angles(moments)
    centre = (samples[:, None] * angles).sum(0) / samples.sum()
    spread = (_angle_variance(moments) + 1 / samples.mean()).sqrt()
    features = [
        (mean - overall) / (within + between).sqrt() * share.sqrt(),
        (angles - centre) / spread * (4 * share * (1 - share)).sqrt(),
    ]
    return similar_classes(torch.cat(features, 1))


def _pooled_over_contexts(
    moments: Moments,
    mean: torch.Tensor,
    overall: torch.Tensor,
    within: torch.Tensor,
    n_contexts: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares, on a scale on which their variances are the same, and locations."""
    samples, present = moments[:2]
    angles = _angles(moments)
    # Few values say little of a location.
    shifts = (present / (present + FEW)) * (mean - overall) / within.sqrt()
    weight = (present.sum(0) / samples.sum()).sqrt()
    correlation = similar_contexts(torch.cat([angles, shifts * weight], 1), samples, n_contexts)
    n_samples = samples[:, None].expand_as(angles)
    n_values = torch.where(n_samples > 0, present + FEW, 0)
    angles = pooled_groups(angles, n_samples, correlation).clamp(0, math.pi)
    shifts = pooled_groups(shifts, n_values, correlation)
    return (angles / 2).sin().square(), overall + shifts * within.sqrt()


def _locations(
    mean: torch.Tensor,
    present: torch.Tensor,
    within: torch.Tensor,
    overall: torch.Tensor,
    leaning: torch.Tensor,
) -> torch.Tensor:
    """Posterior means; the prior is a mixture of normals about the location of other classes."""
    weights = leaning[:, :, None] * (present / (present + FEW))
    total = weights.sum(1)
    centre = (weights * mean).sum(1) / total.clamp_min(1e-9)
    centre = torch.where(total > 1e-6, centre, overall)
    relative = weights / total[:, None].clamp_min(1e-9)
    error = within * (relative.square() / present.clamp_min(1)).sum(1)
    error = error + torch.where(present > 0, within / present.clamp_min(1), 1e9)
    prior = mean.new_tensor(LOCATION_VARIANCES) * within[:, None]
    residual = torch.where(present > 0, mean - centre, 0.0)
    variance = error[..., None] + prior
    likelihood = -0.5 * (variance.log() + residual[..., None].square() / variance)
    weight = mixture_weights(likelihood, present > 0)
    return centre + (weight * prior / variance).sum(-1) * residual


def _scales(deviations: torch.Tensor, present: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
    """Standard deviations; the prior of a precision is a mixture of gammas about that within."""
    worth = within.new_tensor(SCALE_SAMPLES)
    freedom, spread = (present - 1).clamp_min(0)[..., None], within[:, None]
    prior = worth * spread
    shape = (freedom + worth) / 2
    likelihood = torch.lgamma(shape) - torch.lgamma(worth / 2) + worth / 2 * prior.log()
    likelihood = likelihood - shape * (prior + deviations[..., None]).log()
    weight = mixture_weights(likelihood, present > 1)
    precision = (weight * (worth + freedom) / (deviations[..., None] + prior)).sum(-1)
    return precision.rsqrt()


def _shares(moments: Moments, leaning: torch.Tensor) -> torch.Tensor:
    """Posterior means; the prior is a mixture of betas about the share of other classes."""
    samples, present = moments.samples[:, None, None], moments.present[..., None]
    centre = leaning @ (moments.present / moments.samples[:, None])
    centre = centre.clamp(1e-3, 1 - 1e-3)[..., None]
    own = 1 / _angle_variance(moments)  # samples that a share of other classes is worth
    worth = torch.cat(
        [
            own.new_tensor(SHARE_SAMPLES).expand(len(own), -1),
            (own.clamp(0.3, 200)[:, None] * own.new_tensor(SHARE_FACTORS)).clamp(0.3, 500),
        ],
        1,
    )
    before, after = worth * centre, present + worth * centre
    likelihood = _log_beta(after, samples + worth - after) - _log_beta(before, worth - before)
    weight = mixture_weights(likelihood, torch.ones_like(moments.present, dtype=torch.bool))
    return (weight * after / (samples + worth)).sum(-1)


def _log_beta(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
