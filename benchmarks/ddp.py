"""What is gained by two processes that train together, on the processor of one machine?

    python benchmarks/ddp.py                      # 2,000 genes, batches of 128 and 1,024

A fit of recipe "paper" by one process and by two, of one thread each; the median of the steps of each
training loop. Recipe "transport" trains nothing but the classifier. Processor time is that of the first process: it does
not count waiting, for the others or for a machine that is busy with other work, so its ratio is what
could be gained where each process has cores of its own and the exchange takes no time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from lightning_fabric.utilities.rank_zero import rank_zero_only
from speed import TARGET, make

import scgan_perturb as sp
from scgan_perturb.tl import _tspg
from scgan_perturb.training._train_classifier import ClassifierTrainer
from scgan_perturb.training._train_tspg import TspgTrainer

RESULTS = Path(__file__).parent / "results"
TRAINERS = {
    "fit_classifier": ClassifierTrainer,
    "fit_tspg, paper": TspgTrainer,
}
PROCESSES = (1, 2)
N_SAMPLES, N_STEPS, WARM_UP = 2_048, 12, 2


def timed_steps(trainer: type) -> list[tuple[float, float]]:
    """Seconds, on the clock and of the processor, of each step from now on."""
    took: list[tuple[float, float]] = []
    original = trainer.step

    def step(*args: object) -> object:
        start, start_cpu = time.perf_counter(), time.process_time()
        losses = original(*args)
        took.append((time.perf_counter() - start, time.process_time() - start_cpu))
        return losses

    trainer.step = step
    return took


def fit(n_genes: int, batch: int, processes: int) -> dict[str, tuple[float, float]]:
    """Median seconds of a step of each training loop."""
    sp.settings.progress_bar = False
    adata = make(N_SAMPLES, n_genes)
    epochs = -(-(N_STEPS + WARM_UP) * batch // N_SAMPLES) + 1
    _tspg.CLASSIFIER_EPOCHS, _tspg.BATCH_SIZE = epochs, batch
    took = {name: timed_steps(trainer) for name, trainer in TRAINERS.items()}
    fabric = {"accelerator": "cpu", "precision": "32-true", "devices": processes}
    recipe = sp.tl.Paper(max_epochs=epochs, batch_size=batch)
    sp.tl.fit_tspg(adata, "label", TARGET, recipe=recipe, fabric=fabric)
    return {
        name: tuple(median(kind) for kind in zip(*seconds[WARM_UP:], strict=True))
        for name, seconds in took.items()
    }


def measure(
    options: argparse.Namespace, batch: int, processes: int
) -> dict[str, tuple[float, float]]:
    """The same in processes of their own."""
    command = [sys.executable, __file__, "--genes", str(options.genes), "--batches", str(batch)]
    run = subprocess.run(
        [*command, "--processes", str(processes)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found = json.loads(run.stdout.splitlines()[-1])
    print(batch, processes, found, flush=True)
    return found


def report(rows: list, n_genes: int) -> str:
    lines = [
        "# Processes that train together",
        f"`{' '.join(['python', 'benchmarks/ddp.py', *sys.argv[1:]])}`: {n_genes:,} genes, float32, "
        f"torch {torch.__version__}, gloo, {os.cpu_count()} cores, load {os.getloadavg()[2]:.1f}. Gains "
        "are those over one process.\n",
        "| batch | step | processes | step, ms | samples a second | gain | processor, ms | gain |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for batch in dict.fromkeys(row[0] for row in rows):
        for name in TRAINERS:
            of_batch = [(n, found[name]) for size, n, found in rows if size == batch]
            lines += [
                f"| {batch:,} | {name} | {processes} | {1e3 * clock:.0f} | "
                f"{batch / clock:,.0f} | {of_batch[0][1][0] / clock:.2f} | {1e3 * cpu:.0f} | "
                f"{of_batch[0][1][1] / cpu:.2f} |"
                for processes, (clock, cpu) in of_batch
            ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--batches", nargs="+", type=int, default=(128, 1_024))
    parser.add_argument("--processes", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.processes:
        found = fit(options.genes, options.batches[0], options.processes)
        rank_zero_only(print)(json.dumps(found), flush=True)
        return
    rows = [
        (batch, processes, measure(options, batch, processes))
        for batch in options.batches
        for processes in PROCESSES
    ]
    text = report(rows, options.genes)
    print(text)
    (RESULTS / "ddp.md").write_text(text)


if __name__ == "__main__":
    main()
