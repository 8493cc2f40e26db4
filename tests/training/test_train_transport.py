from __future__ import annotations

import copy
import gc
import math
import weakref

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist

from scgan_perturb._recipes import Transport
from scgan_perturb.engine._device import open_fabric
from scgan_perturb.estimates._factors import find_factors
from scgan_perturb.estimates._samples import Samples
from scgan_perturb.estimates._transport import estimate_transport
from scgan_perturb.networks._networks import Classifier, initialise
from scgan_perturb.training._pools import Pool, Pools, make_pools
from scgan_perturb.training._train_transport import train_transport
from scgan_perturb.training._transport_trainer import (
    AVERAGE_DECAY,
    LOSS_NAMES,
    TransportTrainer,
    schedule,
)
from tests.estimates.rows import Rows

N_GENES, N_CLASSES = 6, 3
TARGETS = (2, 0)
LABELS = torch.arange(36) % N_CLASSES
WEIGHTS = {"weight_adv": 2.0, "weight_td": 3.0, "weight_energy": 5.0}


@pytest.fixture
def samples() -> Samples:
    rng = torch.Generator().manual_seed(0)
    centres = torch.rand(N_CLASSES, N_GENES, generator=rng)
    noise = 0.1 * torch.randn(len(LABELS), N_GENES, generator=rng)
    return Samples(Rows((centres[LABELS] + noise).clip(0, 1)), LABELS)


@pytest.fixture
def classifier() -> Classifier:
    with torch.device("meta"):
        network = Classifier(N_GENES, N_CLASSES)
    initialise(network, 5)
    return network.eval().requires_grad_(False)


@pytest.fixture
def make_trainer(samples, classifier):
    def make(
        targets=TARGETS, judge=None, f=None, precision="32-true", **options
    ) -> TransportTrainer:
        return TransportTrainer(
            estimate_transport(samples, N_CLASSES, torch.tensor(targets), 0),
            classifier if f is None else f,
            classifier if judge is None else judge,
            samples,
            torch.tensor(targets),
            options=Transport(**{"batch_size": 12, "kappa": 0.0, **WEIGHTS, **options}),
            seed=0,
            fabric=open_fabric("cpu", precision),
        )

    return make


def pools_of(trainer: TransportTrainer) -> Pools:
    everyone = torch.ones(len(LABELS), dtype=torch.bool)
    return make_pools(LABELS, trainer.targets, everyone, everyone)


def train(
    trainer: TransportTrainer, pools: Pools | None = None
) -> tuple[torch.nn.Module, list[dict]]:
    pools = pools or pools_of(trainer)
    return train_transport(
        trainer, pools, pools, trainer.samples, description="", progress_bar=False
    )


def test_the_loss_is_that_of_its_terms_by_hand(make_trainer, samples, classifier):
    kappa = 0.05
    trainer = make_trainer(kappa=kappa)
    torch.nn.init.normal_(
        trainer.network.correction.output.weight, generator=torch.Generator().manual_seed(1)
    )
    groups, index, real = trainer.draw(pools_of(trainer))
    with torch.no_grad():
        found = trainer.losses(groups, index, real, trainer.network).numpy()

    x, mean, spread = (
        part.double().numpy()
        for part in (samples.rows.x, trainer.statistics.mean, trainer.statistics.spread)
    )
    factors = find_factors(samples, trainer.statistics, trainer.targets, 0)
    axes, maps, rest = (p.double().numpy() for p in (factors.axes, factors.maps, factors.rest))
    leads, gaps, energies = [], [], []
    for place, sources, targets in zip(groups, index, real, strict=True):
        t = TARGETS[place]
        with torch.no_grad():
            probabilities = classifier(samples.rows[sources]).softmax(1)
            moved = trainer.network(
                samples.rows[sources], probabilities, place.expand(len(sources))
            )
            logits = classifier(moved).numpy()
        moved = moved.double().numpy()
        leads += [max(max(np.delete(z, t)) - z[t], -kappa) for z in logits]
        for row, sample in zip(moved, sources.tolist(), strict=True):
            s = LABELS[sample].item()
            u = (x[sample] - mean[s]) / spread[s]
            scores = axes @ u
            drawn = mean[t] + spread[t] * (
                scores @ maps[place] @ axes + rest[place] * (u - scores @ axes)
            )
            # The expected distance of a sample of the target to its mean.
            unit = (np.sqrt(2 / np.pi) * spread[t]).sum()
            gaps.append(np.abs(row - drawn.clip(0, 1)).sum() / unit)
        distance = np.sqrt(2 * (spread[t] ** 2).sum())
        e = 2 * cdist(moved, x[targets.numpy()]).mean() - pdist(moved).mean()
        energies.append(e / distance)
    terms = np.mean(leads), np.mean(gaps), np.mean(energies)
    total = np.dot(list(WEIGHTS.values()), terms)
    assert np.abs(terms).min() > 0.01  # each counts here
    np.testing.assert_allclose(found, [total, *terms], rtol=1e-3)


