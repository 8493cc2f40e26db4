"""What a fitted generator does to scaled samples, whatever its recipe."""

from __future__ import annotations

import torch
from torch import nn

from ._networks import perturb


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

    def __init__(self, generator: nn.Module, classifier: nn.Module, target: int) -> None:
        super().__init__()
        self.generator, self.classifier, self.target = generator, classifier, target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled samples to perturbed ones."""
        target = torch.full((len(x),), self.target, device=x.device)
        return self.generator(x, self.classifier(x).softmax(dim=1), target)
