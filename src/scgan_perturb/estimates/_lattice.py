"""The lattice of logged counts: the values of a sample are log(1 + k / s), k = 0, 1, 2, ...

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
SAME = 1e-3  # relative difference of totals that are the same


@dataclass(frozen=True)
class Lattice:
    """How scaled values become logged counts, and the typical size factor of each group.

    Parameters
    ----------
    minimum, span
        Values in input units, log(1 + k / s), are minimum + span × scaled values: genes. All 0 if
        the values are not logged counts.
    size
        Natural logarithm of the typical size factor of each group.
    total
        Sum of k / s, if it is the same for all samples, as it is after `sc.pp.normalize_total`; 0
        if it is not, as where some genes were chosen since. Of one number.
    """

    minimum: torch.Tensor
    span: torch.Tensor
    size: torch.Tensor
    total: torch.Tensor


def estimate_lattice(
    samples: Samples, n_groups: int, n_contexts: int, log_range: torch.Tensor | None
) -> Lattice:
    """The lattice; the size factors of groups with few samples lean on those of others.

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
    sizes, totals = [], []
    for index in torch.arange(len(rows), device=rows.device).split(BLOCK):
        x = rows[index]
        sizes.append(find_sizes(lattice, x))
        totals.append(torch.addcmul(minimum, x, span).expm1_().sum(1))
    total = torch.cat(totals)
    is_same = total.max() - total.min() <= SAME * total.mean()
    return replace(
        lattice,
        size=_typical(torch.cat(sizes).double(), groups, n_groups, n_contexts).float(),
        total=torch.where(is_same, total.mean(), 0.0)[None],
    )


def _typical(
    sizes: torch.Tensor, groups: torch.Tensor, n_groups: int, n_contexts: int
) -> torch.Tensor:
    """The mean of each group, which leans on a sum of an effect of its class and its context."""
    n_samples = torch.bincount(groups, minlength=n_groups).to(sizes)
    overall = sizes.mean()
    mean = torch.zeros_like(n_samples).index_add_(0, groups, sizes - overall)
    mean = mean / n_samples.clamp_min(1)
    group, weight = torch.arange(n_groups, device=sizes.device), n_samples.sqrt()
    effects = torch.cat([one_hot(group // n_contexts), one_hot(group % n_contexts)], 1).to(sizes)
    sum_of_effects = effects @ (torch.linalg.pinv(effects * weight[:, None]) @ (mean * weight))
    share = n_samples / (n_samples + LEANING)
    return overall + share * mean + (1 - share) * sum_of_effects


def find_sizes(lattice: Lattice, x: torch.Tensor) -> torch.Tensor:
    """Logarithm of the size factor of each scaled sample: its least value above 0 is one count."""
    values = torch.addcmul(lattice.minimum, x, lattice.span)
    least = torch.where(values > 0, values, torch.inf).amin(1)
    # Nothing is known of a sample without any value above 0.
    return -torch.where(least.isfinite(), least, 1.0).expm1().log()


def to_lattice(
    lattice: Lattice, values: torch.Tensor, sizes: torch.Tensor, genes: torch.Tensor
) -> torch.Tensor:
    """The nearest logged counts, one count at least.

    Parameters
    ----------
    values, sizes, genes
        Scaled values of present genes, the logarithm of their sample's size factor, and their gene:
        all of one dimension.

    Returns
    -------
    Scaled values, within the range of the training samples.
    """
    minimum, span, size = lattice.minimum[genes], lattice.span[genes], sizes.exp()
    count = torch.addcmul(minimum, values, span).expm1_().mul_(size).round_().clamp_min_(1)
    return count.div_(size).log1p_().sub_(minimum).div_(span).clamp_(0, 1)


def to_total(
    lattice: Lattice, x: torch.Tensor, sizes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Divide the counts of samples so that their sum is the total of all; x and sizes change."""
    values = torch.addcmul(lattice.minimum, x, lattice.span).expm1_()
    factor = lattice.total / values.sum(1).clamp_min(1e-6)
    values.mul_(factor[:, None]).log1p_().sub_(lattice.minimum).div_(lattice.span)
    return values.clamp_(0, 1), sizes - factor.log()
