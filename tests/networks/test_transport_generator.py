from __future__ import annotations

import numpy as np
import pytest
import torch

from scgan_perturb.estimates._class_statistics import ClassStatistics
from scgan_perturb.estimates._factors import Factors
from scgan_perturb.estimates._transport import Transport
from scgan_perturb.networks._networks import initialise
from scgan_perturb.networks._transport_generator import FADE, TransportGenerator

N_GENES, SIZE = 6, 10
TARGETS = (2, 0)  # of three classes
SOURCE = 1
RNG = np.random.default_rng(0)
MEAN = RNG.uniform(0.4, 0.6, size=(3, N_GENES))
SPREAD = RNG.uniform(0.02, 0.06, size=(3, N_GENES))
FAMILIAR = 1.5
AXES = np.linalg.qr(RNG.normal(size=(N_GENES, 2)))[0].T
MAPS = RNG.normal(1, 0.3, size=(len(TARGETS), 2, 2))
REST = RNG.uniform(0.7, 1.4, size=(len(TARGETS), N_GENES))


@pytest.fixture
def generator() -> TransportGenerator:
    with torch.device("meta"):
        network = TransportGenerator(N_GENES, 3, len(TARGETS), len(AXES))
    initialise(network, 0)
    mean, spread, axes, maps, rest = (
        torch.tensor(part, dtype=torch.float32) for part in (MEAN, SPREAD, AXES, MAPS, REST)
    )
    statistics, factors = ClassStatistics(mean, spread), Factors(axes, maps, rest)
    network.set_up(Transport(statistics, factors, FAMILIAR), torch.tensor(TARGETS))
    return network


def turned(x: np.ndarray, target: int) -> np.ndarray:
    """Deviations from the source, factors and rest as the target has them."""
    u = (x - MEAN[SOURCE]) / SPREAD[SOURCE]
    inside = AXES.T @ AXES
    return u @ AXES.T @ MAPS[target] @ AXES + REST[target] * (u - u @ inside)


@pytest.fixture
def speaking(generator) -> TransportGenerator:
    """The same with a correction that is not zero, and differs with the target."""
    rng = torch.Generator().manual_seed(1)
    for weight in (generator.correction.output.weight, generator.correction.target_in.weight):
        torch.nn.init.normal_(weight, generator=rng)
    return generator


def samples_at(distance: float) -> np.ndarray:
    """Samples of the source class, whose deviations leave the axes as far as asked."""
    u = RNG.normal(size=(SIZE, N_GENES))
    rest = u - u @ AXES.T @ AXES
    u += rest * (distance / np.sqrt(np.square(rest).mean(axis=1, keepdims=True)) - 1)
    return MEAN[SOURCE] + SPREAD[SOURCE] * u


def said(p_target: float = 0.0, p_source: float = 1.0, target: int = 0) -> torch.Tensor:
    probabilities = torch.zeros(SIZE, 3)
    probabilities[:, SOURCE], probabilities[:, TARGETS[target]] = p_source, p_target
    return probabilities


def apply(network, x: np.ndarray, probabilities: torch.Tensor, target: int = 0) -> np.ndarray:
    place = torch.full((len(x),), target)
    with torch.no_grad():
        return network(torch.tensor(x, dtype=torch.float32), probabilities, place).numpy()


@pytest.mark.parametrize("target", [0, 1])
def test_before_training_it_is_the_transport_between_the_classes(generator, target):
    x, t = samples_at(0.9), TARGETS[target]
    expected = MEAN[t] + SPREAD[t] * turned(x, target)
    found = apply(generator, x, said(target=target), target)
    np.testing.assert_allclose(found, expected.clip(0, 1), atol=1e-6)


def test_a_sample_that_f_is_sure_to_be_the_target_is_left_alone(speaking):
    x = samples_at(0.9)
    np.testing.assert_allclose(apply(speaking, x, said(1.0, 0.0)), x, atol=1e-6)


def test_the_change_shrinks_as_f_takes_the_sample_for_the_target(generator):
    x = samples_at(0.9)
    whole = apply(generator, x, said(0.0)) - x
    np.testing.assert_allclose(apply(generator, x, said(0.4, 0.6)) - x, 0.6 * whole, atol=1e-6)


