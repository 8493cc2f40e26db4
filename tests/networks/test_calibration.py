from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from scgan_perturb.networks._calibration import (
    accuracy_and_error,
    confidence_sums,
    find_temperature,
)


def sampled(n_samples: int, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits times a temperature, and labels drawn with the probabilities of the logits."""
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n_samples, 4, generator=rng)
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    return temperature * logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_of_logits_that_are_too_sure_is_found(temperature):
    logits, labels = sampled(4000, temperature)
    found, loss = find_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.1)
    assert loss == pytest.approx(log_loss(labels, (logits / found).double().softmax(1)), rel=1e-4)


def test_few_samples_that_are_all_right_do_not_make_certain():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    temperature, _ = find_temperature(logits, torch.tensor([0, 1]))
    assert 0.5 < temperature < 1


def test_the_error_is_the_mean_difference_of_confidence_and_accuracy_in_bins():
    logits, labels = sampled(600, 3.0)
    probabilities = logits.softmax(1).numpy()
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels.numpy()
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    parts = [confidence_sums(logits[rows], labels[rows]) for rows in torch.arange(600).split(250)]
    accuracy, error = accuracy_and_error(torch.stack(parts).sum(0))
    assert accuracy == pytest.approx(right.mean())
    assert error == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("temperature", "low", "high"),
    [pytest.param(1.0, 0, 0.03, id="as sure as right"), pytest.param(5.0, 0.1, 1, id="too sure")],
)
def test_an_error_tells_of_confidence_that_is_not_deserved(temperature, low, high):
    assert low <= accuracy_and_error(confidence_sums(*sampled(4000, temperature)))[1] < high


def test_without_samples_nothing_is_measured():
    sums = confidence_sums(torch.empty(0, 3), torch.empty(0, dtype=torch.long))
    assert np.isnan(accuracy_and_error(sums)).all()
