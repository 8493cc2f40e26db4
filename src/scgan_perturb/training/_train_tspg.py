"""Train the generator against the discriminator and the frozen classifier."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch

from ..engine._processes import part
from ..engine._shares import Share, mean_of_all, share, share_of_hits
from ..engine._threads import threads_for
from ..networks._losses import (
    adversarial_loss,
    discriminator_loss,
    gan_loss,
    norm_loss,
    target_loss,
)
from ..networks._networks import (
    Discriminator,
    Generator,
    calibrate,
    flops_of_step,
    initialise,
    perturb,
    share_statistics,
)
from ._checkpoint import Record, load_module, load_optimizer, module_state, optimizer_state
from ._epochs import run_epochs, shuffled_batches

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from .._recipes import Paper
    from ..data._rows import ScaledRows
    from ..estimates._target import TargetDistribution
    from ._checkpoint import Checkpoint, State

GENERATOR_LEARNING_RATE = 2e-4  # paper, section 2.2
DISCRIMINATOR_LEARNING_RATE = 1e-4  # paper, section 2.2
CALIBRATION_BATCHES = 20  # some 2,500 samples give means and variances to a few per cent
LOSS_NAMES = (
    "loss_discriminator",
    "loss_generator",
    "loss_gan",
    "loss_adv",
    "loss_norm",
    "loss_td",
)


class TspgTrainer:
    """The networks, their optimisers and one training step (paper, sections 2.2, equation 5).

    Parameters
    ----------
    target
        Distribution that r_t is drawn from.
    classifier
        f, frozen, on the fabric's device.
    target_class
        Position of the target among the classes of f.
    n_genes
        Width of the samples.
    options
        Weights of the terms, and κ.
    seed
        Seed of initial weights and draws.
    fabric
        The device.
    """

    def __init__(
        self,
        target: TargetDistribution,
        classifier: nn.Module,
        target_class: int,
        *,
        n_genes: int,
        options: Paper,
        seed: int,
        fabric: Fabric,
    ) -> None:
        self.target, self.classifier, self.target_class = target, classifier, target_class
        self.options, self.fabric = options, fabric
        self.rng = torch.Generator(fabric.device).manual_seed(seed)
        with torch.device("meta"):
            self.network, critic = Generator(n_genes), Discriminator(n_genes)
        self._learners: dict[str, tuple[nn.Module, torch.optim.Optimizer]] = {}
        self.generator, self.generator_optimizer = self._set_up(
            "generator", self.network, seed, GENERATOR_LEARNING_RATE
        )
        self.discriminator, self.discriminator_optimizer = self._set_up(
            "discriminator", critic, seed + 1, DISCRIMINATOR_LEARNING_RATE
        )

    def _set_up(
        self, name: str, network: nn.Module, seed: int, learning_rate: float
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        initialise(network, seed)
        if self.fabric.world_size > 1:
            share_statistics(network)
        optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
        self._learners[name] = network, optimizer
        return self.fabric.setup(network, optimizer)

    def state(self) -> State:
        """All tensors that change in training."""
        state = {"rng": self.rng.get_state()}
        for name, (network, optimizer) in self._learners.items():
            state |= module_state(name, network) | optimizer_state(f"{name}_adam", optimizer)
        return state

    def load(self, state: State) -> None:
        """Restore a state."""
        self.rng.set_state(state["rng"])
        for name, (network, optimizer) in self._learners.items():
            load_module(name, network, state)
            load_optimizer(f"{name}_adam", optimizer, state)

    def step(self, x: torch.Tensor, real: torch.Tensor, local: Share | None = None) -> torch.Tensor:
        """Update D, then G, on one batch; return the losses in the order of LOSS_NAMES.

        Parameters
        ----------
        x, real
            Samples to perturb and real samples, samples × genes.
        local
            The share of a batch that they are; None for the whole batch.
        """
        local = local or Share(slice(None), len(x), 1.0)
        perturbation, perturbed = perturb(self.generator, x)
        loss_d = local.weight * discriminator_loss(
            self.discriminator(real), self.discriminator(perturbed.detach())
        )
        self.discriminator_optimizer.zero_grad()
        self.fabric.backward(loss_d)
        self.discriminator_optimizer.step()

        with self.fabric.autocast():
            logits = self.classifier(perturbed)
        drawn = self.target.sample(local.n_samples, self.rng, local.rows)
        terms = (
            gan_loss(self.discriminator(perturbed)),
            adversarial_loss(logits.float(), self.target_class, self.options.kappa),
            norm_loss(perturbation),
            target_loss(perturbed, drawn),
        )
        options = self.options
        loss_g = local.weight * (
            options.weight_gan * terms[0]
            + options.weight_adv * terms[1]
            + options.weight_norm * terms[2]
            + options.weight_td * terms[3]
        )
        self.generator_optimizer.zero_grad()
        # D's own weights need no gradient here.
        self.fabric.backward(loss_g, inputs=list(self.network.parameters()))
        self.generator_optimizer.step()
        return torch.stack([loss_d, loss_g, *(local.weight * term for term in terms)]).detach()

    def calibrate(self, rows: ScaledRows) -> None:
        """Compute the generator's batch-norm statistics for its current weights."""
        batches = shuffled_batches(len(rows), self.options.batch_size, self.rng)
        shares = (index[share(self.fabric, len(index)).rows] for index in batches)
        calibrate(self.network, (rows[index] for index in islice(shares, CALIBRATION_BATCHES)))

    @torch.inference_mode()
    def success(self, rows: ScaledRows) -> float:
        """Share of the perturbed rows that f classifies as the target; NaN without rows."""
        self.network.eval()
        local_index = torch.arange(len(rows))[part(self.fabric, len(rows))]
        hits = (
            self.classifier(perturb(self.network, rows[index])[1]).argmax(dim=1)
            == self.target_class
            for index in local_index.split(self.options.batch_size)
            if len(index)
        )
        success = share_of_hits(self.fabric, hits)
        self.network.train()
        return success


