"""From a matrix in memory to one on disk: speed, peak memory, and results that are killed.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --folder /scratch            # 10⁴, 10⁵, 10⁶ cells
    OMP_NUM_THREADS=1 python benchmarks/scale.py --folder /scratch --cells 10000 --kills 3

Makes cells × 2,000 genes of ten types, a tenth of the values not zero, some cells at a time, sorted
by type, which is the hardest order to shuffle. Then, each in a process of its own, so that its peak
memory is its own:

- train: `fit_classifier` for one epoch, and `fit_tspg`, in memory and on disk, read only; the latter
  in memory also makes the layer, so that it is left out there. Rates are of the whole call, with all
  passes before and after the epoch. The time of the processor is given as well: it does not depend
  on who else uses the machine.
- perturb: `perturb` in memory, and on disk into the file.
- shuffle: held-out accuracy of a classifier after few epochs, with the order that is used on disk
  and in memory, and with rows shuffled one by one.
- kills: a `perturb` to disk is killed (SIGKILL) after a random time, as often as asked for, with the
  file opened each time, and has to end with the result in memory, to the last bit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from peers.answer import peak_memory
from scipy import sparse

import scgan_perturb as sp

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
N_GENES, N_TYPES, DENSITY = 2000, 10, 0.1
AT_ONCE = 5000  # cells made at a time
TARGET = "type 3"
SHUFFLE_CELLS, SHUFFLE_EPOCHS = 40_000, (1, 2)
KILL_CELLS = 30_000
LONGEST = 12.0  # seconds from the call to a kill


def make(path: Path, n_cells: int) -> None:
    """Log-normalised counts as they look: types differ in which genes are on, and how much."""
    rng = np.random.default_rng(0)
    share = rng.beta(0.6, 5.4, size=N_GENES)  # mean 0.1, most genes rare
    odds = share / (1 - share) * rng.lognormal(0, 0.15, size=(N_TYPES, N_GENES))
    on = odds / (1 + odds)
    on *= DENSITY / on.mean()
    level = rng.normal(1.5, 0.06, size=(N_TYPES, N_GENES))
    types = np.sort(rng.choice(N_TYPES, n_cells, p=np.arange(1, 11) / 55))
    obs = pd.DataFrame(
        {"type": pd.Categorical.from_codes(types, [f"type {i}" for i in range(N_TYPES)])},
        index=[f"cell{i}" for i in range(n_cells)],
    )
    for start in range(0, n_cells, AT_ONCE):
        own = types[start : start + AT_ONCE]
        cells, genes = np.nonzero(rng.random((len(own), N_GENES), dtype=np.float32) < on[own])
        values = level[own[cells], genes] + 0.4 * rng.standard_normal(len(cells))
        x = sparse.csr_matrix(
            (values.clip(0.1).astype(np.float32), (cells, genes)), shape=(len(own), N_GENES)
        )
        if start == 0:
            ad.AnnData(x, obs=obs[: len(own)]).write_h5ad(path)
        else:
            with h5py.File(path, "r+") as file:
                ad.io.sparse_dataset(file["X"]).append(x)
    with h5py.File(path, "r+") as file:
        ad.io.write_elem(file, "obs", obs)


def opened(path: Path, where: str, mode: str) -> ad.AnnData:
    return ad.read_h5ad(path) if where == "memory" else ad.read_h5ad(path, backed=mode)


def timed(call: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def train(path: Path, where: str) -> dict[str, float]:
    adata = opened(path, where, "r")
    seconds, cpu = timed(lambda: sp.tl.fit_classifier(adata, "type", max_epochs=1))
    n_train = int((adata.obs["classifier_split"] == "train").sum())
    took = {"rate": n_train / seconds, "CPU rate": n_train / cpu}
    if where == "disk":
        took["generator"] = timed(lambda: sp.tl.fit_tspg(adata, "type", TARGET))[0]
    return took


def perturb(path: Path, where: str) -> dict[str, float]:
    adata = opened(path, where, "r+")
    fitted = ad.read_h5ad(path.with_name("fitted.h5ad"))
    seconds, cpu = timed(lambda: sp.tl.perturb(adata, reference=fitted))
    return {"rate": adata.n_obs / seconds, "CPU rate": adata.n_obs / cpu}


def load(path: Path, where: str) -> dict[str, float]:
    """No more than opening: what anndata and the imports need."""
    opened(path, where, "r")
    return {}


def shuffle(path: Path, where: str) -> dict[str, float]:
    """Accuracy with the order in two steps (`runs`) and with rows one by one (`rows`)."""
    from scgan_perturb.training import _epochs  # noqa: PLC0415

    adata, found = ad.read_h5ad(path), {}
    _epochs.RUN_ROWS = _epochs.RUN_ROWS if where == "runs" else 1
    for n_epochs in SHUFFLE_EPOCHS:
        sp.tl.fit_classifier(adata, "type", max_epochs=n_epochs)
        history = adata.uns["classifier"]["history"]
        found[str(n_epochs)] = float(history["held_out_accuracy"].iloc[-1])
    return found


STEPS = {"train": train, "perturb": perturb, "load": load, "shuffle": shuffle}


def measure(step: str, path: Path, where: str) -> dict[str, float]:
    """A step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--where", where, "--path", str(path)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    took = json.loads(run.stdout.splitlines()[-1])
    print(step, path.name, where, took, flush=True)
    return took


