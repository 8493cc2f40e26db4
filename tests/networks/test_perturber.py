from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import nn

from scgan_perturb.networks._draws import keys_of
from scgan_perturb.networks._networks import Classifier, initialise
from scgan_perturb.networks._perturber import (
    N_DRAWS,
    ROWS_CPU,
    ROWS_REDRAWN,
    TransportPerturber,
)
from tests.networks.transports import (
    LOCATION,
    N_CLASSES,
    N_GENES,
    SHARE,
    estimated,
    simulate,
)

TARGETS = (2, 0)


class Encoded(NamedTuple):
    x: torch.Tensor
    sizes: torch.Tensor


class Adding(nn.Module):
    """A generator whose draw number i adds i."""

    def __init__(self) -> None:
        super().__init__()
        self.n_contexts = 1
        self.targets, self.draws = torch.tensor([1.0]), []

    def prepare(self, target: int) -> SimpleNamespace:
        return SimpleNamespace(
            target=target, label=1, maps=torch.zeros(1), lattice=None, levels=None
        )

    def encode(self, prepared, x, labels, keys) -> Encoded:
        return Encoded(x, x[:, 0])

    def forward(self, prepared, encoded: Encoded, seed: int, draw: int) -> tuple[torch.Tensor, ...]:
        self.draws.append((draw, len(encoded.x)))
        return encoded.x + draw, encoded.sizes


