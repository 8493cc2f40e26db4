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


def energy_loss(
    perturbed: torch.Tensor, real: torch.Tensor, everyone: torch.Tensor | None = None
) -> torch.Tensor:
    """The part of the E-distance that depends on the perturbed samples, unbiased.

    2·E‖a − b‖ − E‖a − a'‖ for perturbed samples a and real samples b, for each group, from groups ×
    samples × genes. The paper does not have this term. If `perturbed` is a subset, `everyone` holds
    all perturbed samples, detached: the mean of the losses of the subsets, weighted by samples, is
    the loss of all.
    """
    everyone = perturbed.detach() if everyone is None else everyone
    # Distances are symmetric: twice the gradient of one side saves a matrix product.
    among = _distances(perturbed, everyone).sum(dim=(1, 2))
    among = (2 * among - among.detach()) / (perturbed.shape[1] * (everyone.shape[1] - 1))
    return 2 * _distances(perturbed, real).mean(dim=(1, 2)) - among


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Euclidean distances between the samples of two sets, by a matrix product."""
    # A norm needs no memory for the squares of all genes.
    of_a, of_b = (torch.linalg.vector_norm(x, dim=-1).square() for x in (a, b))
    squares = of_a[..., :, None] + of_b[..., None, :]
    squared = torch.baddbmm(squares, a, b.transpose(-1, -2), alpha=-2)
    # A sample's distance to itself is 0, where the root has no gradient.
    return squared.clamp(min=1e-8).sqrt()