def test_where_f_is_right_the_draw_is_not_computed_twice(make_trainer):
    trainer = make_trainer()
    trainer.predicted_class = LABELS
    drawn = trainer.draw(pools_of(trainer))
    losses, calls = [], []
    transport = trainer.network.transport
    trainer.network.transport = lambda *args: calls.append(1) or transport(*args)
    for trainer.f_is_right in (False, True):
        losses.append(trainer.losses(*drawn, trainer.network).detach())
    torch.testing.assert_close(*losses, rtol=0, atol=0)
    assert len(calls) == 2 + 1


def test_f_is_right_if_it_knows_all_training_samples(make_trainer, samples):
    class Knows(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nearest = torch.cdist(x, samples.rows.x).argmin(dim=1)
            return torch.nn.functional.one_hot(LABELS[nearest], N_CLASSES).float()

    assert not make_trainer().f_is_right
    assert make_trainer(f=Knows()).f_is_right


def test_a_step_moves_the_correction_only(make_trainer, classifier):
    trainer = make_trainer()
    nets = (trainer.network, classifier)
    before = [copy.deepcopy(net.state_dict()) for net in nets]
    losses = trainer.step(pools_of(trainer))
    assert len(losses) == len(LOSS_NAMES)
    moved = [
        {name for name, old in state.items() if not torch.equal(old, net.state_dict()[name])}
        for net, state in zip(nets, before, strict=True)
    ]
    # Where all starts at zero, the last layer is the first to move.
    assert moved == [{"correction.output.weight", "correction.target_out.weight"}, set()]


def test_the_average_follows_the_weights_slowly(make_trainer):
    trainer = make_trainer()
    pools, weights = pools_of(trainer), []
    output = trainer.network.correction.output
    for _ in range(3):
        weights.append(output.weight.detach().clone())
        trainer.step(pools)
    weights.append(output.weight.detach().clone())
    expected = weights[0]
    for weight in weights[1:]:
        expected = AVERAGE_DECAY * expected + (1 - AVERAGE_DECAY) * weight
    found = trainer.averaged.correction.output.weight
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-9)
    assert not torch.equal(found, weights[-1])


def test_bfloat16_trains_float32_weights_by_nearly_the_same_losses(make_trainer):
    trainers = [make_trainer(precision=precision) for precision in ("32-true", "bf16-mixed")]
    exact, coarse = (
        torch.stack([trainer.step(pools_of(trainer)) for _ in range(5)]) for trainer in trainers
    )
    torch.testing.assert_close(coarse, exact, rtol=0.05, atol=0.05)
    assert not torch.equal(coarse, exact)
    assert {p.dtype for p in trainers[1].network.parameters()} == {torch.float32}