def test_an_unfamiliar_sample_lands_within_one_spread_of_the_target(speaking):
    x, t = samples_at(2.01 * FAMILIAR), TARGETS[0]
    found = apply(speaking, x, said())
    limited = ((x - MEAN[SOURCE]) / SPREAD[SOURCE]).clip(-1, 1)
    # Not a word of the correction, which is not zero here.
    np.testing.assert_allclose(found, MEAN[t] + SPREAD[t] * limited, atol=1e-6)
    assert (np.abs(found - MEAN[t]) <= SPREAD[t] + 1e-6).all()


def test_a_little_beyond_the_familiar_both_are_mixed(generator):
    x, t = samples_at((1 + 0.25 * FADE) * FAMILIAR), TARGETS[0]
    u = (x - MEAN[SOURCE]) / SPREAD[SOURCE]
    expected = MEAN[t] + SPREAD[t] * (0.75 * turned(x, 0) + 0.25 * u.clip(-1, 1))
    np.testing.assert_allclose(apply(generator, x, said()), expected.clip(0, 1), atol=1e-5)


def test_the_correction_is_told_the_target_and_speaks_of_familiar_samples(speaking):
    x = samples_at(0.9)
    transported = [apply(speaking, x, said(target=target), target) for target in (0, 1)]
    for target, found in enumerate(transported):
        t, place = TARGETS[target], torch.full((SIZE,), target)
        with torch.no_grad():
            h = speaking.correction(torch.tensor(x, dtype=torch.float32), place).numpy()
        expected = MEAN[t] + SPREAD[t] * turned(x, target) + h
        np.testing.assert_allclose(found, expected.clip(0, 1), atol=1e-5)
        assert np.abs(h).min() > 0
    with torch.no_grad():
        same = speaking.correction(torch.zeros(2, N_GENES), torch.tensor([0, 1]))
    assert not torch.allclose(same[0], same[1])


def test_the_transport_of_known_classes_is_that_of_a_sure_classifier(generator):
    x = torch.tensor(samples_at(0.9), dtype=torch.float32)
    source, place = torch.full((SIZE,), SOURCE), torch.zeros(SIZE, dtype=torch.long)
    with torch.no_grad():
        known = generator.add_mean(generator.transport(x, source, place).mapped, place).clamp(0, 1)
        torch.testing.assert_close(known, generator(x, said(), place), atol=1e-6, rtol=0)


def test_a_shut_gate_leaves_its_gene_alone(generator):
    generator.gate[0, 1] = 0
    x = samples_at(0.9).astype(np.float32)
    moved = np.abs(apply(generator, x, said()) - x).min(axis=0)
    assert moved[1] == 0
    assert (np.delete(moved, 1) > 0).all()


def test_the_result_is_clipped_and_its_gradient_is_not(generator):
    x = torch.tensor(samples_at(0.9), dtype=torch.float32)
    shift = torch.linspace(-3, 3, N_GENES).requires_grad_()
    place = torch.zeros(SIZE, dtype=torch.long)
    moved = generator.transport(x, torch.full((SIZE,), SOURCE), place)
    correction = shift - moved.change  # of familiar samples, which the change is all of
    generator.correction.forward = lambda *_: correction
    found = generator(x, said(), place, moved)
    torch.testing.assert_close(found, (x + shift).clip(0, 1), atol=1e-6, rtol=0)
    found.sum().backward()
    assert shift.grad.tolist() == [SIZE] * N_GENES


def test_targets_may_differ_from_sample_to_sample(speaking):
    x = samples_at(0.9)
    apart = [apply(speaking, x, said(), target) for target in (0, 1)]
    place = torch.arange(SIZE) % 2
    with torch.no_grad():
        mixed = speaking(torch.tensor(x, dtype=torch.float32), said(), place).numpy()
    np.testing.assert_allclose(mixed, np.where(place[:, None] == 0, *apart), atol=1e-5)


def test_setting_up_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    with torch.device("meta"):
        network = TransportGenerator(N_GENES, 3, 2, 1)
    initialise(network, 0)
    assert torch.equal(torch.get_rng_state(), before)
