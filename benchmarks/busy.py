"""How much longer does a default fit take beside busy programs, and is precision "auto" the faster one?

    python benchmarks/busy.py
    python benchmarks/busy.py --genes 1000 --samples 1400

For each number of genes: seconds of `sp.tl.fit_tspg`, classifier included, alone and beside as many
busy processes as the machine has processors (the shortest of `--repeats`), by default and with ten
epochs of recipe "paper"; and steps of the classifier in both precisions beside the one that `"auto"`
takes. The data are made up. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from floor import best_of
from speed import RESULTS, TARGET, make

import scgan_perturb as sp
from scgan_perturb.engine._device import open_fabric
from scgan_perturb.engine._precision import BFLOAT16, FLOAT32, faster_precision
from scgan_perturb.training._train_classifier import ClassifierTrainer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anndata as ad

SIZES = ((700, 765), (1_400, 1_000), (853, 4_218))  # samples and genes
CPU = torch.device("cpu")
BATCH, N_CLASSES = 128, 16
EPOCHS = 10  # of recipe "paper"


@contextmanager
def busy(n: int) -> Iterator[None]:
    """So many processes that compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def fit_seconds(adata: ad.AnnData, recipe: object, repeats: int) -> float:
    """Seconds of a fit, the shortest of several."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        fabric = {"accelerator": "cpu"}
        sp.tl.fit_tspg(adata.copy(), "label", TARGET, recipe=recipe, fabric=fabric)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def step_seconds(n_genes: int, precision: str) -> float:
    """Seconds of one step of the classifier."""
    trainer = ClassifierTrainer(n_genes, N_CLASSES, seed=0, fabric=open_fabric("cpu", precision))
    x = torch.from_numpy(np.random.default_rng(0).random((BATCH, n_genes), dtype=np.float32))
    labels = torch.arange(BATCH) % N_CLASSES
    return best_of(lambda: trainer.step(x, labels), CPU)


def row(n_samples: int, n_genes: int, repeats: int) -> str:
    """One line of the table."""
    adata = make(n_samples, n_genes)
    cells = [f"{n_samples:,} x {n_genes:,}"]
    for recipe in ("transport", sp.tl.Paper(max_epochs=EPOCHS)):
        alone = fit_seconds(adata, recipe, repeats)
        with busy(os.cpu_count() or 1):
            beside = fit_seconds(adata, recipe, repeats)
        cells += [f"{alone:.1f}", f"{beside:.1f}", f"{beside / alone:.1f}"]
    exact, coarse = (step_seconds(n_genes, precision) for precision in (FLOAT32, BFLOAT16))
    auto = faster_precision(CPU)
    ratio = {FLOAT32: exact, BFLOAT16: coarse}[auto] / min(exact, coarse)
    cells += [f"{1e3 * exact:.1f}", f"{1e3 * coarse:.1f}", auto, f"{ratio:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--samples", type=int)
    parser.add_argument("--genes", type=int)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the table")
    options = parser.parse_args()
    sp.settings.progress_bar = False
    sizes = [(options.samples or 1_400, options.genes)] if options.genes else SIZES
    lines = [
        "# Beside busy programs\n",
        f"On {os.cpu_count()} processors, {torch.get_num_threads()} threads of torch; "
        f"load before: {os.getloadavg()[0]:.1f}.\n",
        "| samples x genes | fit alone, s | beside busy processes, s | ratio | recipe paper alone, s | "
        "beside busy processes, s | ratio | step in float32, ms | in bfloat16, ms | "
        '"auto" | its ratio to the faster |',
        f"|{'---|' * 11}",
    ]
    for n_samples, n_genes in sizes:
        lines.append(row(n_samples, n_genes, options.repeats))
        print(lines[-1], flush=True)
    (options.results / "busy.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
