from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, norm

from scgan_perturb.estimates._latent import N_FACTORS, Latent
from scgan_perturb.estimates._lattice import Lattice, find_sizes
from scgan_perturb.estimates._marginals import Marginals
from scgan_perturb.estimates._transport import Transport
from scgan_perturb.networks._draws import keys_of
from scgan_perturb.networks._transport_generator import TransportGenerator
from tests.networks.transports import (
    LOCATION,
    N_CLASSES,
    N_GENES,
    SCALE,
    SHARE,
    estimated,
    generator_of,
    known,
    simulate,
)

TARGETS = (2, 0)
SOURCE = 1
LOG_SIZES = torch.tensor([0.0, 0.5, 1.0])
N_TESTS = 5000  # KS tests at most, so that a wrong alarm is rare


@pytest.fixture(scope="module")
def fitted() -> TransportGenerator:
    return estimated(TARGETS)


@pytest.fixture
def generator(fitted) -> TransportGenerator:
    """The same, whose gates a test may close."""
    fitted.gate.fill_(1)
    return fitted


def apply(
    generator: TransportGenerator,
    x: torch.Tensor,
    labels: int | torch.Tensor = SOURCE,
    target: int = 0,
    seed: int = 0,
    draw: int = 0,
) -> torch.Tensor:
    labels = torch.as_tensor(labels).expand(len(x))
    prepared = generator.prepare(target)
    return generator(prepared, generator.encode(prepared, x, labels, keys_of(x)), seed, draw)[0]


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_perturbed_samples_have_the_target_s_shares_of_zeros(generator, target):
    n = 2000
    found = apply(generator, simulate(SOURCE, n, seed=1), target=target)
    expected = SHARE[TARGETS[target]]
    error = np.sqrt(expected * (1 - expected) * (1 / n + 1 / 1500))
    assert (np.abs((found > 0).float().mean(0).numpy() - expected) <= 5 * error + 1e-6).all()


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_perturbed_samples_have_the_target_s_quantiles(generator, target):
    found = apply(generator, simulate(SOURCE, 1000, seed=1), target=target).numpy()
    real = simulate(TARGETS[target], 1000, seed=2).numpy()
    source = simulate(SOURCE, 1000, seed=1).numpy()
    p_values, before = (
        [ks_2samp(part[:, gene], real[:, gene]).pvalue for gene in range(N_GENES)]
        for part in (found, source)
    )
    assert np.min(p_values) > 1 / N_TESTS
    assert np.median(before) < 1e-6


def test_perturbed_samples_have_the_target_s_correlations(generator):
    found, real = (
        part[:, -4:].numpy()
        for part in (
            apply(generator, simulate(SOURCE, 2000, seed=1)),
            simulate(TARGETS[0], 2000, seed=2),
        )
    )
    correlations = [np.corrcoef(part, rowvar=False) for part in (found, real)]
    assert correlations[1][0, 2] > 0.4  # of even genes
    np.testing.assert_allclose(*correlations, atol=0.12)


def test_each_gene_keeps_its_rank_where_genes_are_independent():
    generator, x = generator_of(known(), TARGETS), simulate(SOURCE, 300, seed=1)
    found, x = apply(generator, x).numpy().astype(float), x.numpy().astype(float)
    (p, q), (loc, to), (scale, wide) = (
        (part[SOURCE], part[TARGETS[0]]) for part in (SHARE, LOCATION, SCALE)
    )
    z = np.where(x > 0, (x - loc) / scale, 0)
    # Samples with rare values are drawn in part.
    familiar = (z**2).sum(axis=1) / np.maximum((x > 0).sum(axis=1), 1) < 1.99
    tail = p * norm.sf(z)  # of the values above; a zero is below all of them
    expected = np.where(tail < q, to + wide * norm.isf(np.minimum(tail / q, 1)), 0)
    is_present = (x > 0) & familiar[:, None]
    assert is_present.mean() > 0.4
    np.testing.assert_allclose(found[is_present], expected[is_present].clip(0, 1), atol=1e-4)
    # A gene never goes where the target has it more often, and never comes where less often.
    assert (found[:, q >= p][x[:, q >= p] > 0] > 0).all()
    assert (found[:, q <= p][x[:, q <= p] == 0] == 0).all()


def test_transport_between_equal_distributions_changes_nothing(generator):
    parts = [
        replace(
            part,
            **{name: getattr(part, name)[SOURCE].expand_as(getattr(part, name)) for name in names},
        )
        for part, names in (
            (generator.marginals, ("share", "location", "scale", "shape")),
            (generator.latent, ("covariance", "centre", "intercept", "offset", "gain")),
        )
    ]
    x = simulate(SOURCE, 300, seed=1)
    found = apply(generator_of(Transport(*parts, generator.lattice), TARGETS), x)
    change = (found - x).abs()
    # A value beyond the tails, and a sample with rare values, may change.
    assert (change < 1e-3).float().mean() > 0.98
    assert torch.equal(found > 0, x > 0)


@pytest.mark.parametrize("target", range(len(TARGETS)))
def test_a_sample_of_the_target_is_returned_unchanged(generator, target):
    x = simulate(TARGETS[target], 50, seed=1)
    assert torch.equal(apply(generator, x, TARGETS[target], target), x)


