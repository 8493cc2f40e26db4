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

    def __init__(self, generator: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.generator, self.classifier = generator, classifier

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled samples to perturbed ones, and the logits of f for these."""
        perturbed = perturb(self.generator, x)[1]
        return perturbed, self.classifier(perturbed)


class TransportPerturber(nn.Module):
    """The transport generator towards one of its targets, asking f for each sample's class."""

    def __init__(self, generator: TransportGenerator, classifier: nn.Module, target: int) -> None:
        super().__init__()
        self.generator, self.classifier, self.target = generator, classifier, target

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled samples to perturbed ones, and the logits of f for these."""
        place = torch.full((len(x),), self.target, device=x.device)
        return transport(self.generator, self.classifier, x, place)


def transport(
    generator: TransportGenerator, classifier: nn.Module, x: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
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

    Returns
    -------
    The perturbed samples, and the logits of f for them.
    """
    perturbed = generator(x, classifier(x).softmax(dim=1), target)
    wanted = generator.targets[target].long()
    logits = classifier(perturbed)
    left = torch.nonzero(logits.argmax(dim=1) != wanted).flatten()
    gap = (generator.mean[wanted[left]] - perturbed[left]) * generator.gate[target[left]]
    for kept in DEVIATION_KEPT:
        if len(left) == 0:
            break
        nearer = perturbed[left] + (1 - kept) * gap
        said = classifier(nearer)
        convinced = said.argmax(dim=1) == wanted[left]
        perturbed[left[convinced]], logits[left[convinced]] = nearer[convinced], said[convinced]
        left, gap = left[~convinced], gap[~convinced]
    return perturbed, logits
