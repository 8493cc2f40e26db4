"""The generator of recipe "transport": transport between the distributions of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from ..estimates._latent import (
    Latent,
    Products,
    draw_factors,
    find_posterior,
    products_of,
)
from ..estimates._lattice import Lattice, find_counts, find_sizes, from_counts, log_depths
from ..estimates._maps import optimal_maps
from ..estimates._marginals import N_KNOTS, Marginals, find_scores, find_values
from ._counted import blurred, sharpened
from ._draws import FACTORS, PRESENCE, normal, stream_of, uniform
from ._familiar import believed

if TYPE_CHECKING:
    from ..estimates._transport import Transport

SMALLEST, LARGEST = 1e-7, 1 - 1e-6  # probabilities whose normal scores are finite


class Encoded(NamedTuple):
    """Samples as the factor model of their group sees them.

    Parameters
    ----------
    x
        Scaled samples, samples × genes.
    labels, keys
        Position of the group of each, and its key to random numbers.
    present, scores
        Where a gene is present (boolean), and the normal scores there: samples × genes.
    sizes, depths
        Logarithms of the size factor and of the number of counts, if values are logged counts.
    mode, cholesky
        Posterior of the factors: see :func:`~scgan_perturb.estimates._latent.find_posterior`.
    """

    x: torch.Tensor
    labels: torch.Tensor
    keys: torch.Tensor
    present: torch.Tensor
    scores: torch.Tensor
    sizes: torch.Tensor
    depths: torch.Tensor
    mode: torch.Tensor
    cholesky: torch.Tensor


class TransportGenerator(nn.Module):
    """Transport from the distribution of a sample's class to that of the target.

    Each gene has in each class a share of samples in which it is present, and quantiles of its
    values there; factors say how genes vary together. A sample's factors are drawn from their
    posterior, mapped to the covariance of the target's, and turn into presences and values with
    the target's distributions. Genes keep their rank, given the factors: a value keeps its noise,
    an absent gene draws the noise that it may have had. g_t is 1, or 0 for the genes that a
    sparse fit does not change.

    Where values are logged counts, the counts are transported. A sample's size factor then changes
    as its number of counts does; a sparse fit keeps it.

    An unfamiliar sample has noise or factors larger than samples of known classes have. What
    cannot be believed of them is drawn from the target instead.

    Parameters
    ----------
    n_genes, n_classes, n_contexts
        Number of genes, of classes of f, and of contexts. A group is a class in a context.
    n_targets
        Number of classes that can be the target.
    n_factors
        Number of factors.
    n_levels
        Number of values that occur, in input units; 1 if these are not few.
    """

    targets: torch.Tensor
    gate: torch.Tensor
    covariance: torch.Tensor
    levels: torch.Tensor

    def __init__(
        self,
        n_genes: int,
        n_classes: int,
        n_targets: int,
        n_factors: int,
        n_contexts: int = 1,
        n_levels: int = 1,
    ) -> None:
        super().__init__()
        self.n_contexts, n_groups = n_contexts, n_classes * n_contexts
        group_genes, loadings = (n_groups, n_genes), (n_genes, n_factors)
        shapes = {
            **dict.fromkeys(("share", "location", "scale"), group_genes),
            "shape": (n_classes, n_genes, N_KNOTS),
            **dict.fromkeys(("low", "high"), (n_genes,)),
            **dict.fromkeys(("presence", "value"), loadings),
            "noise": (n_genes,),
            "covariance": (n_groups, n_factors, n_factors),
            "centre": (n_groups, n_factors),
            **dict.fromkeys(("intercept", "offset", "gain"), group_genes),
            **dict.fromkeys(("minimum", "span"), (n_genes,)),
            "size": (n_groups,),
            "slope": (1,),
            "levels": (n_levels,),
            "targets": (n_targets,),
            "gate": (n_targets, n_genes),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("always", torch.zeros(n_genes, dtype=torch.bool))

    @torch.no_grad()
    def set_up(
        self, transport: Transport, targets: torch.Tensor, levels: torch.Tensor | None = None
    ) -> None:
        """Take over estimates, the targets (positions among the classes) and the levels, if any."""
        for part in (transport.marginals, transport.latent, transport.lattice):
            for name, values in vars(part).items():
                setattr(self, name, values.clone())
        self.targets.copy_(targets)
        self.levels.copy_(torch.zeros(1) if levels is None else levels)
        self.gate.fill_(1)

    @property
    def marginals(self) -> Marginals:
        """The marginals of the classes."""
        return Marginals(*(getattr(self, name) for name in Marginals.__dataclass_fields__))

    @property
    def latent(self) -> Latent:
        """The factor model."""
        return Latent(*(getattr(self, name) for name in Latent.__dataclass_fields__))

    @property
    def lattice(self) -> Lattice:
        """The counts behind logged values."""
        return Lattice(*(getattr(self, name) for name in Lattice.__dataclass_fields__))

    def prepare(self, target: int) -> Prepared:
        """What follows from the weights for a target index: compute it once for many samples."""
        label, n_contexts = int(self.targets[target]), self.n_contexts
        groups = torch.arange(len(self.covariance), device=self.covariance.device)
        destination = label * n_contexts + groups % n_contexts
        lattice = self.lattice
        return Prepared(
            self.marginals,
            self.latent,
            lattice if bool(lattice.span.any()) else None,
            self.levels if len(self.levels) > 1 else None,
            bool(self.gate[target].all()),
            products_of(self.latent),
            destination,
            optimal_maps(self.covariance, destination),
            target,
            label,
        )

    def nearest_contexts(
        self, prepared: Prepared, x: torch.Tensor, labels: torch.Tensor, keys: torch.Tensor
    ) -> torch.Tensor:
        """For scaled samples of known classes the contexts in which they are the likeliest."""
        marginals, lattice = prepared.marginals, prepared.lattice
        if lattice is not None:
            x = blurred(find_counts(lattice, x, find_sizes(lattice, x)), keys)
        share, location = marginals.share.clamp(SMALLEST, LARGEST), marginals.location
        precision = marginals.scale.square().reciprocal()
        present = ((x > 0) | marginals.always).float()
        absent = (1 - share).log()
        fixed = share.log() - absent + 0.5 * precision.log() - 0.5 * location.square() * precision
        likelihood = present @ fixed.T + x @ (location * precision).T
        likelihood = likelihood + absent.sum(1) - 0.5 * x.square() @ precision.T
        rows = torch.arange(len(x), device=x.device)
        return likelihood.view(len(x), -1, self.n_contexts)[rows, labels].argmax(1)

    def encode(
        self, prepared: Prepared, x: torch.Tensor, labels: torch.Tensor, keys: torch.Tensor
    ) -> Encoded:
        """Find presences, scores and factors of scaled samples of known groups."""
        marginals, lattice, values = prepared.marginals, prepared.lattice, x
        sizes = depths = torch.zeros_like(x[:, 0])
        if lattice is not None:
            sizes = find_sizes(lattice, x)
            counts = find_counts(lattice, x, sizes)
            values, depths = blurred(counts, keys), log_depths(counts)
        present = (values > 0) | marginals.always
        sample, gene = present.nonzero(as_tuple=True)
        scores = torch.zeros_like(x)
        scores[sample, gene] = find_scores(marginals, values[sample, gene], labels[sample], gene)
        posterior = find_posterior(
            prepared.latent, prepared.products, present.float(), scores, labels
        )
        return Encoded(x, labels, keys, present, scores, sizes, depths, *posterior)

    def forward(
        self,
        prepared: Prepared,
        encoded: Encoded,
        seed: int,
        draw: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One draw of the perturbed samples, scaled, samples × genes; and their `sizes`.

        Parameters
        ----------
        prepared
            Result of :meth:`prepare`.
        encoded
            The samples.
        seed, draw
            Two numbers that name the draw.
        """
        marginals, latent = prepared.marginals, prepared.latent
        x, labels, keys, present = encoded[:4]
        goal = prepared.destination[labels]
        n_factors = latent.presence.shape[1]
        noise_scale = latent.noise.sqrt()
        noise = normal(keys, n_factors, stream_of(seed, draw, FACTORS))
        factors = draw_factors(encoded.mode, encoded.cholesky, noise)
        centred = encoded.scores / latent.gain[labels] - latent.offset[labels]
        rest = (centred - factors @ latent.value.T) / noise_scale
        rest = torch.where(present, rest, 0.0)
        factors, rest = believed(factors, rest, present, keys, seed, draw)
        deviation = factors - latent.centre[labels]
        mapped = (deviation[:, None] @ prepared.maps[labels])[:, 0] + latent.centre[goal]
        before = torch.addmm(latent.intercept[labels], factors, latent.presence.T).sigmoid_()
        after = torch.addmm(latent.intercept[goal], mapped, latent.presence.T).sigmoid_()
        # Of genes with a jump: those that are present, or may become so.
        changing = (present | (after > before)) & ~marginals.always
        sample, gene = changing.nonzero(as_tuple=True)
        u = uniform(keys[sample], gene, stream_of(seed, draw, PRESENCE))
        p, q, e = before[changing], after[changing], rest[changing]
        # 1 - F(noise): below p where the gene is present, above where it is absent.
        tail = torch.where(
            present[changing], p * torch.special.ndtr(-e), torch.lerp(p, 1 + 0 * p, u)
        )
        is_present = marginals.always.expand_as(present).clone()
        is_present[sample, gene] = tail < q
        rest[sample, gene] = -torch.special.ndtri((tail / q).clamp(SMALLEST, LARGEST))
        scores = torch.addmm(latent.offset[goal], mapped, latent.value.T)
        scores = scores.addcmul_(noise_scale, rest).mul_(latent.gain[goal])
        sample, gene = is_present.nonzero(as_tuple=True)
        values = find_values(marginals, scores[sample, gene], goal[sample], gene)
        perturbed, sizes, lattice = torch.zeros_like(x), encoded.sizes, prepared.lattice
        perturbed[sample, gene] = values if lattice is None else sharpened(values)
        if lattice is not None:
            if prepared.changes_all:
                growth = lattice.slope * (log_depths(perturbed) - encoded.depths)
                growth = growth + lattice.size[goal] - lattice.size[labels]
                sizes = torch.where(labels == goal, sizes, sizes + growth)
            perturbed = from_counts(lattice, perturbed, sizes)
        # A sample of the target is one already; nor do genes change that a sparse fit leaves.
        unchanged = (labels == goal)[:, None] | (self.gate[prepared.target] == 0)
        return torch.where(unchanged, x, perturbed), sizes


class Prepared(NamedTuple):
    """What follows from the weights of a generator, for one target.

    Parameters
    ----------
    marginals, latent, products
        The groups' distributions.
    lattice
        The counts behind logged values; None for other values.
    levels
        The values that occur, in input units, if these are few; else None.
    changes_all
        Whether all genes may change.
    destination
        Position of the target's group in the context of each group.
    maps
        From the factors of each group to those of its destination, groups × factors × factors.
    target, label
        Target index, and position of the target among the classes.
    """

    marginals: Marginals
    latent: Latent
    lattice: Lattice | None
    levels: torch.Tensor | None
    changes_all: bool
    products: Products
    destination: torch.Tensor
    maps: torch.Tensor
    target: int
    label: int
