"""What trains the correction to Gaussian transport, for one target or many: a step at a time."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, cast

import torch
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..engine._processes import part
from ..engine._shares import gathered, share, share_of_hits
from ..estimates._factors import MAX_SAMPLES
from ..networks._losses import adversarial_loss, energy_loss
from ..networks._networks import initialise
from ..networks._perturber import transport
from ..networks._transport_generator import TransportGenerator
from ._captured import Captured
from ._checkpoint import load_module, load_optimizer, module_state, optimizer_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lightning_fabric import Fabric
    from torch import nn

    from .._recipes import Transport as TransportRecipe
    from ..estimates._samples import Rows, Samples
    from ..estimates._transport import Transport
    from ._checkpoint import State
    from ._pools import Pools

LEARNING_RATE = 3e-4  # at its highest; benchmarks/realism.py
WARM_UP = 0.2  # share of the steps in which it rises, lest the first ones spoil the transport
AVERAGE_DECAY = 0.99  # of the running mean of the weights
TARGETS_A_STEP = 4  # at most: each needs samples enough to tell two distributions apart
TARGETS_A_LOOK = 16  # in a batch that is only measured, epoch after epoch on the same samples
N_STEPS = 50  # for one target, a multiple of it for many; benchmarks/realism.py, length.py
MAX_MULTIPLE = 4
# Positions of targets among the targets, of samples to perturb and of real ones: groups × samples.
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
LOSS_NAMES = ("loss_generator", "loss_adv", "loss_td", "loss_energy")


class TransportTrainer:
    """The generator, its optimiser and one training step.

    Parameters
    ----------
    transport
        What the generator starts at.
    classifier
        f, frozen, on the fabric's device, which tells the transport the class of a sample.
    judge
        The classifier to convince, frozen; f itself or another with the same classes first.
    samples
        Training samples, of all classes.
    targets
        Positions of the targets among the classes.
    options
        Weights of the terms, κ, length of training.
    seed
        Seed of initial weights and draws.
    fabric
        The device.
    """

    def __init__(
        self,
        transport: Transport,
        classifier: nn.Module,
        judge: nn.Module,
        samples: Samples,
        targets: torch.Tensor,
        *,
        options: TransportRecipe,
        seed: int,
        fabric: Fabric,
    ) -> None:
        statistics = transport.statistics
        self.statistics, self.samples = statistics, samples
        self.classifier, self.judge = classifier, judge
        self.targets, self.options, self.fabric = targets.to(fabric.device), options, fabric
        self.rng = torch.Generator(fabric.device).manual_seed(seed)
        with torch.device("meta"):
            network = TransportGenerator(
                samples.rows.n_genes,
                len(statistics.mean),
                len(self.targets),
                len(transport.factors.axes),
            )
        initialise(network, seed)
        network.set_up(transport, targets)
        self.network = cast("TransportGenerator", fabric.to_device(network))
        self._shut_gates()
        self.averaged = copy.deepcopy(self.network)
        self._average = get_ema_multi_avg_fn(AVERAGE_DECAY)
        on_gpu = fabric.device.type == "cuda"
        optimizer = torch.optim.Adam(
            network.correction.parameters(),
            # A graph reads the learning rate from the device.
            torch.tensor(LEARNING_RATE, device=fabric.device) if on_gpu else LEARNING_RATE,
            fused=True,
            capturable=on_gpu,
        )
        self._adam = optimizer
        self.generator, self.optimizer = fabric.setup(self.network, optimizer)
        self.scheduler = self._schedule()
        self.best, self.lowest = copy.deepcopy(self.network), math.inf
        # Another classifier than ours, or processes that wait for others, a graph cannot hold.
        alone = isinstance(fabric.strategy, SingleDeviceStrategy) and judge is classifier
        captures = on_gpu and getattr(samples.rows, "is_held", False) and alone
        self._captured = Captured(self._update) if captures else None
        self.probabilities = self._say(samples.rows)
        self.called = self.probabilities.argmax(dim=1)
        self.f_is_right = bool((self.called == samples.labels).all())
        self.distances = torch.stack([self._typical_distance(t) for t in self.targets])
        self.deviations = statistics.spread.sum(dim=1) * math.sqrt(2 / math.pi)

    def _schedule(self) -> torch.optim.lr_scheduler.OneCycleLR:
        """The learning rate rises and falls once."""
        n_steps, n_epochs = schedule(self)
        total_steps = n_steps * n_epochs
        return torch.optim.lr_scheduler.OneCycleLR(
            self._adam,
            LEARNING_RATE,
            total_steps=total_steps,
            pct_start=WARM_UP if WARM_UP * total_steps > 1 else 0.0,  # it cannot rise in one step
            cycle_momentum=False,
        )

    @torch.no_grad()
    def _shut_gates(self) -> None:
        """Leave the genes alone that the transport moves least, as many as sparsity says."""
        n_shut = int(self.options.sparsity * self.network.gate.shape[1])
        if n_shut == 0:
            return
        labels, rows = self.samples.labels, self.samples.rows
        index = torch.randperm(len(rows), generator=self.rng, device=self.rng.device)[:MAX_SAMPLES]
        x, source = rows[index], labels[index]
        for place, target in enumerate(self.targets):
            others = source != target
            towards = torch.full((int(others.sum()),), place, device=x.device)
            turned = self.network.moved(x[others], source[others], towards).turned
            moved = self.network.placed(turned, towards).clamp_(0, 1)
            size = moved.sub_(x[others]).square().mean(dim=0)
            self.network.gate[place, size.argsort()[:n_shut]] = 0

    @torch.inference_mode()
    def _say(self, rows: Rows) -> torch.Tensor:
        """What f says of samples, which stays the same throughout."""
        own = torch.arange(len(rows))[part(self.fabric, len(rows))]
        said = [
            self.classifier(rows[index]).softmax(dim=1)
            for index in own.split(self.options.batch_size)
        ]
        return gathered(self.fabric, torch.cat(said), len(rows)).clone()

    def _typical_distance(self, target: torch.Tensor) -> torch.Tensor:
        """E‖b − b'‖ of independent samples of a class, the unit of its energy term."""
        return (2 * self.statistics.spread[target].square().sum()).sqrt()

    def draw(self, pools: Pools) -> Batch:
        """A batch of a few targets, drawn anew."""
        order = torch.randperm(len(self.targets), generator=self.rng, device=self.rng.device)
        return self._draw(pools, order[:TARGETS_A_STEP])

    def draw_all(self, pools: Pools) -> list[Batch]:
        """Batches that have each target once, many with a few samples each."""
        places = torch.arange(len(self.targets), device=self.rng.device)
        least = self.fabric.world_size  # each process has to have a share
        return [self._draw(pools, some, least) for some in places.split(TARGETS_A_LOOK)]

    def _draw(self, pools: Pools, chosen: torch.Tensor, least: int = 2) -> Batch:
        size = max(self.options.batch_size // len(chosen), least, 2)
        x, real = (pool.draw(chosen, size, self.rng) for pool in (pools.sources, pools.real))
        return chosen, x, real

    def losses(
        self,
        groups: torch.Tensor,
        index: torch.Tensor,
        real: torch.Tensor,
        network: TransportGenerator,
    ) -> torch.Tensor:
        """The weighted sum and its terms, in the order of LOSS_NAMES.

        Of several processes each computes on its share of every group: the losses are the means of
        what they return.

        Parameters
        ----------
        groups
            Positions of targets among the targets.
        index, real
            Positions among the training samples, groups × samples.
        network
            The generator to measure.
        """
        rows, labels = self.samples.rows, self.samples.labels
        mine = share(self.fabric, index.shape[1])
        index, real = index[:, mine.rows], real[:, mine.rows]
        place = groups.repeat_interleave(index.shape[1])
        flat = index.flatten()
        x, target, source = rows[flat], self.targets[place], labels[flat]
        moved = self.network.moved(x, self.called[flat], place)
        perturbed = network(x, self.probabilities[flat], place, moved)
        # The coupled draw: where the transport that is told the class takes the sample.
        known = moved if self.f_is_right else self.network.moved(x, source, place)
        drawn = self.network.placed(known.turned, place).clamp_(0, 1)
        gaps = torch.linalg.vector_norm(drawn.sub_(perturbed), ord=1, dim=1)
        with self.fabric.autocast():
            logits = self.judge(perturbed)
        shape = (*index.shape, -1)
        # Each perturbed sample is compared with those of all processes.
        others, of_target = (
            gathered(self.fabric, part_of_it, mine.n_samples, dim=1)
            for part_of_it in (perturbed.detach().view(shape), rows[real.flatten()].view(shape))
        )
        energy = energy_loss(perturbed.view(shape), of_target, others)
        terms = mine.weight * torch.stack(
            [
                adversarial_loss(logits.float(), target, self.options.kappa),
                (gaps / self.deviations[target]).mean(),
                (energy / self.distances[groups]).mean(),
            ]
        )
        weights = self.options.weight_adv, self.options.weight_td, self.options.weight_energy
        total = weights[0] * terms[0] + weights[1] * terms[1] + weights[2] * terms[2]
        return torch.cat([total[None], terms])

    def step(self, pools: Pools) -> torch.Tensor:
        """Update the generator on one batch; returns the losses in the order of LOSS_NAMES."""
        update = self._captured or self._update
        losses = update(*self.draw(pools))
        self.scheduler.step()
        return losses

    def keep_if_best(self, loss: float) -> None:
        """Keep the mean weights if no validation loss was lower."""
        if loss < self.lowest:
            self.lowest = loss
            self.best.load_state_dict(self.averaged.state_dict())

    def state(self) -> State:
        """All that changes while it trains."""
        return {
            **module_state("network", self.network.correction),
            **module_state("averaged", self.averaged.correction),
            **module_state("best", self.best.correction),
            **optimizer_state("optimizer", self._adam),
            "rng": self.rng.get_state(),
            "n_steps": torch.tensor(self.scheduler.last_epoch),
            "lowest": torch.tensor(self.lowest, dtype=torch.float64),
        }

    def load(self, state: State) -> None:
        """Go on from such a state."""
        for name in ("network", "averaged", "best"):
            load_module(name, getattr(self, name).correction, state)
        load_optimizer("optimizer", self._adam, state)
        self.rng.set_state(state["rng"])
        self.scheduler.last_epoch = int(state["n_steps"])
        self.lowest = float(state["lowest"])

    def _update(
        self, groups: torch.Tensor, index: torch.Tensor, real: torch.Tensor
    ) -> torch.Tensor:
        losses = self.losses(groups, index, real, self.generator)
        self.optimizer.zero_grad()
        self.fabric.backward(losses[0])
        self.optimizer.step()
        self._average(list(self.averaged.parameters()), list(self.network.parameters()), None)
        return losses.detach()

    @torch.inference_mode()
    def success(self, samples: Samples) -> float:
        """Share of samples called their target, each perturbed towards one; NaN without samples."""
        mine = part(self.fabric, len(samples.rows))
        indices = torch.arange(len(samples.rows))[mine].split(self.options.batch_size)
        return share_of_hits(self.fabric, self._hits(samples, indices))

    def _hits(self, samples: Samples, indices: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """For each of the batches, which of its samples are called their target."""
        for index in indices:
            place = (index % len(self.targets)).to(self.targets.device)
            x = samples.rows[index]
            perturbed, logits = transport(self.averaged, self.classifier, x, place)
            said = logits if self.judge is self.classifier else self.judge(perturbed)
            called = said.argmax(dim=1)
            own = samples.labels[index.to(samples.labels.device)] == self.targets[place]
            yield (called == self.targets[place])[~own]


def schedule(trainer: TransportTrainer) -> tuple[int, int]:
    """Steps an epoch, and epochs: those asked for, or enough for N_STEPS."""
    n_steps = math.ceil(len(trainer.samples.rows) / trainer.options.batch_size)
    if trainer.options.max_epochs is not None:
        return n_steps, trainer.options.max_epochs
    steps_for_all = math.ceil(len(trainer.targets) / TARGETS_A_STEP)
    wanted = N_STEPS * min(steps_for_all, MAX_MULTIPLE)
    return n_steps, math.ceil(wanted / n_steps)
