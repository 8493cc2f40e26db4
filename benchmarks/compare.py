"""Run methods on the same questions, each in a process of its own, and judge all of them alike.

Every answer is judged by `sp.tl.evaluate(prediction=)`. Each result is written at once to a table
that a later call reads, so that it runs only what is missing.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import torch
from questions import GROUPS

import scgan_perturb as sp

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
RESULTS = HERE / "results"
# The script of each method, and what a Python of its own has to have; or why it does not run.
METHODS = {
    "this package": ("package.py", ""),
    'recipe "paper"': ("paper.py", ""),
    "scGen": ("scgen.py", "pertpy[scgen]"),
    "CPA": (None, "cpa-tools 0.8.8 needs Python below 3.11, with torch 2.0 and anndata 0.9"),
    "CellOT": ("with_cellot.py", "cellot"),
    "TSPG": ("with_tspg.py", "TensorFlow 2.15"),
    "scCBGM": ("with_sccbgm.py", "conceptlab"),
    "CellFlow": ("with_cellflow.py", "cellflow-tools"),
}
JUDGED, FLOOR = "this prediction", "real target"
PREDICTION = "prediction"
LEVELS = ["group", "question", "seed"]
SHOWN = {
    "e_distance": "E-distance",
    "auc_random_forest": "forest AUC",
    "zeros": "zeros, points",
    "pearson_delta": "Pearson Δ",
    "direction": "direction",
    "overlap": "overlap",
    "individuality": "individuality",
    "seconds": "seconds",
    "cpu_seconds": "processor, s",
}
TOO_SLOW = "more than --timeout"  # as the scripts say it that time their first steps
WHOLE = ("seconds", "cpu_seconds", "memory_mib")  # shown without decimals


class Table:
    """The results so far, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        empty = pd.DataFrame(columns=[*LEVELS, "method", "failed"])
        self.rows = pd.read_csv(path) if path.is_file() else empty

    def has(self, key: dict[str, object], method: str) -> bool:
        """Whether this was measured; what failed is tried again."""
        return bool((self._alike(key, method) & self.rows["failed"].isna()).any())

    def add(self, key: dict[str, object], method: str, rows: pd.DataFrame) -> None:
        """Replace a method's rows of a question, and write the file."""
        known = self.rows[~self._alike(key, method)]
        rows = rows.assign(**key)
        self.rows = pd.concat([known, rows], ignore_index=True) if len(known) else rows
        self.rows.to_csv(self.path, index=False)

    def _alike(self, key: dict[str, object], method: str) -> np.ndarray:
        wanted = {**key, "method": method}
        return np.logical_and.reduce([self.rows[name] == wanted[name] for name in wanted])


def run(table: Table, asked: Iterator[tuple[dict[str, object], ad.AnnData]], options) -> None:
    """Answer and judge every question by every method, unless the table has it.

    A method whose steps alone take too long, whatever the question, is asked once.
    """
    too_slow: dict[str, str] = {}
    for key, adata in asked:
        for method in options.methods:
            if method in options.once and key["seed"] != options.seeds[0]:
                continue
            if method not in options.again and table.has(key, method):
                continue
            print(*key.values(), method, sep=", ", end=": ", flush=True)
            try:
                if method in too_slow:
                    raise RuntimeError(too_slow[method])  # noqa: TRY301
                answer = ask(adata, method, key["seed"], options)
                found = judge(adata, answer.layers[PREDICTION]).assign(failed=np.nan)
            except (RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())[-300:]
                if TOO_SLOW in reason:
                    too_slow[method] = reason
                table.add(key, method, pd.DataFrame([{"method": method, "failed": reason}]))
                print(reason, flush=True)
                continue
            rows = found[found["method"] == JUDGED].assign(method=method, **answer.uns["answer"])
            table.add(key, method, rows)
            if not table.has(key, FLOOR):
                for name, part in baselines(found, adata, key["seed"]).groupby(
                    "method", sort=False
                ):
                    table.add(key, name, part)
            shown = rows[["e_distance", "auc_random_forest", "zeros", "seconds"]].iloc[0]
            print(", ".join(f"{name} {value:.3f}" for name, value in shown.items()), flush=True)


def baselines(found: pd.DataFrame, adata: ad.AnnData, seed: int) -> pd.DataFrame:
    """The rows of the judge's baselines and floor."""
    if "held_out_context" not in adata.uns:
        return found[found["method"] != JUDGED]
    real = real_against_real(adata, seed).assign(failed=np.nan)
    return pd.concat([found[~found["method"].isin([JUDGED, FLOOR])], real])