def fit_small(folder: Path) -> None:
    """A model to perturb with."""
    make(folder / "small.h5ad", 10_000)
    adata = ad.read_h5ad(folder / "small.h5ad")
    sp.tl.fit_classifier(adata, "type", max_epochs=5)
    sp.tl.fit_tspg(adata, "type", TARGET)
    del adata.layers["xadv"]
    adata.write_h5ad(folder / "fitted.h5ad")


def kill(path: Path, n_kills: int, seed: int) -> dict[str, float]:
    """Kill a `perturb` as often, and compare what it ends with."""
    command = [
        sys.executable,
        __file__,
        "--step",
        "perturb",
        "--where",
        "disk",
        "--path",
        str(path),
    ]
    rng, n_killed, n_unfinished = np.random.default_rng(seed), 0, 0
    whole = shutil.copy(path, path.with_suffix(".whole"))
    while n_killed < n_kills:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
            assert run.stdout is not None
            run.stdout.readline()
            time.sleep(rng.uniform(0, LONGEST))
            if run.poll() is None:
                run.kill()
                n_killed += 1
                print(n_killed, "kills", flush=True)
            else:  # it ended: begin again
                shutil.copy(whole, path)
        with h5py.File(path) as file:  # it can be read at any time
            done = ad.io.read_elem(file["obs"]).get("tspg_predicted")
            n_unfinished += done is not None and 0 < done.notna().sum() < len(done)
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    expected = ad.read_h5ad(whole)
    sp.tl.perturb(expected, reference=ad.read_h5ad(path.with_name("fitted.h5ad")))
    found = ad.read_h5ad(path)
    columns = ["tspg_predicted", "tspg_target_probability"]
    same = (found.layers["xadv"] != expected.layers["xadv"]).nnz == 0
    same &= found.obs[columns].equals(expected.obs[columns])
    return {"kills": n_killed, "unfinished": int(n_unfinished), "same": bool(same)}


Took = dict[tuple[str, int, str], dict[str, float]]