def test_a_step_changes_its_state_in_place_as_a_captured_one_must(make_trainer):
    trainer = make_trainer()
    pools = pools_of(trainer)
    trainer.step(pools)
    states = trainer.optimizer.state.values()
    held = [
        *trainer.network.parameters(),
        *trainer.averaged.parameters(),
        *(state[name] for state in states for name in ("exp_avg", "exp_avg_sq", "step")),
    ]
    weight = trainer.network.correction.output.weight
    before = weight.detach().clone()
    trainer.step(pools)
    again = [
        *trainer.network.parameters(),
        *trainer.averaged.parameters(),
        *(state[name] for state in states for name in ("exp_avg", "exp_avg_sq", "step")),
    ]
    assert [t.data_ptr() for t in held] == [t.data_ptr() for t in again]
    assert not torch.equal(weight, before)


def test_what_is_trained_is_freed_at_once(make_trainer):
    """Large fits have no room for it until Python looks for cycles."""
    gc.disable()
    try:
        trainer = make_trainer()
        trainer.step(pools_of(trainer))
        left = [weakref.ref(part) for part in (trainer, trainer.network, trainer._adam)]
        del trainer
        assert [ref() for ref in left] == [None] * 3
    finally:
        gc.enable()


def test_training_leaves_the_global_random_state_alone(make_trainer):
    before = torch.get_rng_state()
    train(make_trainer(max_epochs=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_draw_is_of_other_classes_to_perturb_and_of_real_targets(make_trainer):
    trainer = make_trainer()
    groups, index, real = trainer.draw(pools_of(trainer))
    assert sorted(groups.tolist()) == [0, 1]
    assert index.shape == real.shape == (2, 6)
    for place, sources, targets in zip(groups.tolist(), index, real, strict=True):
        assert (LABELS[sources] != TARGETS[place]).all()
        assert (LABELS[targets] == TARGETS[place]).all()


def test_what_is_measured_has_each_target_once(make_trainer):
    """At most 16 in a batch."""
    targets = [i % N_CLASSES for i in range(18)]
    trainer = make_trainer(targets=targets)
    batches = trainer.draw_all(pools_of(trainer))
    assert [groups.tolist() for groups, _, _ in batches] == [[*range(16)], [16, 17]]
    assert [index.shape for _, index, _ in batches] == [(16, 2), (2, 6)]
    for groups, index, real in batches:
        for place, sources, drawn in zip(groups.tolist(), index, real, strict=True):
            assert (LABELS[sources] != targets[place]).all()
            assert (LABELS[drawn] == targets[place]).all()


def test_many_targets_take_turns(make_trainer):
    trainer = make_trainer(targets=(0, 1, 2, 0, 1, 2))
    draws = [trainer.draw(pools_of(trainer))[0].tolist() for _ in range(20)]
    assert {len(set(drawn)) for drawn in draws} == {4}
    assert {place for drawn in draws for place in drawn} == set(range(6))


class Stub:
    """A trainer whose validation losses are given, and whose weights count its steps."""

    def __init__(self, losses: list[float], max_epochs: int) -> None:
        self.queue = iter(losses)
        self.averaged = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.averaged.weight)
        self.best, self.lowest = copy.deepcopy(self.averaged), math.inf
        self.options = Transport(batch_size=4, max_epochs=max_epochs, weight_energy=3)
        self.targets, self.fabric = torch.tensor([0]), open_fabric("cpu")
        self.samples = Samples(Rows(torch.zeros(4, 1)), torch.zeros(4, dtype=torch.long))

    keep_if_best = TransportTrainer.keep_if_best

    def draw_all(self, pools: Pools) -> list:
        return [(pools,)]

    def losses(self, pools: Pools, network: torch.nn.Module) -> torch.Tensor:
        # The total and L_td fall with every step, whatever the other two do.
        wanted, so_far = next(self.queue), network.weight.item()
        return torch.tensor([-so_far, 0.2 * wanted, -so_far, 0.2 * wanted])

    def step(self, pools: Pools) -> torch.Tensor:
        with torch.no_grad():
            self.averaged.weight += 1
        return torch.zeros(len(LOSS_NAMES))

    def success(self, samples: Samples) -> float:
        return 1.0


def train_on(losses: list[float], max_epochs: int | None = None) -> tuple[float, list[dict]]:
    trainer = Stub(losses, max_epochs or len(losses) - 1)
    pools = Pools(*[Pool([torch.tensor([0])])] * 2)
    network, history = train(trainer, pools)
    return network.weight.item(), history


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([9.0, 5.0, 3.0, 4.0, 8.0], 2),
        ([9.0, 8.0, 7.0], 2),
        ([1.0, 2.0, 3.0], 0),  # the untrained transport
        ([9.0, 3.0, 3.0], 1),
    ],
)
def test_the_epoch_with_the_lowest_validation_loss_is_kept(losses, kept):
    weight, history = train_on(losses)
    assert weight == kept
    assert [record["loss_validation"] for record in history] == losses[1:]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_loss_that_is_broken_before_training_is_said_so(broken):
    with pytest.raises(FloatingPointError, match=r"loss_validation .* before the first epoch"):
        train_on([broken, 1.0, 1.0])
    with pytest.raises(FloatingPointError, match="loss_validation .* in epoch 2"):
        train_on([2.0, 1.0, broken])


