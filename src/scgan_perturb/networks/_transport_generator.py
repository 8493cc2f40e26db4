"""The generator of recipe "transport": Gaussian transport, corrected by a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn

from ..data._tensor_scaler import pieces
from ..estimates._factors import split
from ..estimates._familiarity import root_mean_square
from ._networks import BOTTLENECK_UNITS, N_RESIDUAL_BLOCKS

if TYPE_CHECKING:
    from typing import Any

    from ..estimates._transport import Transport

FADES = 0.25  # share of the familiar distance beyond it, in which familiarity falls to 0


def _hidden(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _hidden(n_units, n_units), nn.Linear(n_units, n_units), nn.LayerNorm(n_units)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Samples × units to samples × units."""
        return x + self.layers(x)


class Correction(nn.Module):
    """The paper's hourglass (section 2.2), told the target, with layer normalisation.

    Layer normalisation treats each sample by itself: batches can mix targets, and what is learned
    holds for a single sample. The last layer starts at zero, so training starts at the transport;
    it has a bias for each target, lest those that need none hold back the one that does.
    """

    def __init__(self, n_genes: int, n_targets: int) -> None:
        super().__init__()
        wide, middle, narrow = BOTTLENECK_UNITS
        self.input = nn.Linear(n_genes, wide)
        self.target_in = nn.Embedding(n_targets, wide)
        self.encoder = nn.Sequential(
            nn.LayerNorm(wide), nn.ReLU(), _hidden(wide, middle), _hidden(middle, narrow)
        )
        self.target_narrow = nn.Embedding(n_targets, narrow)
        self.decoder = nn.Sequential(
            *(_Residual(narrow) for _ in range(N_RESIDUAL_BLOCKS)),
            _hidden(narrow, middle),
            _hidden(middle, wide),
        )
        self.output = nn.Linear(wide, n_genes, bias=False)
        self.target_out = nn.Embedding(n_targets, n_genes)

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Samples × genes, and the position of each sample's target, to samples × genes."""
        hidden = self.encoder(self.input(x) + self.target_in(target))
        hidden = self.decoder(hidden + self.target_narrow(target))
        return torch.addmm(row(self.target_out.weight, target), hidden, self.output.weight.T)