def table(took: Took) -> list[str]:
    lines = [
        "| cells | where | training, rows/s (CPU) | of in memory | generator, s | perturbing, rows/s "
        "(CPU) | of in memory | peak MB: opening | training | perturbing |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for _, n, where in (key for key in took if key[0] == "load"):
        cells = [f"{n:,}", where]
        for step in ("train", "perturb"):
            own, beside = took[step, n, where], took.get((step, n, "memory"))
            cells.append(f"{own['rate']:,.0f} ({own['CPU rate']:,.0f})")
            cells.append(_of(own, beside))
            if step == "train":
                cells.append(f"{own['generator']:.0f}" if "generator" in own else "")
        cells += [f"{took[step, n, where]['peak']:,.0f}" for step in ("load", "train", "perturb")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _of(own: dict[str, float], beside: dict[str, float] | None) -> str:
    if beside is None:
        return ""
    clock, cpu = (own[name] / beside[name] for name in ("rate", "CPU rate"))
    return f"{clock:.0%} ({cpu:.0%})"


def growth(took: Took, cells: list[int]) -> list[str]:
    lines = []
    for few, many in pairwise(cells):
        for where in ("memory", "disk"):
            for step, what in (
                ("load", "opening"),
                ("train", "training"),
                ("perturb", "perturbing"),
            ):
                if (step, many, where) not in took:
                    continue
                before, after = (took[step, n, where]["peak"] for n in (few, many))
                lines.append(
                    f"- {what}, {'in memory' if where == 'memory' else 'on disk'}, from {few:,} to "
                    f"{many:,} cells: {after - before:+,.0f} MB, {after / before - 1:+.1%}"
                )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument(
        "--in-memory-up-to", type=int, default=10**6, help="more cells are measured on disk only"
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    for own in ("--step", "--where", "--path"):
        parser.add_argument(own, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sp.settings.progress_bar = False
    warnings.simplefilter("ignore")
    if options.step:
        import scgan_perturb.tl  # noqa: F401, PLC0415 (slow, and not what is measured)

        print("begin", flush=True)
        took = STEPS[options.step](Path(options.path), options.where)
        took["peak"] = peak_memory() / 1e6
        print(json.dumps(took))
        return
    run_all(options)


def run_all(options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    took: Took = {}
    try:
        fit_small(folder)
        for n in options.cells:
            path = folder / f"{n}.h5ad"
            make(path, n)
            for where in ("memory", "disk") if n <= options.in_memory_up_to else ("disk",):
                for step in ("load", "train", "perturb"):
                    took[step, n, where] = measure(step, path, where)
            path.unlink()
        path = folder / "shuffle.h5ad"
        make(path, SHUFFLE_CELLS)
        shuffled = {where: measure("shuffle", path, where) for where in ("runs", "rows")}
        path = folder / "kills.h5ad"
        make(path, KILL_CELLS)
        kills = kill(path, options.kills, seed=0)
    finally:
        shutil.rmtree(folder)
    text = report(took, options.cells, shuffled, kills)
    print(text)
    (RESULTS / "scale.md").write_text(text, encoding="utf-8")


def report(
    took: Took,
    cells: list[int],
    shuffled: dict[str, dict[str, float]],
    kills: dict[str, float],
) -> str:
    epochs = [str(n) for n in SHUFFLE_EPOCHS]
    lines = [
        "# Scale",
        "",
        f"`python benchmarks/scale.py`: {N_GENES:,} genes, {DENSITY:.0%} of the values not zero, one "
        "thread. On disk: h5ad as anndata writes it, CSR, in the cache of the system. Training is an "
        "epoch of the classifier with all passes around it, perturbing a call of `perturb`. In "
        "brackets: a second of the processor instead of the clock. Peak memory is of fresh "
        "processes; opening is that of the imports and of what anndata reads.",
        "",
        *table(took),
        "",
        "Growth of peak memory:",
        "",
        *growth(took, cells),
        "",
        f"Shuffling: {SHUFFLE_CELLS:,} cells sorted by type; held-out accuracy of the classifier.",
        "",
        f"| order | {' | '.join(f'{n} epochs' for n in epochs)} |",
        f"|---|{'---|' * len(epochs)}",
        *(
            f"| {name} | {' | '.join(f'{shuffled[where][n]:.4f}' for n in epochs)} |"
            for where, name in (("runs", "runs of rows, as used"), ("rows", "row by row"))
        ),
        "",
        f"Kills: {kills['kills']} at random instants of a `perturb` of {KILL_CELLS:,} cells to an "
        f"h5ad file; after {kills['unfinished']} of them a part of the result was there. The file "
        "could be read after each. The run that went on each time ended "
        f"{'with the same bits as' if kills['same'] else 'DIFFERENT from'} one in memory.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
