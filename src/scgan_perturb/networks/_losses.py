"""The terms of the loss, each computed per sample and averaged over the batch (section 2.2)."""

from __future__ import annotations

import torch


def discriminator_loss(real: torch.Tensor, perturbed: torch.Tensor) -> torch.Tensor:
    """Least-squares loss of D: real scores to 1, perturbed ones to 0 (equation 1)."""
    return (real - 1).square().mean() + perturbed.square().mean()


def gan_loss(perturbed: torch.Tensor) -> torch.Tensor:
    """Least-squares loss of G: the scores of its samples to 1 (equation 1)."""
    return (perturbed - 1).square().mean()


def adversarial_loss(
    logits: torch.Tensor, target: int | torch.Tensor, kappa: float
) -> torch.Tensor:
    """Margin in logits of the best other class over the target, at least −κ (equation 2).

    `logits` are f(x_adv), samples × classes. Beyond the margin κ the loss does not fall further.
    """
    column = torch.as_tensor(target, device=logits.device).expand(len(logits))[:, None]
    others = logits.scatter(1, column, -torch.inf)
    return (others.amax(dim=1) - logits.gather(1, column)[:, 0]).clamp(min=-kappa).mean()


def norm_loss(perturbation: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of each sample's perturbation (equation 3)."""
    return torch.linalg.vector_norm(perturbation, dim=1).mean()


def target_loss(perturbed: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """L1 distance of each sample to its draw r_t, summed over genes (equation 4)."""
    return (perturbed - drawn).abs().sum(dim=1).mean()
