"""What a fitted generator does to scaled samples, whatever its recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ._networks import perturb

if TYPE_CHECKING:
    from ._transport_generator import TransportGenerator

DEVIATION_KEPT = (0.75, 0.5, 0.25)  # of samples that f does not call the target


class PaperPerturber(nn.Module):
    """x_adv = clip(x + G(x), 0, 1) (paper, section 2.2)."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled samples to perturbed ones."""
        return perturb(self.generator, x)[1]


class TransportPerturber(nn.Module):
    """The transport generator towards one of its targets, asking f for each sample's class."""

    def __init__(self, generator: TransportGenerator, classifier: nn.Module, target: int) -> None:
        super().__init__()
        self.generator, self.classifier, self.target = generator, classifier, target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled samples to perturbed ones."""
        place = torch.full((len(x),), self.target, device=x.device)
        return transport(self.generator, self.classifier, x, place)


def transport(
    generator: TransportGenerator, classifier: nn.Module, x: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Perturb samples, each towards its own target.

    A sample that f does not call the target afterwards, mostly since it mistook its class before,
    keeps less of its deviation from the mean of the target: the most that convinces f, as it is
    where nothing does.

    Parameters
    ----------
    generator
        The transport generator.
    classifier
        f.
    x
        Scaled samples.
    target
        For each sample the position of its target among the targets.
    """
    perturbed = generator(x, classifier(x).softmax(dim=1), target)
    wanted = generator.targets[target].long()
    left = torch.nonzero(classifier(perturbed).argmax(dim=1) != wanted).flatten()
    gap = (generator.mean[wanted[left]] - perturbed[left]) * generator.gate[target[left]]
    for kept in DEVIATION_KEPT:
        if len(left) == 0:
            break
        nearer = perturbed[left] + (1 - kept) * gap
        convinced = classifier(nearer).argmax(dim=1) == wanted[left]
        perturbed[left[convinced]] = nearer[convinced]
        left, gap = left[~convinced], gap[~convinced]
    return perturbed
