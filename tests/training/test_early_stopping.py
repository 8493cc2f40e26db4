from __future__ import annotations

import pytest

from scgan_perturb.training._early_stopping import best_epoch, has_learnt, validation_share

LONG = 10_000  # steps of an epoch of large data


def history(*losses: float) -> list[dict]:
    return [{"validation_loss": loss} for loss in losses]


@pytest.mark.parametrize(
    ("losses", "n_steps", "expected"),
    [
        pytest.param((), 4, False, id="not begun"),
        pytest.param((1, 0.9, 0.8, 0.7, 0.6, 0.5), 4, False, id="falling"),
        pytest.param((1, 0.5, 0.6, 0.6, 0.6, 0.6), 4, False, id="four epochs are not five"),
        pytest.param((1, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6), 4, True, id="five epochs"),
        pytest.param((1, 0.5, 0.6, 0.6, 0.6, 0.6, 0.4), 4, False, id="lower again"),
        pytest.param((2e-3, *(1e-3 / n for n in range(1, 6))), 4, True, id="it falls for ever"),
        pytest.param((1, 0.5, 0.6), LONG, False, id="one long epoch is not two"),
        pytest.param((1, 0.5, 0.6, 0.6), LONG, True, id="two long epochs"),
    ],
)
def test_training_ends_when_epochs_no_longer_lower_the_loss(losses, n_steps, expected):
    assert has_learnt(history(*losses), n_steps) is expected


def test_the_first_epoch_with_the_lowest_loss_is_the_best():
    assert best_epoch(history(0.9, 0.4, 0.5, 0.4)) == 1


@pytest.mark.parametrize(
    ("n_samples", "expected"), [(560, 56), (20_480, 2_048), (1_000_000, 2_048)]
)
def test_a_tenth_validates_and_of_large_data_less(n_samples, expected):
    assert validation_share(n_samples) * n_samples == pytest.approx(expected)