def row(of_targets: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """For each sample the row of its target; one row for all where there is only one."""
    return of_targets if len(of_targets) == 1 else of_targets[target]


class Moved(NamedTuple):
    """The way of samples to their target, before the correction.

    Parameters
    ----------
    turned
        M_t(u), deviations as samples of the target have them, samples × genes.
    change
        T(x) − x, with what unfamiliar samples keep, samples × genes.
    familiarity
        φ, samples × 1.
    """

    turned: torch.Tensor
    change: torch.Tensor
    familiarity: torch.Tensor


class Clamp(torch.autograd.Function):
    """Clamp to [0, 1] in place, and pass the gradient on as if nothing were clamped."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Of any shape."""
        ctx.mark_dirty(x)
        return x.clamp_(0, 1)

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient as it is."""
        return gradient


class TransportGenerator(nn.Module):
    """P = (1 − p_t)·g_t·(T(x) − x + φ·h(x, t)): the change of a sample of unknown class towards t.

    T is the Gaussian transport μ_t + σ_t·M_t(u), u = (x − μ_s)/σ_s, from the class s that the
    classifier f gives the sample; M_t turns the factors of u, in which genes vary together, into
    those of t. h is the trained correction. A sample that f calls the target
    with probability p_t is left alone in that measure. φ is 1 for samples that lie as
    near the factors as nearly all samples of known classes do, and falls to 0 a quarter beyond: an
    unfamiliar sample is not of class s, so u tells what kind it is and not how it differs from its
    kind. Its u is then limited to ±1, its factors stay, and h, which knows no such samples, does
    not speak. g_t is 1, or 0 for genes that a sparse fit leaves alone.

    Parameters
    ----------
    n_genes, n_classes
        Number of genes, and of classes of f.
    n_targets
        Number of classes that can be the target.
    n_factors
        Number of factors.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    familiar: torch.Tensor
    targets: torch.Tensor
    axes: torch.Tensor
    maps: torch.Tensor
    rest: torch.Tensor
    gate: torch.Tensor

    def __init__(self, n_genes: int, n_classes: int, n_targets: int, n_factors: int) -> None:
        super().__init__()
        self.correction = Correction(n_genes, n_targets)
        self.register_buffer("gate", torch.ones(n_targets, n_genes))
        self.register_buffer("mean", torch.zeros(n_classes, n_genes))
        self.register_buffer("spread", torch.ones(n_classes, n_genes))
        self.register_buffer("familiar", torch.ones(()))
        self.register_buffer("targets", torch.zeros(n_targets))
        self.register_buffer("axes", torch.zeros(n_factors, n_genes))
        self.register_buffer("maps", torch.zeros(n_targets, n_factors, n_factors))
        self.register_buffer("rest", torch.ones(n_targets, n_genes))

    @torch.no_grad()
    def set_up(self, transport: Transport, targets: torch.Tensor) -> None:
        """Start at a transport to the targets, which are positions among the classes."""
        self.set_transport(transport)
        self.targets.copy_(targets)
        nn.init.zeros_(self.correction.output.weight)
        self.gate.fill_(1)

    @torch.no_grad()
    def set_transport(self, transport: Transport) -> None:
        """Take means, spreads and factors from another estimate; the correction stays."""
        self.mean.copy_(transport.statistics.mean)
        self.spread.copy_(transport.statistics.spread)
        self.familiar.fill_(transport.familiar)
        self.axes = transport.factors.axes.clone()
        self.maps = transport.factors.maps.clone()
        self.rest.copy_(transport.factors.rest)

    def forward(
        self,
        x: torch.Tensor,
        probabilities: torch.Tensor,
        target: torch.Tensor,
        moved: Moved | None = None,
    ) -> torch.Tensor:
        """x_adv = clip(x + P, 0, 1), samples × genes, with the gradient of x + P.

        Were the gradient clipped too, a gene that is driven below 0 or above 1 could not come
        back.

        Parameters
        ----------
        x
            Scaled samples.
        probabilities
            What f says of them, samples × classes.
        target
            For each sample the position of its target among the targets.
        moved
            What :meth:`moved` says of them with the classes of f, where that is known; its change is
            used up.
        """
        if moved is None:
            # What the factors leave is a small difference, which bfloat16 would lose.
            with torch.autocast(x.device.type, enabled=False):
                moved = self.moved(x, probabilities.argmax(dim=1), target)
        change, familiarity = moved[1:]
        del moved  # M_t(u) takes as much memory as the samples
        correction = self.correction(x, target).float()
        remaining = 1 - probabilities.gather(1, self.targets[target].long()[:, None])
        # Step by step in the memory of T(x) − x: new memory for each costs more than the sums.
        perturbation = change.addcmul_(familiarity, correction).mul_(remaining)
        perturbation.mul_(row(self.gate, target))
        return cast("torch.Tensor", Clamp.apply(perturbation.add_(x)))

    @torch.no_grad()
    def moved(self, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> Moved:
        """The way of scaled samples from their classes to the target, without the correction.

        Parameters
        ----------
        x
            Scaled samples.
        source
            Position of the class of each.
        target
            For each sample the position of its target among the targets.
        """
        deviation = self._standardised(x, source)
        factors, rest = split(deviation, self.axes)
        excess = root_mean_square(rest) / self.familiar - 1
        familiarity = (1 - excess / FADES).clamp(0, 1)[:, None]
        mapped = torch.matmul(factors[:, None], row(self.maps, target))[:, 0]
        turned = rest.mul_(row(self.rest, target)).addmm_(mapped, self.axes)
        kept = deviation.clamp_(-1, 1).lerp_(turned, familiarity)
        return Moved(turned, self.placed(kept, target).sub_(x), familiarity)

    def _standardised(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """u, the deviations of samples from their classes, samples × genes."""
        deviation = torch.empty_like(x)
        for piece in pieces(x):
            own = source[piece]
            torch.sub(x[piece], self.mean[own], out=deviation[piece]).div_(self.spread[own])
        return deviation

    def placed(self, deviation: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Where samples of the target are that deviate so from its mean, before clipping.

        In the memory of the deviations, samples × genes.
        """
        of_target = self.targets.long()
        mean, spread = (row(of[of_target], target) for of in (self.mean, self.spread))
        return deviation.mul_(spread).add_(mean)
