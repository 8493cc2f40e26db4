"""What each method is asked and what it answers, as h5ad files; each runs in a process of its own.

    python benchmarks/peers/scgen.py question.h5ad answer.h5ad --seed 0

A question has log-normalised expression in `X`, and in `obs`: `condition` (the target, named in
`uns["target"]`, and the classes to perturb), `split` (train, test) and, where samples have one,
`context` (a cell type or line, which stays as it is). A method may learn from all samples of
`split` train, and perturbs those of split test that are not of the target. Its answer is the layer
`prediction`, in the units of `X`, and in `uns["answer"]` what it took.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTE = 2**20
PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
PREDICTION = "prediction"


def answer(
    predict: Callable[[ad.AnnData, argparse.Namespace], np.ndarray], *, package: str, settings: str
) -> None:
    """Read the question, time `predict` and write the answer.

    `predict` gets the samples and the options, and returns those of `to_perturb`, perturbed.
    """
    options = parse()
    adata = ad.read_h5ad(options.question)
    start = time.perf_counter(), processor_seconds()
    perturbed = predict(adata, options)
    took = time.perf_counter() - start[0], processor_seconds() - start[1]
    layer = as_array(adata.X).astype(np.float32)
    layer[to_perturb(adata)] = perturbed
    result = ad.AnnData(obs=adata.obs[[]], var=adata.var[[]], layers={PREDICTION: layer})
    result.uns["answer"] = {
        "seconds": took[0],
        "cpu_seconds": took[1],
        "memory_mib": peak_memory() / MEBIBYTE,
        "package": f"{package} {version(package)}",
        "settings": settings,
    }
    result.write_h5ad(options.answer)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("question", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=np.inf, help="seconds at most")
    return parser.parse_args()


def is_target(adata: ad.AnnData) -> np.ndarray:
    return (adata.obs["condition"] == adata.uns["target"]).to_numpy()


def is_train(adata: ad.AnnData) -> np.ndarray:
    return (adata.obs["split"] == "train").to_numpy()


def to_perturb(adata: ad.AnnData) -> np.ndarray:
    """Held-out samples that are not of the target."""
    return ~is_train(adata) & ~is_target(adata)


def as_array(x: object) -> np.ndarray:
    """Dense values of an array or a sparse matrix."""
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


def processor_seconds() -> float:
    """Of this process and of those that it started."""
    usage = [resource.getrusage(who) for who in PROCESSES]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def peak_memory() -> int:
    """Most memory that this process, or one that it started, held, in bytes."""
    own, children = (resource.getrusage(who).ru_maxrss for who in PROCESSES)
    if sys.platform == "linux":  # there `own` is not below the peak of the process that started it
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        own = int(status.split("VmHWM:")[1].split()[0])
    return max(own, children) * (1 if sys.platform == "darwin" else 1024)
