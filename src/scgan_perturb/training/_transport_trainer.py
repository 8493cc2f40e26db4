"""Training steps of the correction to Gaussian transport, for one target or many."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, cast

import torch
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..engine._processes import part
from ..engine._shares import gather, share, share_of_hits
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

LEARNING_RATE = 3e-4  # the maximum; benchmarks/realism.py
WARM_UP = 0.2  # share of the steps with a rising rate, so that the first ones keep the transport
AVERAGE_DECAY = 0.99  # of the running mean of the weights
TARGETS_A_STEP = 4  # at most: each needs enough samples to compare two distributions
VALIDATION_TARGETS = 16  # in a validation batch, which has the same samples in each epoch
N_STEPS = 50  # for one target, a multiple of it for many; benchmarks/realism.py, length.py
MAX_MULTIPLE = 4
# Target indices (groups), samples to perturb and real samples (both groups × samples).
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
LOSS_NAMES = ("loss_generator", "loss_adv", "loss_td", "loss_energy")


class TransportTrainer:
    """The generator, its optimiser and one training step.

    Parameters
    ----------
    transport
        Initial transport of the generator.
    classifier
        f, frozen, on the fabric's device; it gives the class of a sample to the transport.
    classifier_to_convince
        f itself, or another frozen classifier whose first classes are those of f.
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
        classifier_to_convince: nn.Module,
        samples: Samples,
        targets: torch.Tensor,
        *,
        options: TransportRecipe,
        seed: int,
        fabric: Fabric,
    ) -> None:
        statistics = transport.statistics
        self.statistics, self.samples = statistics, samples
        self.classifier, self.classifier_to_convince = classifier, classifier_to_convince
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
        # A graph cannot contain a user's classifier, or steps that wait for other processes.
        can_capture = (
            on_gpu
            and isinstance(fabric.strategy, SingleDeviceStrategy)
            and classifier_to_convince is classifier
            and getattr(samples.rows, "is_held", False)
        )
        self._captured = Captured(self._update) if can_capture else None
        self.probabilities = self._predict(samples.rows)
        self.predicted_class = self.probabilities.argmax(dim=1)
        self.f_is_right = bool((self.predicted_class == samples.labels).all())
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
            pct_start=WARM_UP if WARM_UP * total_steps > 1 else 0.0,  # one step cannot rise
            cycle_momentum=False,
        )

    @torch.no_grad()
    def _shut_gates(self) -> None:
        """Close the gates of the share `sparsity` of genes that the transport changes least."""
        n_shut = int(self.options.sparsity * self.network.gate.shape[1])
        if n_shut == 0:
            return
        labels, rows = self.samples.labels, self.samples.rows
        index = torch.randperm(len(rows), generator=self.rng, device=self.rng.device)[:MAX_SAMPLES]
        x, source = rows[index], labels[index]
        for position, target in enumerate(self.targets):
            others = source != target
            target_index = torch.full((int(others.sum()),), position, device=x.device)
            transported = self.network.transport(x[others], source[others], target_index)
            moved = self.network.add_mean(transported.mapped, target_index).clamp_(0, 1)
            size = moved.sub_(x[others]).square().mean(dim=0)
            self.network.gate[position, size.argsort()[:n_shut]] = 0

    @torch.inference_mode()
    def _predict(self, rows: Rows) -> torch.Tensor:
        """Class probabilities of samples by f, which training does not change."""
        local_index = torch.arange(len(rows))[part(self.fabric, len(rows))]
        probabilities = [
            self.classifier(rows[index]).softmax(dim=1)
            for index in local_index.split(self.options.batch_size)
        ]
        return gather(self.fabric, torch.cat(probabilities), len(rows)).clone()

    def _typical_distance(self, target: torch.Tensor) -> torch.Tensor:
        """E‖b − b'‖ of independent samples of a class, the unit of its energy term."""
        return (2 * self.statistics.spread[target].square().sum()).sqrt()

    def draw(self, pools: Pools) -> Batch:
        """A random batch of a few targets."""
        order = torch.randperm(len(self.targets), generator=self.rng, device=self.rng.device)
        return self._draw(pools, order[:TARGETS_A_STEP])

    def draw_all(self, pools: Pools) -> list[Batch]:
        """Batches that have each target once, with few samples for each."""
        order = torch.arange(len(self.targets), device=self.rng.device)
        n_least = self.fabric.world_size  # each process needs a share
        return [self._draw(pools, groups, n_least) for groups in order.split(VALIDATION_TARGETS)]

    def _draw(self, pools: Pools, groups: torch.Tensor, n_least: int = 2) -> Batch:
        size = max(self.options.batch_size // len(groups), n_least, 2)
        x, real = (pool.draw(groups, size, self.rng) for pool in (pools.sources, pools.real))
        return groups, x, real

    def losses(
        self,
        groups: torch.Tensor,
        index: torch.Tensor,
        real: torch.Tensor,
        network: TransportGenerator,
    ) -> torch.Tensor:
        """The weighted sum and its terms, in the order of LOSS_NAMES.

        Each process computes on its share of every group; the loss is the mean over processes.

        Parameters
        ----------
        groups
            Target indices.
        index, real
            Positions among the training samples, groups × samples.
        network
            The generator to measure.
        """
        rows, labels = self.samples.rows, self.samples.labels
        local = share(self.fabric, index.shape[1])
        index, real = index[:, local.rows], real[:, local.rows]
        target_index = groups.repeat_interleave(index.shape[1])
        flat = index.flatten()
        x, target, source = rows[flat], self.targets[target_index], labels[flat]
        transported = self.network.transport(x, self.predicted_class[flat], target_index)
        perturbed = network(x, self.probabilities[flat], target_index, transported)
        # The coupled draw: the transport of the sample from its true class.
        if not self.f_is_right:
            transported = self.network.transport(x, source, target_index)
        drawn = self.network.add_mean(transported.mapped, target_index).clamp_(0, 1)
        gaps = torch.linalg.vector_norm(drawn.sub_(perturbed), ord=1, dim=1)
        with self.fabric.autocast():
            logits = self.classifier_to_convince(perturbed)
        shape = (*index.shape, -1)
        # Each perturbed sample is compared with those of all processes.
        all_perturbed, all_real = (
            gather(self.fabric, x_local, local.n_samples, dim=1)
            for x_local in (perturbed.detach().view(shape), rows[real.flatten()].view(shape))
        )
        energy = energy_loss(perturbed.view(shape), all_real, all_perturbed)
        terms = local.weight * torch.stack(
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
        """Update the generator on one batch; return the losses in the order of LOSS_NAMES."""
        update = self._captured or self._update
        losses = update(*self.draw(pools))
        self.scheduler.step()
        return losses

    def keep_if_best(self, loss: float) -> None:
        """Keep the averaged weights if their validation loss is the lowest."""
        if loss < self.lowest:
            self.lowest = loss
            self.best.load_state_dict(self.averaged.state_dict())

    def state(self) -> State:
        """All tensors that change in training."""
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
        """Restore a state."""
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
        """Share of perturbed samples classified as their target; NaN without samples."""
        local = part(self.fabric, len(samples.rows))
        indices = torch.arange(len(samples.rows))[local].split(self.options.batch_size)
        return share_of_hits(self.fabric, self._hits(samples, indices))

    def _hits(self, samples: Samples, indices: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """For each batch, which of its samples are classified as their target."""
        for index in indices:
            target_index = (index % len(self.targets)).to(self.targets.device)
            x, target = samples.rows[index], self.targets[target_index]
            perturbed, logits = transport(self.averaged, self.classifier, x, target_index)
            if self.classifier_to_convince is not self.classifier:
                logits = self.classifier_to_convince(perturbed)
            is_source = samples.labels[index.to(samples.labels.device)] != target
            yield (logits.argmax(dim=1) == target)[is_source]


def schedule(trainer: TransportTrainer) -> tuple[int, int]:
    """Steps an epoch, and epochs: `max_epochs`, or enough for N_STEPS."""
    n_steps = math.ceil(len(trainer.samples.rows) / trainer.options.batch_size)
    if trainer.options.max_epochs is not None:
        return n_steps, trainer.options.max_epochs
    multiple = min(math.ceil(len(trainer.targets) / TARGETS_A_STEP), MAX_MULTIPLE)
    return n_steps, math.ceil(N_STEPS * multiple / n_steps)