@pytest.mark.parametrize("max_epochs", [1, 2, 5, 6])
def test_training_may_be_as_short_as_one_wants(make_trainer, max_epochs):
    history = train(make_trainer(batch_size=128, max_epochs=max_epochs))[1]
    assert len(history) == max_epochs


def test_training_lowers_the_validation_loss(make_trainer):
    history = train(make_trainer(max_epochs=15, weight_adv=0, weight_td=0, weight_energy=1))[1]
    losses = [record["loss_validation"] for record in history]
    assert min(losses) < losses[0]


def test_the_number_of_epochs_is_as_asked_or_grows_with_the_targets(make_trainer):
    """50 steps for each four targets, at most 200, of which an epoch has 3."""
    assert schedule(make_trainer(max_epochs=7)) == (3, 7)
    for n_targets, n_epochs in ((1, 17), (4, 17), (5, 34), (16, 67), (20, 67)):
        targets = [i % N_CLASSES for i in range(n_targets)]
        assert schedule(make_trainer(targets=targets)) == (3, n_epochs)


def test_success_counts_samples_called_the_target_that_they_take_turns_at(make_trainer, samples):
    trainer = make_trainer()
    hits = []
    for i, (x, label) in enumerate(zip(samples.rows.x, LABELS, strict=True)):
        place = i % len(TARGETS)
        if label == TARGETS[place]:
            continue
        said = trainer.classifier(x[None]).softmax(dim=1)
        moved = trainer.averaged(x[None], said, torch.tensor([place]))
        hits.append(trainer.classifier(moved).argmax().item() == TARGETS[place])
    assert trainer.success(samples) == pytest.approx(np.mean(hits))
    assert np.isnan(trainer.success(Samples(Rows(samples.rows.x[:0]), LABELS[:0])))


def test_a_sparse_fit_leaves_alone_what_the_transport_moves_least(make_trainer, samples):
    trainer, dense = make_trainer(sparsity=0.5), make_trainer()
    assert (dense.network.gate == 1).all()
    for place, target in enumerate(TARGETS):
        others = target != LABELS
        x, source = samples.rows.x[others], LABELS[others]
        towards = torch.full((len(x),), place)
        mapped = dense.network.transport(x, source, towards).mapped
        moved = dense.network.add_mean(mapped, towards).clamp(0, 1)
        size = (moved - x).square().mean(dim=0)
        open_genes = trainer.network.gate[place].bool()
        assert open_genes.sum() == N_GENES / 2
        assert size[open_genes].min() > size[~open_genes].max()
