from __future__ import annotations

import numpy as np
import pytest
import torch

from scgan_perturb.networks import _losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(7, 4))
VALUES, OTHER = RNG.normal(size=(2, 7, 5))


def test_adversarial_loss_is_the_lead_of_the_best_other_class():
    expected = np.mean([max(max(z[i] for i in range(4) if i != 2) - z[2], -0.5) for z in LOGITS])
    found = _losses.adversarial_loss(torch.tensor(LOGITS), target=2, kappa=0.5)
    assert found.item() == pytest.approx(expected)


def test_adversarial_loss_takes_a_target_for_each_sample():
    targets = [2, 0, 3, 1, 1, 2, 0]
    leads = [max(np.delete(z, t)) - z[t] for z, t in zip(LOGITS, targets, strict=True)]
    found = _losses.adversarial_loss(torch.tensor(LOGITS), torch.tensor(targets), kappa=0.3)
    assert found.item() == pytest.approx(np.maximum(leads, -0.3).mean())


@pytest.mark.parametrize(("kappa", "expected"), [(0.0, 0.0), (3.0, -3.0)])
def test_adversarial_loss_ends_at_minus_kappa(kappa, expected):
    logits = torch.tensor([[0.0, 10.0, 0.0]])
    assert _losses.adversarial_loss(logits, target=1, kappa=kappa).item() == expected


def test_norm_loss_is_the_mean_euclidean_norm():
    expected = np.mean([np.sqrt((row**2).sum()) for row in VALUES])
    assert _losses.norm_loss(torch.tensor(VALUES)).item() == pytest.approx(expected)


def test_norm_loss_has_a_gradient_at_zero():
    zero = torch.zeros(2, 3, requires_grad=True)
    _losses.norm_loss(zero).backward()
    assert torch.isfinite(zero.grad).all()


def test_target_loss_is_summed_over_genes_and_averaged_over_samples():
    expected = np.abs(VALUES - OTHER).sum() / len(VALUES)
    found = _losses.target_loss(torch.tensor(VALUES), torch.tensor(OTHER))
    assert found.item() == pytest.approx(expected)


def test_discriminator_loss_wants_one_for_real_and_zero_for_perturbed():
    real, perturbed = LOGITS[:, 0], LOGITS[:, 1]
    expected = np.mean((real - 1) ** 2) + np.mean(perturbed**2)
    found = _losses.discriminator_loss(torch.tensor(real), torch.tensor(perturbed))
    assert found.item() == pytest.approx(expected)


def test_gan_loss_wants_one_for_perturbed():
    expected = np.mean((LOGITS[:, 1] - 1) ** 2)
    assert _losses.gan_loss(torch.tensor(LOGITS[:, 1])).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: _losses.adversarial_loss(x, target=0, kappa=0.0),
        _losses.norm_loss,
        lambda x: _losses.target_loss(x, x.flip(1)),
        _losses.gan_loss,
    ],
    ids=["adversarial", "norm", "target", "gan"],
)
def test_no_term_depends_on_the_batch_size(loss):
    x = torch.tensor(VALUES)
    assert loss(torch.cat([x, x, x])).item() == pytest.approx(loss(x).item())
