"""Time to a result, and what that time bought: this package, the original code and scGen in one run.

    python benchmarks/headline.py --data ../shared/data --gmt h.all.v7.0.symbols.gmt \\
        --python scGen=/envs/scgen/bin/python TSPG=/envs/tspg/bin/python --folder /scratch

Seconds from the call to the layer, classifier included, with the E-distance and the AUC of a forest
that `sp.tl.evaluate` finds on held-out samples. The call is the first of a process: this package
loads torch in it, scGen has its libraries already, and the original code is three programs. Blood
cells (700 x 765) to B cells, tissues (853 x 4,218) to lung, and 100,000 made-up cells (2,000 genes, a tenth of the values not zero) that this
package reads from an h5ad file and writes to it; the others read them into memory. A method that takes
longer than `--timeout` is stopped. A call goes on where the last one was stopped. Needs a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from compare import Table, add_arguments, made_with, resolve, run
from peers.answer import MEBIBYTE, peak_memory
from questions import GROUPS, SHARE, drawn
from realism import markdown
from scale import TARGET, make, timed

import scgan_perturb as sp

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "this package"
METHODS_HERE = [OURS, "scGen", "TSPG"]
SMALL = {"pbmc": "CD19+ B", "tissues": "Lung"}
LARGE = "made-up cells"
COLUMNS = {
    "seconds": "seconds",
    "times": "times ours",
    "e_distance": "E-distance",
    "auc_random_forest": "forest AUC",
    "zeros": "zeros, points",
    "memory_mib": "memory, MiB",
}


def questions(options: argparse.Namespace) -> Iterator[tuple[dict[str, object], ad.AnnData]]:
    """Key and data of each size, the smallest first."""
    (seed,) = options.seeds
    for group, asked in SMALL.items():
        if group in options.groups:
            for name, adata in GROUPS[group](seed, options.gmt):
                if name == asked:
                    yield {"group": sized(adata), "question": name, "seed": seed}, adata
    if LARGE in options.groups:
        adata = ad.read_h5ad(large_file(options))
        yield {"group": sized(adata), "question": TARGET, "seed": seed}, adata


def sized(adata: ad.AnnData) -> str:
    return f"{adata.n_obs:,} x {adata.n_vars:,}"


def large_file(options: argparse.Namespace) -> Path:
    """The question of many cells, made once."""
    path = options.folder / f"cells_{options.cells}.h5ad"
    if not path.is_file():
        made = path.with_suffix(".made")
        make(made, options.cells)
        adata = ad.read_h5ad(made)
        adata.obs = adata.obs.rename(columns={"type": "condition"})
        adata.uns["target"] = TARGET
        is_test = drawn(adata, SHARE, options.seeds[0])
        adata.obs["split"] = pd.Categorical(np.where(is_test, "test", "train"))
        adata.write_h5ad(path)
        made.unlink()
    return path


def on_disk(path: Path) -> None:
    """Fit and perturb a file, print what it took and what `evaluate` finds, and put it back."""
    adata = ad.read_h5ad(path, backed="r+")
    sp.settings.progress_bar = False
    fit = {"source": [name for name in adata.obs["condition"].cat.categories if name != TARGET]}
    took = timed(lambda: sp.tl.fit_tspg(adata, "condition", TARGET, held_out="split", **fit))
    memory = peak_memory() / MEBIBYTE
    sp.tl.evaluate(adata, n_bootstrap=0)
    rows = sp.get.evaluation_df(adata).set_index("method")
    names = ["e_distance", "auc_random_forest", "zeros", "individuality", "is_told_label"]
    found = {name: rows.loc["this model", name].item() for name in names}
    found |= {"seconds": took[0], "cpu_seconds": took[1], "memory_mib": memory}
    print(json.dumps(found))


def measure_on_disk(table: Table, key: dict[str, object], path: Path) -> None:
    """The row of this package for many cells, by a process of its own."""
    copy = path.with_name("fitted.h5ad")
    shutil.copyfile(path, copy)
    command = [sys.executable, __file__, "--fit", copy]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    copy.unlink()
    found = json.loads(done.stdout.splitlines()[-1])
    found |= {"method": OURS, "context": "all", "failed": np.nan}
    found |= {"package": f"scgan_perturb {sp.__version__}", "settings": "defaults, h5ad in place"}
    table.add(key, OURS, pd.DataFrame([found]))
    print(*key.values(), found, flush=True)


def report(rows: pd.DataFrame) -> str:
    """A table for each size."""
    parts = []
    for size, part in rows.groupby("group", sort=False):
        shown = part[part["seconds"].notna() | part["failed"].notna()].set_index("method")
        shown = shown.loc[[name for name in METHODS_HERE if name in shown.index]]
        shown = shown.assign(
            times=shown["seconds"] / shown.loc[OURS, "seconds"], zeros=100 * shown["zeros"]
        )
        table = shown[list(COLUMNS)].rename(columns=COLUMNS).astype(float).round(3)
        table = table.round({"seconds": 1, "times ours": 1, "zeros, points": 1, "memory, MiB": 0})
        table = table.astype(str).replace("nan", "")
        table.loc[shown["failed"].notna(), "seconds"] = "did not end, see above"
        asked = part["question"].iloc[0]
        parts.append(f"## {size}, to {asked}\n\n{markdown(table.reset_index())}")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser, [*SMALL, LARGE], METHODS_HERE)
    parser.add_argument("--folder", type=Path, default=Path(), help="folder for many cells")
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit is not None:
        on_disk(options.fit)
        return
    resolve(options)
    table = Table(options.results / "headline.csv")
    for key, adata in questions(options):
        methods = options.methods
        if key["question"] == TARGET and OURS in methods:
            if OURS in options.again or not table.has(key, OURS):
                measure_on_disk(table, key, large_file(options))
            options.methods = [name for name in methods if name != OURS]
        run(table, iter([(key, adata)]), options)
        options.methods = methods
    title = f"# {__doc__.splitlines()[0]}\n\n{made_with(table.rows)}"
    found = f"{title}\n\n{report(table.rows)}"
    print(found)
    (options.results / "headline.md").write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