def train_tspg(
    trainer: TspgTrainer,
    rows: ScaledRows,
    real: ScaledRows,
    held_out: ScaledRows,
    *,
    checkpoint: Checkpoint | None = None,
    description: str,
    progress_bar: bool,
) -> tuple[nn.Module, list[Record]]:
    """Train G on `rows` for the trainer's number of epochs.

    Parameters
    ----------
    trainer
        Networks and step.
    rows
        Training samples to perturb.
    real
        Training samples that D sees as real.
    held_out
        Held-out samples, measured after each epoch.
    checkpoint
        Checkpoint to write and to resume from, if any.
    description
        Text before the progress bar.
    progress_bar
        Whether to show progress.

    Returns
    -------
    The generator, and for each epoch the mean of each loss and the held-out success.
    """

    def run_epoch() -> Record:
        total, n_steps = torch.zeros(len(LOSS_NAMES), device=trainer.fabric.device), 0
        for index in shuffled_batches(len(rows), trainer.options.batch_size, trainer.rng):
            drawn = torch.randint(
                len(real), index.shape, generator=trainer.rng, device=index.device
            )
            local = share(trainer.fabric, len(index))
            total += trainer.step(rows[index[local.rows]], real[drawn[local.rows]], local)
            n_steps += 1
        means = mean_of_all(trainer.fabric, total / n_steps).tolist()
        trainer.calibrate(rows)
        return {
            **dict(zip(LOSS_NAMES, means, strict=True)),
            "held_out_success": trainer.success(held_out),
        }

    # The three networks take turns in a step: the work of one says how long its operations take.
    with threads_for(flops_of_step(trainer.network, trainer.options.batch_size)):
        history = run_epochs(
            run_epoch,
            trainer.options.max_epochs,
            trainer=trainer,
            checkpoint=checkpoint,
            description=description,
            progress_bar=progress_bar,
        )
    return trainer.network.eval(), history
