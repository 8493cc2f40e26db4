"""CellOT (Bunne et al. 2023), from github.com/bunnech/cellot: `pip install` that, absl-py and torch.

As its scripts do for single cells: an autoencoder, then optimal transport among its codes, with the
authors' `configs/models/scgen.yaml` and `cellot.yaml`. It is stopped at once where the first steps
show that the authors' number of steps takes longer than `--timeout`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from answer import answer, as_array, is_target, is_train, to_perturb
from cellot.models.ae import AutoEncoder
from cellot.models.cellot import compute_loss_f, compute_loss_g
from cellot.networks.icnns import ICNN

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    import anndata as ad

BATCH, LATENT = 64, 50
AUTOENCODER_STEPS, HALVED_EVERY = 250_000, 100_000
STEPS, INNER_STEPS = 100_000, 10
N_TIMED = 50  # steps


def predict(adata: ad.AnnData, options: argparse.Namespace) -> np.ndarray:
    """Contexts are not told: CellOT is to find the state of a cell in its expression."""
    torch.manual_seed(options.seed)
    x = torch.as_tensor(as_array(adata.X).astype(np.float32))
    train, target = is_train(adata), is_target(adata)
    autoencoder = fit_autoencoder(x[train], options.timeout)
    with torch.no_grad():
        codes = autoencoder.encode(x)
    transport = fit_transport(codes[train & ~target], codes[train & target], options.timeout)
    moved = transport(codes[to_perturb(adata)].requires_grad_()).detach()
    with torch.no_grad():
        return autoencoder.decode(moved).numpy()


def fit_autoencoder(x: torch.Tensor, timeout: float) -> AutoEncoder:
    model = AutoEncoder(x.shape[1], LATENT, hidden_units=[512, 512], beta=0.0, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, HALVED_EVERY, gamma=0.5)
    batches = endless(x)

    def step() -> None:
        optimizer.zero_grad()
        model(next(batches))[0].mean().backward()
        optimizer.step()
        scheduler.step()

    repeat(step, AUTOENCODER_STEPS, timeout, "an autoencoder")
    return model.eval()


def fit_transport(
    source: torch.Tensor, target: torch.Tensor, timeout: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    def potential(penalty: float) -> ICNN:
        return ICNN(LATENT, [64] * 4, fnorm_penalty=penalty, kernel_init_fxn=uniform)

    f, g = potential(0), potential(1)
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.5, 0.9)) for net in (f, g)]
    sources, targets = endless(source), endless(target)

    def step() -> None:
        for _ in range(INNER_STEPS):
            optimizers[1].zero_grad()
            loss = compute_loss_g(f, g, next(sources).requires_grad_()).mean() + g.penalize_w()
            loss.backward()
            optimizers[1].step()
        optimizers[0].zero_grad()
        compute_loss_f(f, g, next(sources).requires_grad_(), next(targets)).mean().backward()
        optimizers[0].step()
        f.clamp_w()

    repeat(step, STEPS, timeout, "the transport")
    return g.transport


def uniform(weight: torch.Tensor) -> torch.Tensor:
    return torch.nn.init.uniform_(weight, b=0.1)


def endless(x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Random batches."""
    while True:
        yield x[torch.randint(len(x), (BATCH,))]


def repeat(step: Callable[[], None], n_steps: int, timeout: float, what: str) -> None:
    """Take all steps; RuntimeError if the first ones show that these take too long."""
    start = time.perf_counter()
    for i in range(n_steps):
        step()
        if i + 1 == N_TIMED:
            seconds = (time.perf_counter() - start) * n_steps / N_TIMED
            if seconds > timeout:
                msg = (
                    f"the authors' {n_steps:,} steps of {what} take {seconds / 3600:.1f} hours on "
                    f"this machine, more than --timeout {timeout:.0f}"
                )
                raise RuntimeError(msg)


if __name__ == "__main__":
    settings = "the authors' configs/models/scgen.yaml and cellot.yaml, contexts not told"
    answer(predict, package="cellot", settings=settings)
