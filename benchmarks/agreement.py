"""Do fits on two devices agree, and how long do they take?

    python benchmarks/agreement.py                       # cpu and cuda
    python benchmarks/agreement.py --devices cpu cpu     # all its parts, where there is no GPU

Blood cells (`sp.datasets.pbmc68k()`) are made into B cells. One fitted model has to perturb the same
on both devices, up to rounding. Fits of one seed have the same split and the same initial weights of
the classifier, but each device draws other random numbers in its training: they may differ as two
seeds on one device do, and another seed is fitted for comparison. What does not agree is said, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from realism import DATA, MODEL, RESULTS, markdown

import scgan_perturb as sp

ROUNDING = 1e-4  # in units of the data, whose genes reach from 0 to about 6
AS_SEEDS = 1.5  # times the difference of two seeds


def fits(adata, first: str, second: str, epochs: int | None):
    """One fit after another: a row of the table and what it made."""
    dense = adata.copy()
    dense.X = dense.X.toarray()
    for data, device, precision, seed in (
        (adata, first, "32-true", 0),
        (adata, first, "32-true", 1),
        (adata, second, "32-true", 0),
        (adata, second, "auto", 0),
        (dense, second, "32-true", 0),
        (dense, second, "auto", 0),
    ):
        yield fit(data, device, precision, seed, epochs)


def fit(adata, device: str, precision: str, seed: int, epochs: int | None):
    """A fit by default settings, each of its parts timed."""
    groupby, target = DATA["pbmc68k"]
    options = {"fabric": {"accelerator": device, "precision": precision}, "rng": seed}
    fitted, seconds = adata.copy(), {}

    def timed(name: str, call, *args: object, **kwargs: object) -> None:
        start = time.perf_counter()
        call(fitted, *args, **kwargs)
        seconds[f"{name}, s"] = time.perf_counter() - start

    length = {} if epochs is None else {"max_epochs": epochs}
    # The split of the first seed, for all: the same samples are compared.
    held_out = {"held_out": "part"} if "part" in fitted.obs else {}
    timed("classifier", sp.tl.fit_classifier, groupby, **options, **held_out, **length)
    timed("generator", sp.tl.fit_tspg, groupby, target, **options, **held_out)
    timed("perturb", sp.tl.perturb, accelerator=device)
    timed("evaluate", sp.tl.evaluate, accelerator=device)
    table = sp.get.evaluation_df(fitted, source="all").set_index("method")
    matrix = "dense" if isinstance(adata.X, np.ndarray) else "sparse"
    row = {"device": device, "precision": precision, "matrix": matrix, "seed": seed, **seconds}
    return {**row, **table.loc[MODEL, ["e_distance", "e_distance_low", "e_distance_high"]]}, fitted


def difference(a, b) -> float:
    """Mean absolute difference of two layers, of held-out samples that were perturbed."""
    target = DATA["pbmc68k"][1]
    of = (a.obs["part"] == "test") & (a.obs["bulk_labels"] != target)
    layers = [sp.get.perturbation(each, a.obs_names[of]) for each in (a, b)]
    return float((layers[0] - layers[1]).abs().to_numpy().mean())


def report(options: argparse.Namespace) -> tuple[str, bool]:
    """The table and whether the devices agree."""
    first, second = options.devices
    adata = sp.datasets.pbmc68k()
    split = adata.copy()
    for device in options.devices:  # libraries set themselves up: not timed
        sp.tl.fit_tspg(
            split,
            *DATA["pbmc68k"],
            fabric={"accelerator": device},
        )
        sp.tl.evaluate(split, accelerator=device)
    adata.obs["part"] = split.obs["tspg_split"]
    rows, fitted = zip(*fits(adata, first, second, options.epochs), strict=True)
    table = pd.DataFrame(rows)
    table["difference"] = [difference(fitted[0], each) for each in fitted]

    x = adata.X.toarray()
    gaps = {}
    for name, each in zip((first, second), (fitted[0], fitted[2]), strict=True):
        model = sp.get.model(each)
        there, here = (model.perturb(x, accelerator=device) for device in options.devices)
        gaps[name] = float(np.abs(there - here).max())
    checks = {
        f"A model fitted on {name} perturbs alike on both: largest difference {gap:.1e}, "
        f"at most {ROUNDING:.0e} allowed": gap <= ROUNDING
        for name, gap in gaps.items()
    }
    seeds, low, high = (
        table[name][place]
        for name, place in (("difference", 1), ("e_distance_low", 0), ("e_distance_high", 0))
    )
    for place in range(2, len(table)):
        row = table.loc[place]
        checks[
            f"The fit on {second}, {row['precision']}, {row['matrix']} differs from the first by "
            f"{row['difference']:.4f}, at most {AS_SEEDS} times the {seeds:.4f} of another seed "
            f"allowed; its E-distance, {row['e_distance']:.3f}, is in the interval of the first"
        ] = row["difference"] <= AS_SEEDS * seeds and low <= row["e_distance"] <= high
    table["E-distance (95 %)"] = [
        f"{middle:.3f} ({low:.3f} to {high:.3f})"
        for middle, low, high in table[
            ["e_distance", "e_distance_low", "e_distance_high"]
        ].to_numpy()
    ]
    shown = table.drop(columns=["e_distance", "e_distance_low", "e_distance_high"])
    decimals = {name: 4 if name == "difference" else 2 for name in shown.select_dtypes("float")}
    lines = [f"- {'yes' if holds else '**NO**'}: {what}." for what, holds in checks.items()]
    text = (
        f"# {__doc__.splitlines()[0]}\n\n"
        f"Data: pbmc68k, {adata.n_obs:,} cells × {adata.n_vars:,} genes made into "
        f"{DATA['pbmc68k'][1]}; difference: mean |x_adv − x_adv of the first row|, held-out cells, in "
        "units of the data. One fit on each device came before and is not timed.\n\n"
        f"{markdown(shown.round(decimals))}\n" + "\n".join(lines) + "\n"
    )
    return text, all(checks.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--devices", nargs=2, default=["cpu", "cuda"])
    parser.add_argument("--epochs", type=int, help="of each classifier; the default without it")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the table")
    options = parser.parse_args()
    sp.settings.progress_bar = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says it
        text, agree = report(options)
    print(text)
    (options.results / "agreement.md").write_text(text, encoding="utf-8")
    if not agree:
        sys.exit("The devices do not agree.")


if __name__ == "__main__":
    main()
