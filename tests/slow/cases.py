"""One case: a good file is damaged and handed to the functions that read such files."""

from __future__ import annotations

import gzip
import json
import shutil
import traceback
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import zarr

import scgan_perturb as sp
from tests.conftest import make_adata
from tests.slow.damage import (
    DAMAGES,
    HOSTILE,
    HOSTILE_MODEL,
    any_of,
    edit_stored,
    of_another_type,
    without_digest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Use = Callable[[ad.AnnData, "Good"], object]

PACKAGE = str(Path(sp.__file__).parent)
OURS = (ValueError, KeyError, FileNotFoundError, TypeError)  # where this package raises them
READ, REFUSED, BY_READER = "read", "refused", "refused by anndata"
FINE = (READ, REFUSED, BY_READER)
STORED = ("h5ad", "zarr")  # read by anndata, which does not tell us the path
KINDS = (*DAMAGES, "another type", "hostile")
N_USES = 4  # functions that read a stored fit, drawn for each case


@dataclass(frozen=True)
class Good:
    """Good files, as bytes, and the data that they belong to."""

    adata: ad.AnnData
    gmt: bytes
    gct: bytes
    model: dict[str, bytes]
    h5ad: bytes
    zarr: dict[str, bytes]


def fitted_adata(adata: ad.AnnData) -> ad.AnnData:
    """A copy with all that a fit and the verbs after it store."""
    fitted = adata.copy()
    sp.tl.fit_tspg(fitted, "tissue", ["lung", "thyroid"])
    sp.tl.evaluate(fitted, n_bootstrap=0)
    sp.tl.rank_genes(fitted)
    sp.tl.enrich(fitted, {"a set": ["gene0", "gene1"]}, min_size=1)
    sp.tl.embed(fitted, method="pca")
    return fitted


def make_good(folder: Path) -> Good:
    """Fit once and write every kind of file."""
    adata = make_adata({"liver": 12, "lung": 12, "thyroid": 12}, n_genes=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fitted_adata(adata)
        sp.get.model(fitted).save(folder / "model")
        fitted.write_h5ad(folder / "a.h5ad")
        fitted.write_zarr(folder / "a.zarr")
    sets = [f"SET_{i}\thttp://about\t" + "\t".join(adata.var_names[i : i + 4]) for i in range(4)]
    header = ["#1.2", "8\t36", "\t".join(["Name", "Description", *adata.obs_names])]
    rows = [
        "\t".join([f"ENSG{i}.1", gene, *(f"{value:.4g}" for value in adata.X[:, i])])
        for i, gene in enumerate(adata.var_names)
    ]
    return Good(
        adata,
        "\n".join([*sets, ""]).encode(),
        "\n".join([*header, *rows, ""]).encode(),
        _files(folder / "model"),
        (folder / "a.h5ad").read_bytes(),
        _unconsolidated(_files(folder / "a.zarr")),
    )


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _unconsolidated(files: dict[str, bytes]) -> dict[str, bytes]:
    """A zarr store without the second copy of its metadata, so that it can be edited."""
    files = {name: body for name, body in files.items() if name != ".zmetadata"}
    if "zarr.json" in files:
        text = json.loads(files["zarr.json"])
        text.pop("consolidated_metadata", None)
        files["zarr.json"] = json.dumps(text).encode()
    return files


# How files are used.


def use_gmt(path: Path, good: Good) -> None:
    sp.pp.gene_set(good.adata, path, copy=True)


def use_gct(path: Path, _: Good) -> None:
    adata = sp.datasets.read_gct(path)
    assert np.isfinite(adata.X).all()
    assert adata.shape == (len(adata.obs_names), len(adata.var))


def use_model(path: Path, good: Good) -> None:
    model = sp.get.PerturbationModel.load(path)
    for target in model.targets:
        assert np.isfinite(model.towards(target).perturb(good.adata.X)).all()


def perturb_new(fitted: ad.AnnData, good: Good) -> None:
    new = good.adata.copy()
    sp.tl.perturb(new, reference=fitted)
    assert np.isfinite(new.layers["xadv"]).all()


USES: list[Use] = [
    perturb_new,
    lambda a, _: sp.get.model(a),
    lambda a, _: sp.get.history(a),
    lambda a, _: sp.get.history(a, key="classifier"),
    lambda a, _: sp.get.perturbation(a),
    lambda a, _: sp.get.transition(a, a.obs_names[0]),
    lambda a, _: sp.get.perturbed_adata(a),
    lambda a, _: sp.get.rank_genes_df(a),
    lambda a, _: sp.get.enrichment_df(a),
    lambda a, _: sp.get.evaluation_df(a),
    lambda a, _: sp.get.embedding(a, "pca"),
    lambda a, _: sp.get.transition_genes(a),
    lambda a, _: sp.tl.rank_genes(a, copy=True),
    lambda a, _: sp.tl.embed(a, method="pca", copy=True),
    lambda a, _: sp.tl.perturb(a, copy=True),
]


class ReaderError(Exception):
    """anndata refused the file."""


def use_stored(path: Path, good: Good, *, uses: Sequence[Use] = USES) -> None:
    """Read by anndata, then by functions of ours that read what is stored."""
    try:
        adata = (ad.read_zarr if path.is_dir() else ad.read_h5ad)(path)
        adata = adata.to_memory()
    except Exception as error:
        raise ReaderError from error
    refused: Exception | None = None
    for use in uses:
        try:
            use(adata, good)
        except Exception as error:
            if outcome_of(error, "") != REFUSED:
                raise
            refused = error
    if refused is not None:
        raise refused


# One case.


def outcome_of(error: BaseException, name: str) -> str:
    """What an error counts as; a fault says where it was raised."""
    if isinstance(error, ReaderError):
        return BY_READER
    frames = traceback.extract_tb(error.__traceback__)
    own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if f.filename.startswith(PACKAGE)]
    last = frames[-1]
    # A lookup that failed is a KeyError as well, but none that we raised.
    was_raised = last.filename.startswith(PACKAGE) and str(last.line).startswith("raise")
    # Opening a file that is not there is an error of Python's own that names it.
    if not (isinstance(error, OURS) and was_raised) and not isinstance(error, FileNotFoundError):
        return f"{type(error).__name__} in {own[-1] if own else last.name}"
    return REFUSED if name in str(error) else f"file not named in {own[-1]}"


def run_case(form: str, kind: str, seed: int, good: Good, folder: Path) -> str:
    """Damage one file and use it; returns what came of it."""
    rng = np.random.default_rng(seed)
    mark = folder / "executed"
    path, use = damaged(form, kind, rng, good, folder / str(seed), mark)
    try:
        use(path, good)
        outcome = READ
    except Exception as error:
        outcome = outcome_of(error, path.name if form not in STORED else "")
    if mark.exists():
        mark.unlink()
        outcome = "code was executed"
    shutil.rmtree(folder / str(seed), ignore_errors=True)
    return outcome


def damaged(
    form: str, kind: str, rng: np.random.Generator, good: Good, folder: Path, mark: Path
) -> tuple[Path, Callable[[Path, Good], None]]:
    """The path of a damaged file, and the function to hand it to."""
    folder.mkdir()
    others = [gzip.compress(good.gmt), good.gmt, good.gct, good.h5ad[:20000], *good.model.values()]
    another = partial(of_another_type, others=others, mark=mark)
    simple = {**DAMAGES, "none": lambda body, _: body, "another type": another}
    if form in HOSTILE:
        body = {"GMT": good.gmt, "GCT": good.gct}.get(form) or gzip.compress(good.gct, mtime=0)
        change = simple.get(kind) or any_of(rng, HOSTILE[form])
        path = folder / ("a.gmt" if form == "GMT" else "a.gct")
        path.write_bytes(change(body, rng))
        return path, use_gmt if form == "GMT" else use_gct
    use: Callable[[Path, Good], None] = use_stored
    if kind != "none":
        use = partial(use_stored, uses=[any_of(rng, USES) for _ in range(N_USES)])
    if form == "h5ad":
        path = folder / "a.h5ad"
        path.write_bytes(simple[kind](good.h5ad, rng) if kind in simple else good.h5ad)
        if kind not in simple:
            with h5py.File(path, "r+") as file:
                edit_stored(file, rng, ad.io.write_elem)
        return path, use
    files = dict(good.model if form == "model" else good.zarr)
    path = folder / ("model" if form == "model" else "a.zarr")
    if kind in simple:
        name = any_of(rng, files) if kind != "none" else next(iter(files))
        files[name] = simple[kind](files[name], rng)
    elif form == "model":
        without_digest(files)
        any_of(rng, HOSTILE_MODEL)(files, rng)
    for name, body in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(body)
    if form == "model":
        return path, use_model
    if kind not in simple:
        edit_stored(zarr.open_group(path, mode="r+"), rng, ad.io.write_elem)
    return path, use