def test_a_shut_gate_leaves_its_gene_alone(generator):
    x = simulate(SOURCE, 200, seed=1)
    shut = [0, 5, N_GENES - 1]
    before, other = apply(generator, x), apply(generator, x, target=1)
    generator.gate[0, shut] = 0
    found = apply(generator, x)
    assert torch.equal(found[:, shut], x[:, shut])
    rest = np.setdiff1d(np.arange(N_GENES), shut)
    assert torch.equal(found[:, rest], before[:, rest])
    assert torch.equal(apply(generator, x, target=1), other)  # each target has its own gates


def test_a_gene_without_zeros_stays_present(generator):
    found = apply(generator, simulate(SOURCE, 300, seed=1))[:, -4:]
    assert (found >= generator.low[-4:]).all()


def unfamiliar() -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(20, N_GENES, generator=rng)
    constants = torch.tensor([0.0, 1e-6, 0.5, 1.0])[:, None].expand(-1, N_GENES)
    single = torch.eye(N_GENES)[:3]
    return torch.cat([noise, constants, single, (noise > 0.5).float()])


def test_unfamiliar_samples_stay_finite_and_in_range(generator):
    found = apply(generator, unfamiliar())
    assert found.isfinite().all()
    present = found > 0
    above, below = (found >= generator.low) | ~present, found <= generator.high
    assert above.all()
    assert below.all()


def test_unfamiliar_samples_become_as_usual_as_the_target_s(generator):
    label = TARGETS[0]
    found = apply(generator, unfamiliar().repeat(5, 1) * 0.999).numpy()[:, -4:]
    z = (found - LOCATION[label, -4:]) / SCALE[label, -4:]
    assert np.sqrt((z**2).mean()) < 2


def test_draws_differ_and_the_same_draw_does_not(generator):
    x = simulate(SOURCE, 40, seed=1)
    first = apply(generator, x)
    assert torch.equal(apply(generator, x), first)
    assert not torch.equal(apply(generator, x, draw=1), first)
    assert not torch.equal(apply(generator, x, seed=1), first)


def test_samples_of_all_classes_at_once_are_those_of_each(generator):
    labels = torch.arange(60) % N_CLASSES
    x = torch.stack([simulate(label, 1, seed=i)[0] for i, label in enumerate(labels.tolist())])
    found = apply(generator, x, labels)
    for label in range(N_CLASSES):
        own = labels == label
        torch.testing.assert_close(found[own], apply(generator, x[own], label))


def test_the_generator_holds_the_estimates(generator):
    transport = known()
    held = generator_of(transport, TARGETS)
    for kind, part in ((Marginals, "marginals"), (Latent, "latent")):
        for field in fields(kind):
            expected = getattr(getattr(transport, part), field.name)
            assert torch.equal(getattr(getattr(held, part), field.name), expected)
    assert held.targets.tolist() == list(TARGETS)
    assert list(held.parameters()) == []


def test_perturbing_leaves_the_global_random_state_alone(generator):
    before = torch.get_rng_state()
    apply(generator, unfamiliar())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_nearest_context_is_the_likeliest():
    transport = known()
    generator = TransportGenerator(N_GENES, 1, 1, N_FACTORS, n_contexts=N_CLASSES)
    marginals = replace(transport.marginals, shape=transport.marginals.shape[:1])
    generator.set_up(replace(transport, marginals=marginals), torch.tensor([0]))
    x = torch.cat([simulate(label, 40, seed=5) for label in range(N_CLASSES)])
    labels = torch.zeros(len(x), dtype=torch.long)
    found = generator.nearest_contexts(generator.prepare(0), x, labels, keys_of(x))
    present = (x > 0).numpy() | (SHARE == 1).all(0)
    logs = [
        np.where(
            present,
            norm.logpdf(x.numpy(), LOCATION[k], SCALE[k]) + np.log(SHARE[k]),
            np.log1p(-np.minimum(SHARE[k], 1 - 1e-9)),
        ).sum(1)
        for k in range(N_CLASSES)
    ]
    np.testing.assert_array_equal(found, np.argmax(logs, axis=0))
    assert (found == torch.arange(N_CLASSES).repeat_interleave(40)).float().mean() > 0.9


def test_a_sample_of_the_target_keeps_its_size_factor(generator):
    """However many counts a draw has: its values are not drawn."""
    lattice = Lattice(torch.zeros(N_GENES), torch.full((N_GENES,), 3.0), LOG_SIZES, torch.ones(1))
    counted = generator_of(Transport(generator.marginals, generator.latent, lattice), TARGETS)
    x, prepared = simulate(TARGETS[0], 200, seed=1), counted.prepare(0)
    for label in (TARGETS[0], SOURCE):
        encoded = counted.encode(prepared, x, torch.full((len(x),), label), keys_of(x))
        found, sizes = counted(prepared, encoded, 0, 0)
        is_kept = label == TARGETS[0]
        assert torch.equal(found, x) is is_kept
        assert torch.equal(sizes, find_sizes(lattice, x)) is is_kept
