"""How near to this machine's limit are fits and perturbations?

    python benchmarks/speed.py                                    # all sizes, an hour on two cores
    python benchmarks/speed.py --genes 4218 --batches 128
    python benchmarks/speed.py --genes 56202 --samples 11688 --batches 128 --end-to-end

The floor of each row is what `floor.py` says: the matrix products and the bytes that cannot be done
without, each timed by itself in the same process, just before the row. With `--end-to-end` whole
calls are timed too: two epochs of a classifier and a fit of recipe "transport", how much of both lies
outside the steps of the classifier and the estimates of the fit, `perturb`, and the peak memory. The data are made up; each number of genes has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import torch
from floor import (
    Machine,
    best_of,
    classifier_step,
    paper_step,
    perturbation,
    synchronise,
)
from peers.answer import peak_memory

import scgan_perturb as sp
from scgan_perturb._recipes import Paper
from scgan_perturb.data._blocks import BLOCK_ROWS
from scgan_perturb.data._rows import ScaledRows
from scgan_perturb.data._scaling import GeneScaler
from scgan_perturb.engine._device import open_fabric
from scgan_perturb.estimates._target import TargetDistribution
from scgan_perturb.networks._networks import Classifier, initialise
from scgan_perturb.training import _fit
from scgan_perturb.training._train_classifier import ClassifierTrainer
from scgan_perturb.training._train_tspg import TspgTrainer

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
GENES, BATCHES = (500, 2_000, 4_218, 20_000, 56_202), (128, 1_024)
N_CLASSES, TARGET, N_SAMPLES = 16, "class0", 2_048
IMPORTS = ("anndata", "scgan_perturb")


def make(n_samples: int, n_genes: int) -> ad.AnnData:
    """Log-like expression of classes whose means differ."""
    rng = np.random.default_rng(0)
    labels = np.arange(n_samples) % N_CLASSES
    means = rng.uniform(0, 8, size=(N_CLASSES, n_genes)).astype(np.float32)
    x = np.empty((n_samples, n_genes), dtype=np.float32)
    for row, label in enumerate(labels):
        np.add(means[label], rng.standard_normal(n_genes, dtype=np.float32), out=x[row])
    np.maximum(x, 0, out=x)
    names = pd.Categorical.from_codes(labels, [f"class{i}" for i in range(N_CLASSES)])
    obs = pd.DataFrame({"label": names}, index=[f"sample{i}" for i in range(n_samples)])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)]))


def trainers(adata: ad.AnnData, n_samples: int, accelerator: str):
    """One step of each training loop, on batches of n_samples, as functions without arguments."""
    fabric = open_fabric(accelerator)
    everyone = np.arange(adata.n_obs)
    rows = ScaledRows(adata.X, everyone, GeneScaler.fit(adata.X, everyone), fabric.device)
    labels = torch.from_numpy(adata.obs["label"].cat.codes.to_numpy(np.int64)).to(fabric.device)
    with torch.device("meta"):
        f = Classifier(rows.n_genes, N_CLASSES)
    initialise(f, 0)
    f = f.requires_grad_(False).eval().to(fabric.device)
    real = rows[torch.nonzero(labels == 0).flatten()]
    paper = TspgTrainer(
        TargetDistribution(real),
        f,
        0,
        n_genes=rows.n_genes,
        options=Paper(max_epochs=1, batch_size=n_samples),
        seed=0,
        fabric=fabric,
    )
    f_trainer = ClassifierTrainer(rows.n_genes, N_CLASSES, seed=0, fabric=fabric)
    batch = torch.arange(n_samples, device=fabric.device)
    return {
        "fit_classifier": (lambda: f_trainer.step(rows[batch], labels[batch]), classifier_step),
        "fit_tspg, paper": (
            lambda: paper.step(rows[batch], rows[batch]),
            partial(paper_step, n_target=len(real)),
        ),
    }


@contextmanager
def timed(owner: object, name: str, took: list[float], device: torch.device) -> Iterator[None]:
    """Add up the seconds of all calls of one function."""
    original = getattr(owner, name)

    def call(*args: object, **kwargs: object) -> object:
        synchronise(device)
        start = time.perf_counter()
        result = original(*args, **kwargs)
        synchronise(device)
        took.append(time.perf_counter() - start)
        return result

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)


def steps(adata: ad.AnnData, batches: list[int], accelerator: str) -> Iterator[dict[str, object]]:
    """Rows of the table of steps."""
    device = open_fabric(accelerator).device
    machine = Machine(device, torch.float32)
    yield {"bandwidth": machine.bytes_per_second}
    for n_samples in batches:
        for name, (step, work_of) in trainers(adata, n_samples, accelerator).items():
            work = work_of(adata.n_vars, N_CLASSES, n_samples)
            floor = machine.floor(work)
            yield {
                "step": name,
                "batch": n_samples,
                "gflop": work.flops / 1e9,
                "floor": floor,
                "seconds": best_of(step, device),
            }


def end_to_end(adata: ad.AnnData, n_samples: int, accelerator: str) -> dict[str, object]:
    """Two epochs of a classifier, a fit and a perturbation, with the peak memory of all."""
    device = open_fabric(accelerator).device
    inside: list[float] = []
    before = peak_memory()
    start = time.perf_counter()
    with (
        timed(_fit, "estimate_transport", inside, device),
        timed(ClassifierTrainer, "step", inside, device),
    ):
        sp.tl.fit_classifier(
            adata, "label", max_epochs=2, batch_size=n_samples, fabric={"accelerator": accelerator}
        )
        sp.tl.fit_tspg(adata, "label", TARGET, fabric={"accelerator": accelerator})
    fit = time.perf_counter() - start
    fit_peak = peak_memory()
    floor = Machine(device, torch.float32).floor(
        perturbation(adata.n_vars, N_CLASSES, adata.n_obs, min(BLOCK_ROWS, adata.n_obs))
    )
    start = time.perf_counter()
    sp.tl.perturb(adata, accelerator=accelerator)
    return {
        "end": n_samples,
        "matrix": adata.X.nbytes,
        "before": before,
        "fit": fit,
        "steps": sum(inside),
        "fit_peak": fit_peak,
        "perturb": time.perf_counter() - start,
        "perturb_floor": floor,
    }


def measure(options: argparse.Namespace, n_genes: int) -> list[dict[str, object]]:
    """All rows of one number of genes, each made in a process of its own."""
    rows: list[dict[str, object]] = []
    for kind in ("steps", *["end"] * options.end_to_end):
        command = [sys.executable, __file__, "--part", kind, "--genes", str(n_genes)]
        command += ["--batches", *map(str, options.batches), "--samples", str(options.samples)]
        command += ["--accelerator", options.accelerator]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows += [{"genes": n_genes, **json.loads(line)} for line in run.stdout.splitlines()]
        print(*rows, sep="\n", flush=True)
    return rows


def import_seconds(name: str) -> float:
    """Seconds from nothing to an imported package, the shortest of several new processes."""
    command = [sys.executable, "-c", f"import {name}"]
    return best_of(partial(subprocess.run, command, check=True), torch.device("cpu"))


def report(rows: list[dict[str, object]], imports: dict[str, float]) -> str:
    asked = sys.argv[1:]
    if "--results" in asked:  # a folder of this machine
        place = asked.index("--results")
        del asked[place : place + 2]
    lines = [
        "# Speed",
        f"`{' '.join(['python', 'benchmarks/speed.py', *asked])}` on "
        f"{torch.get_num_threads()} threads; copies run at "
        f"{max(r['bandwidth'] for r in rows if 'bandwidth' in r) / 1e9:.1f} GB/s.\n",
        "| genes | batch | step | GFLOP | products at, GFLOP/s | floor, ms | step, ms | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['genes']:,} | {r['batch']:,} | {r['step']} | {r['gflop']:.1f} | "
        f"{r['gflop'] / r['floor']:.0f} | {1e3 * r['floor']:.1f} | {1e3 * r['seconds']:.1f} | "
        f"{r['seconds'] / r['floor']:.2f} |"
        for r in rows
        if "step" in r
    ]
    ends = [r for r in rows if "end" in r]
    if ends:
        lines += [
            "\nTwo epochs of the classifier and a fit, then `perturb`; matrix in float32:\n",
            "| genes | batch | matrix, GB | fit, s | outside steps and estimates | peak memory, matrices | "
            "perturb, s | its floor, s | ratio |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
    lines += [
        f"| {r['genes']:,} | {r['end']:,} | {r['matrix'] / 1e9:.2f} | {r['fit']:.1f} | "
        f"{100 * (1 - r['steps'] / r['fit']):.0f} % | "
        f"{r['fit_peak'] / r['matrix']:.2f} | "
        f"{r['perturb']:.2f} | {r['perturb_floor']:.2f} | {r['perturb'] / r['perturb_floor']:.2f} |"
        for r in ends
    ]
    ours, theirs = (imports[name] for name in reversed(IMPORTS))
    lines.append(f"\n`import scgan_perturb` takes {ours / theirs:.2f} times `import anndata`.")
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--genes", nargs="+", type=int, default=GENES)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--samples", type=int, default=N_SAMPLES)
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--end-to-end", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the table")
    parser.add_argument("--part", choices=["steps", "end"], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    sp.settings.progress_bar = False
    if options.part:
        adata = make(options.samples, options.genes[0])
        parts = (
            steps(adata, options.batches, options.accelerator)
            if options.part == "steps"
            else [end_to_end(adata, n, options.accelerator) for n in options.batches[:1]]
        )
        for row in parts:
            print(json.dumps(row), flush=True)
        return
    rows = [row for n_genes in options.genes for row in measure(options, n_genes)]
    text = report(rows, {name: import_seconds(name) for name in IMPORTS})
    print(text)
    (options.results / "speed.md").write_text(text)


if __name__ == "__main__":
    main()