class AtLeast(nn.Module):
    """Calls samples the target from a value of their first gene on."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros(len(x)), x[:, 0] - self.least + 0.5], dim=1)


X = torch.tensor([[5.0, 1.0], [3.0, 2.0], [0.0, 3.0], [4.0, 4.0]])


def perturber_of(least: float) -> TransportPerturber:
    return TransportPerturber(Adding(), AtLeast(0), AtLeast(least), 0, seed=0)


def test_the_first_draw_that_convinces_is_kept_with_its_logits():
    perturber = perturber_of(5)
    found, logits = perturber(X, keys_of(X))[:2]
    expected = X + torch.tensor([0.0, 2.0, 5.0, 1.0])[:, None]
    assert torch.equal(found, expected)
    assert torch.equal(logits, AtLeast(5)(expected))


def test_where_no_draw_convinces_the_first_is_kept_with_its_logits():
    perturber = perturber_of(100)
    found, logits = perturber(X, keys_of(X))[:2]
    assert torch.equal(found, X)
    assert torch.equal(logits, AtLeast(100)(X))
    assert max(draw for draw, _ in perturber.generator.draws) == N_DRAWS - 1


def test_only_samples_that_do_not_convince_are_drawn_again():
    perturber = perturber_of(5)
    perturber(X[:1], keys_of(X[:1]))
    assert [draw for draw, _ in perturber.generator.draws] == [0]
    perturber(X[1:2], keys_of(X[1:2]))
    assert [draw for draw, _ in perturber.generator.draws] == [0, 0, 1, 2]


@pytest.mark.parametrize("n", [1, ROWS_CPU, ROWS_CPU + 1, 3 * ROWS_CPU - 5])
def test_draws_have_the_same_numbers_of_rows_whatever_the_samples(n):
    perturber = perturber_of(4)
    x = torch.arange(float(n))[:, None].repeat(1, 2) % 7
    found, logits = perturber(x, keys_of(x))[:2]
    assert torch.equal(found, x.clamp_min(4))
    assert len(logits) == n
    first, others = (
        {size for draw, size in perturber.generator.draws if (draw == 0) is is_first}
        for is_first in (True, False)
    )
    assert first == {ROWS_CPU}
    assert others == {ROWS_REDRAWN}


class Nearest(nn.Module):
    """A classifier by the nearest class mean."""

    def __init__(self) -> None:
        super().__init__()
        self.means = torch.tensor(SHARE * LOCATION, dtype=torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.means.T - 0.5 * self.means.square().sum(1)


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.cat([simulate(label, 60, seed=3) for label in range(N_CLASSES)])


@pytest.fixture(scope="module")
def perturber(x) -> TransportPerturber:
    """A perturber whose classifier is convinced by about half of the samples of the target."""
    with torch.device("meta"):
        network = Classifier(N_GENES, N_CLASSES)
    initialise(network, 0)
    network.eval().requires_grad_(requires_grad=False)
    target = TARGETS[0]
    logits = network(simulate(target, 200, seed=4))
    logits[:, target] = -torch.inf
    network[-1].bias[target] += (
        logits.amax(1) - network(simulate(target, 200, seed=4))[:, target]
    ).median()
    return TransportPerturber(estimated(TARGETS, 300), Nearest(), network, 0, 7)


def same_bits(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(*parts) for parts in zip(found, expected, strict=True))


def test_some_samples_convince_at_a_later_draw_and_some_never(perturber, x):
    """So the next tests cover the draws after the first."""
    found, logits = perturber(x, keys_of(x))[:2]
    first = perturber.expected(x, keys_of(x), n_draws=1)
    is_target = logits.argmax(1) == TARGETS[0]
    is_first = (found == first).all(1)
    assert (is_target & ~is_first).sum() > 10
    assert is_first.sum() > 10
    assert (~is_target).any()
    assert is_first[~is_target].all()


def test_a_sample_has_the_same_bits_alone(perturber, x):
    keys = keys_of(x)
    whole = perturber(x, keys)[:2]
    for row in (0, 70, 130, len(x) - 1):
        alone = perturber(x[row : row + 1], keys[row : row + 1])[:2]
        assert same_bits(alone, tuple(part[row : row + 1] for part in whole))


def test_samples_have_the_same_bits_in_reversed_order(perturber, x):
    keys = keys_of(x)
    reversed_order = perturber(x.flip(0), keys.flip(0))[:2]
    assert same_bits(tuple(part.flip(0) for part in reversed_order), perturber(x, keys)[:2])


@pytest.mark.parametrize("n", [1, 17, ROWS_CPU, ROWS_CPU + 3])
def test_samples_have_the_same_bits_in_other_company(perturber, x, n):
    company = torch.rand(n, N_GENES, generator=torch.Generator().manual_seed(n))
    mixed = torch.cat([company, x])
    found = perturber(mixed, keys_of(mixed))[:2]
    assert same_bits(tuple(part[n:] for part in found), perturber(x, keys_of(x))[:2])


def test_the_expected_sample_has_the_same_bits_alone_and_in_company(perturber, x):
    keys = keys_of(x)
    whole = perturber.expected(x, keys, n_draws=3)
    assert torch.equal(perturber.expected(x[9:10], keys[9:10], n_draws=3), whole[9:10])


def test_the_expected_sample_is_the_mean_of_its_draws(perturber, x):
    keys = keys_of(x)
    generator, prepared = perturber.generator, perturber.prepared
    labels = perturber.classifier(x).argmax(1)
    encoded = generator.encode(prepared, x, labels, keys)
    draws = torch.stack([generator(prepared, encoded, perturber.seed, i)[0] for i in range(5)])
    torch.testing.assert_close(perturber.expected(x, keys, n_draws=5), draws.mean(0))


def test_the_expected_sample_is_near_the_mean_of_many_other_draws(perturber, x):
    x, keys, n = x[:40], keys_of(x[:40]), 100
    labels = perturber.classifier(x).argmax(1)
    encoded = perturber.generator.encode(perturber.prepared, x, labels, keys)
    draws = torch.stack(
        [perturber.generator(perturber.prepared, encoded, 8, draw)[0] for draw in range(n)]
    )
    error = (draws.var(0) * 2 / n).sqrt()
    gap = perturber.expected(x, keys, n_draws=n) - draws.mean(0)
    # Draws of few zeros have a poor variance; so a few gaps are larger than normal.
    assert (gap.abs() <= 4 * error + 0.02).float().mean() > 0.99
    assert gap.mean().abs() < 0.002


def test_perturbed_samples_lie_in_the_range_of_scaled_values(perturber, x):
    found, *_ = perturber(x, keys_of(x))
    assert found.min() >= 0
    assert found.max() <= 1


def test_samples_that_f_calls_the_target_are_returned_unchanged(perturber, x):
    is_target = perturber.classifier(x).argmax(1) == TARGETS[0]
    assert 0 < is_target.sum() < len(x)
    found, *_ = perturber(x, keys_of(x))
    assert torch.equal((found == x).all(1), is_target)


class CountedThreads(Adding):
    """Notes how many threads each draw is computed on."""

    def forward(self, prepared, encoded: Encoded, seed: int, draw: int) -> tuple[torch.Tensor, ...]:
        self.seen.append((draw, torch.get_num_threads()))
        return super().forward(prepared, encoded, seed, draw)


def test_few_samples_are_drawn_again_on_one_thread():
    generator, before = CountedThreads(), torch.get_num_threads()
    generator.seen = []
    torch.set_num_threads(2)
    try:
        TransportPerturber(generator, AtLeast(0), AtLeast(5), 0, seed=0)(X, keys_of(X))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert generator.seen[0] == (0, 2)
    assert {n_threads for draw, n_threads in generator.seen if draw} == {1}
