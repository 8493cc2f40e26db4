"""The original TSPG (Targonski et al. 2020): `TSPG_DIR` is a copy of github.com/ctargon/TSPG.

Needs `tensorflow<2.16`, `tensorflow-probability<0.24`, scikit-learn, matplotlib and anndata.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from answer import answer, as_array, is_target, is_train, to_perturb

if TYPE_CHECKING:
    import argparse

    import anndata as ad

ROUNDING = 1e-5  # the scripts write eight decimals of scaled values


def predict(adata: ad.AnnData, _: argparse.Namespace) -> np.ndarray:
    """The authors' three scripts one after the other; these draw without a seed."""
    scripts = Path(os.environ["TSPG_DIR"]) / "bin"
    x = as_array(adata.X).astype(np.float32)
    train, asked = is_train(adata), to_perturb(adata)
    classes = adata.obs["condition"].cat.codes.to_numpy()
    target = f"class{classes[is_target(adata)][0]}"
    # A full covariance needs more samples of the target than genes.
    covariance = "full" if (train & is_target(adata)).sum() > x.shape[1] else "diagonal"
    with tempfile.TemporaryDirectory() as folder:
        known = write(Path(folder), "train", x[train], classes[train])
        new = write(Path(folder), "perturb", x[asked], classes[asked])
        genes = [f"gene{i}" for i in range(x.shape[1])]
        Path(folder, "sets.txt").write_text("\t".join(["all", *genes]), encoding="utf-8")
        shared = ["--gene-sets", f"{folder}/sets.txt", "--set", "all", "--output-dir", folder]
        data = ["--dataset", known[0], "--labels", known[1], *shared]
        run(scripts / "train-target.py", *data)
        run(scripts / "train-advgan.py", *data, "--target", target, "--target-cov", covariance)
        sets = ["--train-data", known[0], "--train-labels", known[1]]
        sets += ["--perturb-data", new[0], "--perturb-labels", new[1]]
        run(scripts / "perturb.py", *sets, *shared, "--target", target)
        found = pd.read_csv(f"{folder}/{target}.perturbations.samples.txt", sep="\t", index_col=0)
    low, high = x[train].min(axis=0), x[train].max(axis=0)
    change = found.loc[genes].to_numpy(dtype=np.float32).T
    perturbed = x[asked] + change * np.where(high > low, high - low, 1)
    return np.where(np.abs(perturbed) < ROUNDING, 0, perturbed)


def write(folder: Path, name: str, x: np.ndarray, classes: np.ndarray) -> tuple[str, str]:
    """Matrix and labels as the scripts read them, with names that they accept."""
    samples = [f"{name}{i}" for i in range(len(x))]
    np.save(folder / f"{name}.npy", x)
    np.savetxt(folder / f"{name}.rownames.txt", samples, fmt="%s")
    np.savetxt(folder / f"{name}.colnames.txt", [f"gene{i}" for i in range(x.shape[1])], fmt="%s")
    labels = pd.Series([f"class{code}" for code in classes], index=samples)
    labels.to_csv(folder / f"{name}.labels.txt", sep="\t", header=False)
    return str(folder / f"{name}.npy"), str(folder / f"{name}.labels.txt")


def run(script: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        msg = f"{script.name}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}"
        raise RuntimeError(msg)


if __name__ == "__main__":
    settings = "the authors' scripts with their defaults; diagonal covariance where samples are few"
    answer(predict, package="tensorflow", settings=settings)
