"""Apply a fitted generator to scaled samples, for each recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ._networks import perturb

if TYPE_CHECKING:
    from ._transport_generator import TransportGenerator

DEVIATION_KEPT = (0.75, 0.5, 0.25)  # of samples that f does not classify as the target


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
    """The transport generator towards one of its targets, from the class that f predicts."""

    def __init__(self, generator: TransportGenerator, classifier: nn.Module, target: int) -> None:
        super().__init__()
        self.generator, self.classifier, self.target = generator, classifier, target

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled samples to perturbed ones, and the logits of f for these."""
        target_index = torch.full((len(x),), self.target, device=x.device)
        return transport(self.generator, self.classifier, x, target_index)


def transport(
    generator: TransportGenerator, classifier: nn.Module, x: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Perturb samples, each towards its own target.

    f may not classify a perturbed sample as the target, mostly because it predicted a wrong source
    class. The sample then keeps less of its deviation from the mean of the target: the largest
    share in `DEVIATION_KEPT` that convinces f, or all of it if none does.

    `target` has the target index of each sample. Returns perturbed samples and the logits of f.
    """
    perturbed = generator(x, classifier(x).softmax(dim=1), target)
    wanted = generator.targets[target].long()
    logits = classifier(perturbed)
    rest = torch.nonzero(logits.argmax(dim=1) != wanted).flatten()
    gap = (generator.mean[wanted[rest]] - perturbed[rest]) * generator.gate[target[rest]]
    for kept in DEVIATION_KEPT:
        if len(rest) == 0:
            break
        nearer = perturbed[rest] + (1 - kept) * gap
        new_logits = classifier(nearer)
        is_target = new_logits.argmax(dim=1) == wanted[rest]
        solved = rest[is_target]
        perturbed[solved], logits[solved] = nearer[is_target], new_logits[is_target]
        rest, gap = rest[~is_target], gap[~is_target]
    return perturbed, logits