def ask(adata: ad.AnnData, method: str, seed: int, options: argparse.Namespace) -> ad.AnnData:
    """The answer of a method's script; RuntimeError with the reason where it has none."""
    script, needed = METHODS[method]
    if script is None:
        raise RuntimeError(needed)
    python = options.python.get(method, None if needed else sys.executable)
    if python is None:
        msg = f"needs a Python with {needed}: --python {method}=PATH"
        raise RuntimeError(msg)
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "question.h5ad", Path(folder) / "answer.h5ad"
        adata.write_h5ad(question)
        command = [python, HERE / "peers" / script, question, answer, "--seed", str(seed)]
        command += ["--timeout", str(options.timeout)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=options.timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            msg = f"took longer than --timeout {options.timeout:.0f}"
            raise RuntimeError(msg) from error
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            reason = lines[-1] if lines else f"ended with code {done.returncode}"
            raise RuntimeError(reason.removeprefix("RuntimeError: "))
        return ad.read_h5ad(answer)


def judge(adata: ad.AnnData, layer: np.ndarray, split: str = "split") -> pd.DataFrame:
    """What `sp.tl.evaluate` finds of a layer and of its baselines, in each context and on average."""
    adata = adata.copy()
    adata.layers[PREDICTION] = layer
    target = adata.uns["target"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says it
        sp.tl.evaluate(
            adata,
            prediction=PREDICTION,
            groupby="condition",
            target=target,
            held_out=split,
            by="context" if "context" in adata.obs else None,
            n_bootstrap=0,
        )
    table = sp.get.evaluation_df(adata, context=None, key=PREDICTION)
    return table.drop(columns=[name for name in table if name.endswith(("_low", "_high"))])


def real_against_real(adata: ad.AnnData, seed: int) -> pd.DataFrame:
    """The floor where no treated cell of the context trained: one half beside the other."""
    adata = adata.copy()
    is_real = (adata.obs["condition"] == adata.uns["target"]) & (adata.obs["split"] == "test")
    half = np.random.default_rng(seed).permutation(np.flatnonzero(is_real))[: is_real.sum() // 2]
    split = adata.obs["split"].astype(str).to_numpy()
    split[half] = "train"
    adata.obs["half"] = split
    found = judge(adata, adata.X, "half")
    return found[found["method"] == FLOOR]


def questions(options: argparse.Namespace) -> Iterator[tuple[dict[str, object], ad.AnnData]]:
    """Key and data of each question that was asked for."""
    for group in options.groups:
        for seed in options.seeds:
            for name, adata in GROUPS[group](seed, options.gmt):
                if options.questions is None or name in options.questions:
                    key = {"group": group, "question": name, "seed": seed}
                    yield key, most_variable(adata, options.genes)


def most_variable(adata: ad.AnnData, n_genes: int | None) -> ad.AnnData:
    if n_genes is None:
        return adata
    x = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
    return adata[:, np.sort(np.argsort(-x.var(axis=0), kind="stable")[:n_genes])].copy()


def add_arguments(
    parser: argparse.ArgumentParser,
    groups: Sequence[str],
    methods: Sequence[str],
) -> None:
    parser.add_argument("--data", type=Path, help="folder of sp.datasets, with cells/*.h5ad")
    parser.add_argument("--groups", nargs="+", choices=groups, default=groups)
    parser.add_argument("--questions", nargs="+", help="only these of the groups")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=methods)
    parser.add_argument("--again", nargs="+", default=[], help="methods to measure anew")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--once", nargs="+", choices=METHODS, default=[], help="slow methods: the first seed only"
    )
    parser.add_argument("--python", nargs="+", default=[], metavar="METHOD=PATH")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for an answer")
    parser.add_argument("--gmt", type=Path, help="gene sets whose genes bulk data are cut to")
    parser.add_argument("--genes", type=int, help="only so many of the most variable genes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the tables")


def resolve(options: argparse.Namespace) -> None:
    """Complete the options."""
    options.python = dict(pair.split("=", 1) for pair in options.python)
    if options.data is not None:
        sp.settings.dataset_dir = options.data
    sp.settings.progress_bar = False
    logging.disable(logging.INFO)  # the tables say it
    options.results.mkdir(parents=True, exist_ok=True)


def made_with(rows: pd.DataFrame) -> str:
    """The command, what was measured with which versions and settings, and the machine."""
    words = [re.sub(r"[^=]*/", "", word) for word in sys.argv]  # without this machine's folders
    command = shlex.join(["python", f"benchmarks/{words[0]}", *words[1:]])
    used = rows.dropna(subset=["package"]).groupby("method", sort=False)[["package", "settings"]]
    methods = [
        f"- {method}: {', '.join(sorted(set(part['package'])))}; {part['settings'].iloc[0]}"
        for method, part in used
    ]
    failed = rows[rows["failed"].notna()]
    reasons = [
        f"- {method} did not answer (questions: {len(part)}): "
        + part["failed"].iloc[0].replace("--timeout", "`--timeout`")  # not a dash, in a page
        for method, part in failed.groupby("method", sort=False)
    ]
    return (
        f"Made with `{command}`; Python {platform.python_version()}, torch {torch.__version__}, "
        f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[2]:.1f}. Seeds "
        f"{', '.join(map(str, sorted(set(rows['seed']))))}.\n\n" + "\n".join([*methods, *reasons])
    )


def processor() -> str:
    """Name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def of_methods(rows: pd.DataFrame, shown: dict[str, str], last: Sequence[str]) -> pd.DataFrame:
    """Each method's medians, over seeds and then over questions; `last` are the last rows."""
    failed, rows = (rows[rows["failed"].isna() == measured] for measured in (False, True))
    rows = rows.assign(zeros=100 * rows["zeros"])
    values = rows.groupby(["method", "group", "question", "context"], sort=False)[list(shown)]
    values = values.median().groupby("method", sort=False)
    table = values.median()
    digits = {name: 0 if name in WHOLE else 3 for name in shown}
    table = table.round(digits).rename(columns=shown)
    table.insert(0, "answers", values.size())
    last = [name for name in last if name in table.index]
    told = set(rows.loc[rows["is_told_label"].astype(bool), "method"])
    table = table.loc[[*table.index.drop(last), *last]].astype(str)
    for name in dict.fromkeys(failed["method"]):
        if name not in table.index:
            table.loc[f"{name} (did not run, see above)"] = ""
    return text(table.rename({name: f"{name} (told the label)" for name in told}))


def by_question(rows: pd.DataFrame, column: str, methods: Sequence[str]) -> pd.DataFrame:
    """One column of the results, questions × methods, medians over the seeds."""
    values = rows.pivot_table(
        index=["question", "context"], columns="method", values=column, aggfunc="median", sort=False
    )
    return values[[name for name in methods if name in values]]


def text(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(str).replace("nan", "").reset_index()
