from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from scgan_perturb._recipes import Paper
from scgan_perturb.engine._device import open_fabric
from scgan_perturb.estimates._target import TargetDistribution
from scgan_perturb.networks._networks import Classifier, initialise
from scgan_perturb.training._train_tspg import LOSS_NAMES, TspgTrainer, train_tspg
from tests.estimates.rows import Rows

N_GENES = 6
TARGET = 1


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(16, N_GENES, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def make_trainer(x):
    def make(**options) -> TspgTrainer:
        with torch.device("meta"):
            classifier = Classifier(N_GENES, 3)
        initialise(classifier, 5)
        return TspgTrainer(
            TargetDistribution(x[:8]),
            classifier.eval().requires_grad_(False),
            TARGET,
            n_genes=N_GENES,
            options=Paper(max_epochs=1, batch_size=16, **options),
            seed=0,
            fabric=open_fabric("cpu"),
        )

    return make


def test_a_step_measures_the_terms_of_the_paper(make_trainer, x):
    trainer = make_trainer()
    real = x.flip(0)
    g, d = (copy.deepcopy(net.module) for net in (trainer.generator, trainer.discriminator))
    rng = torch.Generator().manual_seed(0)
    found = dict(zip(LOSS_NAMES, trainer.step(x, real).tolist(), strict=True))

    p = g(x)
    xadv = torch.clip(x + p, 0, 1)
    drawn = trainer.target.sample(16, rng)
    logits = trainer.classifier(xadv)
    others = torch.cat([logits[:, :TARGET], logits[:, TARGET + 1 :]], dim=1)
    expected = {
        "loss_discriminator": ((d(real) - 1) ** 2).mean() + (d(xadv) ** 2).mean(),
        "loss_adv": torch.clip(others.max(dim=1).values - logits[:, TARGET], min=0).mean(),
        "loss_norm": p.norm(dim=1).mean(),
        "loss_td": (xadv - drawn).abs().sum(dim=1).mean(),
    }
    # G meets the discriminator that has just been updated.
    updated = copy.deepcopy(d)
    optimizer = torch.optim.Adam(updated.parameters(), lr=1e-4)
    ((updated(real) - 1) ** 2).mean().add((updated(xadv.detach()) ** 2).mean()).backward()
    optimizer.step()
    expected["loss_gan"] = ((updated(xadv) - 1) ** 2).mean()
    terms = ("loss_gan", "loss_adv", "loss_norm", "loss_td")
    expected["loss_generator"] = sum(expected[name] for name in terms)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.item(), rel=1e-3), name


def test_a_step_moves_generator_and_discriminator_but_not_the_classifier(make_trainer, x):
    trainer = make_trainer()
    nets = (trainer.generator, trainer.discriminator, trainer.classifier)
    before = [[p.clone() for p in net.parameters()] for net in nets]
    trainer.step(x, x)
    moved = [
        not all(map(torch.equal, old, net.parameters()))
        for old, net in zip(before, nets, strict=True)
    ]
    assert moved == [True, True, False]


def test_the_first_generator_step_is_adam_on_the_weighted_sum(make_trainer, x):
    trainer = make_trainer(weight_gan=0, weight_adv=0, weight_norm=3.0, weight_td=0)
    g = copy.deepcopy(trainer.network)
    trainer.step(x, x)
    (3.0 * g(x).norm(dim=1).mean()).backward()
    optimizer = torch.optim.Adam(g.parameters(), lr=2e-4)
    optimizer.step()
    for found, expected in zip(trainer.network.parameters(), g.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_a_step_leaves_the_global_random_state_alone(make_trainer, x):
    before = torch.get_rng_state()
    make_trainer().step(x, x)
    assert torch.equal(torch.get_rng_state(), before)


def test_learning_rates_are_those_of_the_paper(make_trainer):
    trainer = make_trainer()
    rates = [
        group["lr"]
        for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer)
        for group in optimizer.param_groups
    ]
    assert rates == [2e-4, 1e-4]


def test_success_counts_the_samples_called_the_target(make_trainer, x):
    trainer = make_trainer()
    trainer.calibrate(Rows(x))
    trainer.network.eval()
    called = trainer.classifier((x + trainer.network(x)).clip(0, 1)).argmax(1) == TARGET
    assert trainer.success(Rows(x)) == pytest.approx(called.float().mean().item())
    assert np.isnan(trainer.success(Rows(x[:0])))


class CountedThreads(Rows):
    """Rows that note how many threads torch has when they are asked for."""

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        self.seen = torch.get_num_threads()
        return super().__getitem__(index)


def test_small_steps_are_on_one_thread_and_the_number_is_restored(make_trainer, x):
    rows = CountedThreads(x)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train_tspg(make_trainer(), rows, rows, rows, description="", progress_bar=False)
        assert rows.seen == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
