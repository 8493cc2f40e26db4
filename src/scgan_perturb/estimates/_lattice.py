"""The counts behind logged values: those of a sample are log(1 + k / s), k = 0, 1, 2, ...

Counts k were divided by a number s, the sample's *size factor*, which grows with its depth. So all
genes with one count have the same value in a sample, and no value is between one count and two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

if TYPE_CHECKING:
    from ._samples import Samples

BLOCK = 512  # samples at a time
LEANING = 5  # samples that halve how much a group leans on others


@dataclass(frozen=True)
class Lattice:
    """How scaled values become counts, and which size factor goes with which depth.

    The depth is the number of counts of a sample over the genes in use.

    Parameters
    ----------
    minimum, span
        Values in input units, log(1 + k / s), are minimum + span × scaled values: genes. All 0 if
        the values are not logged counts.
    size, slope
        log s is about `size` of the group + slope × the logarithm of the depth: groups, and one
        number. After `sc.pp.normalize_total` it is exactly that, with slope 1, if all genes are in
        use.
    """

    minimum: torch.Tensor
    span: torch.Tensor
    size: torch.Tensor
    slope: torch.Tensor


def estimate_lattice(
    samples: Samples, n_groups: int, n_contexts: int, log_range: torch.Tensor | None
) -> Lattice:
    """The lattice; groups with few samples lean on the others.

    Parameters
    ----------
    samples
        Training samples and their groups.
    n_groups, n_contexts
        Number of groups, and of contexts.
    log_range
        Least and largest value of each gene in input units, 2 × genes; None if the values are not
        logged counts.
    """
    rows, groups = samples.rows, samples.labels
    if log_range is None:
        nothing = torch.zeros(rows.n_genes, device=groups.device)
        return Lattice(nothing, nothing, nothing.new_zeros(n_groups), nothing.new_zeros(1))
    minimum, span = log_range[0], log_range[1] - log_range[0]
    lattice = Lattice(minimum, span, span.new_zeros(n_groups), span.new_zeros(1))
    parts = []
    for index in torch.arange(len(rows), device=rows.device).split(BLOCK):
        x = rows[index]
        sizes = find_sizes(lattice, x)
        parts.append(torch.stack([sizes, log_depths(find_counts(lattice, x, sizes))]))
    sizes, depths = torch.cat(parts, 1).double()
    inside = torch.stack([sizes, depths]) - _of_groups(torch.stack([sizes, depths]), groups)
    slope = (inside[0] * inside[1]).sum() / inside[1].square().sum().clamp_min(1e-9)
    size = _typical(sizes - slope * depths, groups, n_groups, n_contexts)
    return replace(lattice, size=size.float(), slope=slope.float()[None])


def _of_groups(values: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """For each sample the means of its group, of values × samples."""
    n_samples = torch.bincount(groups).to(values)
    sums = values.new_zeros(len(values), len(n_samples)).index_add_(1, groups, values)
    return (sums / n_samples.clamp_min(1))[:, groups]


def _typical(
    values: torch.Tensor, groups: torch.Tensor, n_groups: int, n_contexts: int
) -> torch.Tensor:
    """The mean of each group, which leans on a sum of an effect of its class and its context."""
    n_samples = torch.bincount(groups, minlength=n_groups).to(values)
    overall = values.mean()
    mean = torch.zeros_like(n_samples).index_add_(0, groups, values - overall)
    mean = mean / n_samples.clamp_min(1)
    group, weight = torch.arange(n_groups, device=values.device), n_samples.sqrt()
    effects = torch.cat([one_hot(group // n_contexts), one_hot(group % n_contexts)], 1).to(values)
    sum_of_effects = effects @ (torch.linalg.pinv(effects * weight[:, None]) @ (mean * weight))
    share = n_samples / (n_samples + LEANING)
    return overall + share * mean + (1 - share) * sum_of_effects


def find_sizes(lattice: Lattice, x: torch.Tensor) -> torch.Tensor:
    """Logarithm of the size factor of each scaled sample: its least value above 0 is one count."""
    values = torch.addcmul(lattice.minimum, x, lattice.span)
    least = torch.where(values > 0, values, torch.inf).amin(1)
    # Nothing is known of a sample without any value above 0.
    return -torch.where(least.isfinite(), least, 1.0).expm1().log()


def find_counts(
    lattice: Lattice, x: torch.Tensor, sizes: torch.Tensor, genes: slice = slice(None)
) -> torch.Tensor:
    """Counts of scaled samples × some genes, from the logarithms of their size factors."""
    values = torch.addcmul(lattice.minimum[genes], x, lattice.span[genes])
    return values.expm1_().mul_(sizes.exp()[:, None]).round_()


def log_depths(counts: torch.Tensor) -> torch.Tensor:
    """Logarithm of the number of counts of each sample; 0 without any."""
    return counts.sum(1).clamp_min(1).log()


def from_counts(lattice: Lattice, counts: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Scaled values of counts, within the range of the training samples: undoes `find_counts`."""
    values = (counts / sizes.exp()[:, None]).log1p_()
    return values.sub_(lattice.minimum).div_(lattice.span).clamp_(0, 1)
