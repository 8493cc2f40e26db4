"""The generator of recipe "transport": Gaussian transport, corrected by a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn

from ..estimates._class_statistics import standardise
from ..estimates._factors import project
from ..estimates._familiarity import root_mean_square
from ._networks import BOTTLENECK_UNITS, N_RESIDUAL_BLOCKS

if TYPE_CHECKING:
    from typing import Any

    from ..estimates._transport import Transport

FADE = 0.25  # familiarity falls to 0 at (1 + FADE) times the familiar distance


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
    """The paper's hourglass (section 2.2), conditioned on the target, with layer normalisation.

    Layer normalisation does not depend on the other samples, so batches can mix targets. The last
    layer starts at zero, so training starts at the transport. It has a bias for each target, so
    that one target can change without the others.
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
        """Samples × genes, and each sample's target index, to samples × genes."""
        hidden = self.encoder(self.input(x) + self.target_in(target))
        hidden = self.decoder(hidden + self.target_narrow(target))
        bias = select_row(self.target_out.weight, target)
        return torch.addmm(bias, hidden, self.output.weight.T)


def select_row(rows: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """For each sample the row of its target; a single row is returned unchanged."""
    return rows if len(rows) == 1 else rows[target]


class Transported(NamedTuple):
    """Samples transported to their target, before the correction."""

    mapped: torch.Tensor  # M_t(u), standardised deviations of the target, samples × genes
    change: torch.Tensor  # T(x) − x; unfamiliar samples keep their own limited deviation
    familiarity: torch.Tensor  # φ, samples × 1


class Clamp(torch.autograd.Function):
    """Clamp to [0, 1] in place; the gradient ignores the clamp."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Of any shape."""
        ctx.mark_dirty(x)
        return x.clamp_(0, 1)

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient, unchanged."""
        return gradient


class TransportGenerator(nn.Module):
    """P = (1 − p_t)·g_t·(T(x) − x + φ·h(x, t)): the change of a sample of unknown class towards t.

    T is the Gaussian transport μ_t + σ_t·M_t(u), u = (x − μ_s)/σ_s, from the class s that the
    classifier f predicts. M_t maps the factors of u, in which genes vary together, to factors of t.
    h is the trained correction. p_t is the probability of the target by f: a sample that already
    is of the target hardly changes. φ detects unfamiliar samples by their residual outside the
    factors: it is 1 up to the residual of nearly all samples of known classes, and falls to 0 at
    1.25 times that. An unfamiliar sample is not of class s, so u describes its class and not its
    deviation from its class. Its u is then limited to ±1, its factors stay, and h is not added.
    g_t is 1, or 0 for the genes that a sparse fit does not change.
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
        """Start at a transport to the targets (positions among the classes)."""
        self.set_transport(transport)
        self.targets.copy_(targets)
        nn.init.zeros_(self.correction.output.weight)
        self.gate.fill_(1)

    @torch.no_grad()
    def set_transport(self, transport: Transport) -> None:
        """Replace means, spreads and factors; keep the correction."""
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
        transported: Transported | None = None,
    ) -> torch.Tensor:
        """x_adv = clip(x + P, 0, 1), samples × genes, with the gradient of x + P.

        A clipped gradient would be zero for a gene below 0 or above 1, which then stayed there.

        `probabilities` are class probabilities by f, `target` has target indices. `transported` is
        the result of :meth:`transport` if it is known; its change is overwritten in place.
        """
        if transported is None:
            # The residual is a small difference, which bfloat16 would lose.
            with torch.autocast(x.device.type, enabled=False):
                transported = self.transport(x, probabilities.argmax(dim=1), target)
        change, familiarity = transported[1:]
        del transported  # M_t(u) needs as much memory as the samples
        correction = self.correction(x, target).float()
        remaining = 1 - probabilities.gather(1, self.targets[target].long()[:, None])
        # In place: new memory for each step would take longer than the sums.
        perturbation = change.addcmul_(familiarity, correction).mul_(remaining)
        perturbation.mul_(select_row(self.gate, target))
        return cast("torch.Tensor", Clamp.apply(perturbation.add_(x)))

    @torch.no_grad()
    def transport(self, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> Transported:
        """Transport scaled samples, without the correction.

        `source` has positions among the classes, `target` target indices.
        """
        deviation = standardise(x, source, self.mean, self.spread)
        factors, residual = project(deviation, self.axes)
        excess = root_mean_square(residual) / self.familiar - 1
        familiarity = (1 - excess / FADE).clamp(0, 1)[:, None]
        factors = torch.matmul(factors[:, None], select_row(self.maps, target))[:, 0]
        mapped = residual.mul_(select_row(self.rest, target)).addmm_(factors, self.axes)
        deviation = deviation.clamp_(-1, 1).lerp_(mapped, familiarity)
        return Transported(mapped, self.add_mean(deviation, target).sub_(x), familiarity)

    def add_mean(self, deviation: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scaled expression from standardised deviations of the target, in place, not clipped."""
        classes = self.targets.long()
        mean, spread = (select_row(x[classes], target) for x in (self.mean, self.spread))
        return deviation.mul_(spread).add_(mean)
