"""Damaged and hostile files: does every one of them end in one of our errors?

    python benchmarks/fuzz.py --cases 10000 --seed 0

Each case damages a good file at random and hands it to the functions that read it, in a process
that may die, with 1.5 GB of memory to spare and a minute each. Of the functions that read a stored fit,
four are drawn for a case.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import logging
import multiprocessing
import pickle
import resource
import shutil
import struct
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr
from safetensors.numpy import load, save

import scgan_perturb as sp
from scgan_perturb.engine import _device
from scgan_perturb.networks import _networks, _transport_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Damage = Callable[[bytes, np.random.Generator], bytes]
    Use = Callable[[ad.AnnData, "Good"], object]

RESULTS = Path(__file__).parent / "results"
PACKAGE = str(Path(sp.__file__).parent)
OURS = (ValueError, KeyError, FileNotFoundError, TypeError)  # where this package raises them
READ, REFUSED, BY_READER = "read", "refused", "refused by anndata"
FINE = (READ, REFUSED, BY_READER)
SECONDS, SPARE_BYTES = 60, 3 << 29
# Of all cases; zarr stores, of hundreds of files each, take longest.
SHARES = {"model": 34, "GMT": 18, "GCT": 23, "GCT, gzip": 13, "h5ad": 10, "zarr": 2}
STORED = ("h5ad", "zarr")  # read by anndata, which does not tell us the path
KINDS = ("truncated", "bits flipped", "spliced", "another type", "hostile")
N_USES = 4  # of those of a stored fit, drawn for each case
SMALL = (8, 6, 4)  # units of the networks, so that damage hits more than weights


# What is damaged.


@dataclass(frozen=True)
class Good:
    """Good files, as bytes, and the data that they belong to."""

    adata: ad.AnnData
    gmt: bytes
    gct: bytes
    model: dict[str, bytes]
    h5ad: bytes
    zarr: dict[str, bytes]


def small_networks() -> None:
    """For this process: damage hits more than weights, and cases are quick."""
    _networks.CLASSIFIER_UNITS = _networks.BOTTLENECK_UNITS = SMALL
    _transport_generator.BOTTLENECK_UNITS = SMALL
    _device.open_fabric = cache(_device.open_fabric)  # searches all installed packages each time


def make_adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    labels = np.repeat(["liver", "lung", "skin"], 12)
    x = rng.normal(3, 1, (3, 8))[np.repeat(range(3), 12)] + rng.normal(0, 0.3, (36, 8))
    return ad.AnnData(
        x.clip(0).astype(np.float32),
        obs=pd.DataFrame({"tissue": pd.Categorical(labels)}, index=[f"s{i}" for i in range(36)]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(8)]),
    )


def make_good(folder: Path) -> Good:
    """Fit once and write every kind of file."""
    adata = make_adata()
    fitted = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sp.tl.fit_tspg(fitted, "tissue", ["lung", "skin"], recipe=sp.tl.Transport(max_epochs=1))
        sp.tl.evaluate(fitted, n_bootstrap=0)
        sp.tl.rank_genes(fitted)
        sp.tl.enrich(fitted, {"a set": ["gene0", "gene1"]}, min_size=1)
        sp.tl.embed(fitted, method="pca")
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


def _unconsolidated(files: dict[str, bytes]) -> dict[str, bytes]:
    """A zarr store without the second copy of its metadata, so that it can be edited."""
    files = {name: body for name, body in files.items() if name != ".zmetadata"}
    if "zarr.json" in files:
        text = json.loads(files["zarr.json"])
        text.pop("consolidated_metadata", None)
        files["zarr.json"] = json.dumps(text).encode()
    return files


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# Damage that any file can take.


def truncated(body: bytes, rng: np.random.Generator) -> bytes:
    return body[: rng.integers(len(body))] if body else body


def flipped(body: bytes, rng: np.random.Generator) -> bytes:
    changed = np.frombuffer(body, np.uint8).copy()
    for _ in range(rng.integers(1, 9) if len(body) else 0):
        changed[rng.integers(len(body))] ^= np.uint8(1 << rng.integers(8))
    return changed.tobytes()


def spliced(body: bytes, rng: np.random.Generator) -> bytes:
    """A stretch moved, repeated, left out or replaced by noise."""
    start, stop, to = (int(place) for place in sorted(rng.integers(len(body) + 1, size=3)))
    piece = (body[stop:to], b"", rng.bytes(min(stop - start, 512)), body[start:stop] * 2)
    return body[:start] + piece[rng.integers(len(piece))] + body[stop:]


class Payload:
    """What a pickle does where it is loaded: leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def of_another_type(_: bytes, rng: np.random.Generator, *, good: Good, mark: Path) -> bytes:
    others = [
        b"",
        b"\0" * 5000,
        rng.bytes(int(rng.integers(1, 5000))),
        b"<!DOCTYPE html>\n<html><body>Log in first</body></html>\n",
        b"a,b\n1,2\n",
        "text".encode("utf-16"),
        pickle.dumps(Payload(mark)),
        gzip.compress(good.gmt),
        good.gmt,
        good.gct,
        good.h5ad[:20000],
        *good.model.values(),
    ]
    return others[rng.integers(len(others))]


# Damage that was thought out, a list for each kind of file.


def _swap(old: bytes, new: bytes) -> Damage:
    return lambda body, _: body.replace(old, new, 1)


HOSTILE_GMT: list[Damage] = [
    lambda body, _: b"\xef\xbb\xbf" + body,
    lambda body, _: body.replace(b"\n", b"\r"),
    lambda body, _: body.replace(b"\t", b" "),
    lambda body, _: body.replace(b"gene", b""),
    lambda body, _: body.replace(b"gene", b"\0"),
    lambda body, _: body + body,
    lambda *_: b"\t\t\t\n" * 50,
    lambda *_: b"\n" * 5000,
    lambda *_: b"name\t\t" + b"x" * 5_000_000,
    lambda *_: b"name\tabout" + b"\tg" * 500_000,
    lambda *_: "SET\t\u2028about\u0085\tgene1\n".encode(),
    lambda *_: b"\xed\xa0\x80\ta\tb\n",
    lambda body, _: body.decode().encode("utf-16"),
]


def _number(text: bytes) -> Damage:
    def change(body: bytes, rng: np.random.Generator) -> bytes:
        lines = body.split(b"\n")
        place = rng.integers(3, len(lines) - 1)
        fields = lines[place].split(b"\t")
        fields[rng.integers(2, len(fields))] = text
        lines[place] = b"\t".join(fields)
        return b"\n".join(lines)

    return change


HOSTILE_GCT: list[Damage] = [
    _swap(b"8\t36", b"1000000000000\t36"),
    _swap(b"8\t36", b"9" * 5000 + b"\t36"),
    _swap(b"8\t36", b"8\t" + b"9" * 5000),
    _swap(b"8\t36", b"-8\t36"),
    _swap(b"8\t36", "٨\t٣٦".encode()),
    _swap(b"8\t36", "²\t36".encode()),
    _swap(b"8\t36", b"0\t36"),
    lambda body, _: body.replace(b"\n", b"\r\n"),
    lambda body, _: body.replace(b"\n", b"\r"),
    lambda body, _: b"\xef\xbb\xbf" + body,
    lambda body, _: body.replace(b"gene", b'"'),
    lambda body, _: body.replace(b"ENSG", b"\0"),
    lambda body, _: body.replace(b"\t", b"\t\t"),
    lambda *_: b"#1.2\n1\t1\nName\tDescription\ts\ng\tg\t" + b"1" * 20_000_000,
    lambda *_: b"#1.2\n" + b"1" * 20_000_000,
    lambda *_: b"#1.2\n1\t1\n" + b"N" * 20_000_000,
    lambda *_: b"#1.2\n1\t1\nName\tDescription\ts\n" + b"\n" * 2_000_000 + b"g\tg\t1\n",
    *map(_number, [b"1_0", b"0x10", b"1e999", b"-inf", b" 1 ", b"1\r", b"\r1", b"1\r2", b"", b"\0",
                   b"1\0", "１".encode(), b"1,5", b"True", b"\xff", b'"1"', b"1e-999", b"#", b"+1"]),
]  # fmt: skip


def bomb(fill: bytes, n_mb: int = 2048) -> bytes:
    """A few MB of gzip that become the beginning of a GCT file, and then one line of GBs."""
    start = gzip.compress(b"#1.2\n1\t1\nName\tDescription\ts\ng\tg\t")
    return start + n_mb * gzip.compress(fill * (1 << 20))


HOSTILE_GZIP: list[Damage] = [
    lambda *_: bomb(b"1"),
    lambda *_: bomb(b"\t"),
    lambda *_: bomb(b"\0"),
    lambda body, _: body + b"\0" * 100,
    lambda body, _: body + b"no gzip",
    lambda body, _: gzip.compress(body),
    lambda body, _: body[:3] + b"\xff" + body[4:],
    lambda body, _: body[:-8] + b"\0" * 8,
]


def without_digest(files: dict[str, bytes]) -> None:
    """As one who means harm would have it."""
    text = json.loads(files["model.json"])
    text.pop("digest")
    files["model.json"] = json.dumps(text).encode()


def _edit_json(**changes: Any) -> Callable[[dict[str, bytes], np.random.Generator], None]:
    def edit(files: dict[str, bytes], _: np.random.Generator) -> None:
        files["model.json"] = json.dumps({**json.loads(files["model.json"]), **changes}).encode()

    return edit


def _edit_params(**changes: Any) -> Callable[[dict[str, bytes], np.random.Generator], None]:
    def edit(files: dict[str, bytes], _: np.random.Generator) -> None:
        text = json.loads(files["model.json"])
        text["params"] = {k: v for k, v in {**text["params"], **changes}.items() if v != "drop"}
        files["model.json"] = json.dumps(text).encode()

    return edit


def _plain_json(body: bytes) -> Callable[[dict[str, bytes], np.random.Generator], None]:
    return lambda files, _: files.update({"model.json": body})


def _header(change: Callable[[dict[str, Any], np.random.Generator], object]) -> Any:
    """Change the header of the safetensors file, and leave its data as they are."""

    def edit(files: dict[str, bytes], rng: np.random.Generator) -> None:
        body = files["weights.safetensors"]
        (size,) = struct.unpack("<Q", body[:8])
        header = json.loads(body[8 : 8 + size])
        change(header, rng)
        text = json.dumps(header).encode()
        files["weights.safetensors"] = struct.pack("<Q", len(text)) + text + body[8 + size :]

    return edit


def _arrays(change: Callable[[dict[str, np.ndarray], np.random.Generator], object]) -> Any:
    """Change arrays of the safetensors file and write a sound file of them."""

    def edit(files: dict[str, bytes], rng: np.random.Generator) -> None:
        arrays = load(files["weights.safetensors"])
        change(arrays, rng)
        files["weights.safetensors"] = save(arrays)

    return edit


def _any(rng: np.random.Generator, names: Any) -> Any:
    names = list(names)
    return names[rng.integers(len(names))]


def _set_one(value: float) -> Callable[[dict[str, np.ndarray], np.random.Generator], None]:
    def change(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        name = _any(rng, arrays)
        arrays[name] = arrays[name].copy()
        arrays[name].flat[rng.integers(max(arrays[name].size, 1))] = value

    return change


def _replace_one(make: Callable[[np.ndarray], np.ndarray]) -> Any:
    def change(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        name = _any(rng, arrays)
        arrays[name] = np.ascontiguousarray(make(arrays[name]))

    return change


def _many(files: dict[str, bytes], _: np.random.Generator, *, genes: int, classes: int) -> None:
    """A few MB that name networks of many GB."""
    names = [f"g{i}" for i in range(genes)]
    labels = ["lung", "skin", *(f"c{i}" for i in range(classes))]
    _edit_json(genes=names, classes=labels)(files, _)
    sizes = {"scale_min": np.zeros(genes), "scale_max": np.ones(genes)}
    sizes |= {"target_means": np.zeros((2, genes)), "target_mean": np.zeros(genes)}
    _arrays(lambda arrays, _: arrays.update({k: v.astype("f4") for k, v in sizes.items()}))(
        files, _
    )


def _one_tensor(header: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    return header[_any(rng, [name for name in header if name != "__metadata__"])]


HOSTILE_MODEL = [
    *map(_plain_json, [b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000, b"null", b"[]", b'"text"',
                       b'{"format": 1}', b'{"format": ' + b"1" * 10_000 + b"}", b"NaN", b"\0" * 99]),
    *(_edit_json(**{name: value}) for name in ("genes", "classes", "params", "format")
      for value in (None, 5, 1e99, "text", [], {}, ["a"], [["a"]] * 8, [None] * 8, {"a": 1}, [1] * 3)),
    *(_edit_params(**{name: value}) for name in ("target", "targets", "layer", "recipe", "groupby", "source")
      for value in ("drop", None, 5, [], {}, ["lung"], [["lung", "skin"]], "heart", "", [5, "lung"])),
    _edit_params(targets=["lung"] * 100_000),
    partial(_many, genes=200_000, classes=1),
    partial(_many, genes=50_000, classes=50_000),
    partial(_many, genes=8, classes=300_000),
    *(_header(lambda header, rng, d=dtype: _one_tensor(header, rng).update(dtype=d))
      for dtype in ("BF16", "F16", "F64", "I64", "BOOL", "F8_E4M3", "C64", "S9", 5, None)),
    *(_header(lambda header, rng, s=shape: _one_tensor(header, rng).update(shape=s))
      for shape in ([], [0], [-1], [2**62], [2**40, 0], [1] * 100, "x", [1.5])),
    *(_header(lambda header, rng, o=offsets: _one_tensor(header, rng).update(data_offsets=o))
      for offsets in ([0, 0], [0, 2**62], [8, 4], [-4, 0], [0], None, [0, 4])),
    _header(lambda header, rng: header.pop(_any(rng, header))),
    _header(lambda header, _: header.update({"__metadata__": {"a": "b" * 100_000}})),
    lambda files, _: files.update({"weights.safetensors": struct.pack("<Q", 2**63) + b"{}"}),
    lambda files, _: files.update({"weights.safetensors": struct.pack("<Q", 2) + b"{}"}),
    *(_arrays(_set_one(value)) for value in (np.nan, np.inf, -np.inf, 1e38, -1e38)),
    *(_arrays(_replace_one(make)) for make in (
        np.transpose, lambda a: a[..., None], lambda a: a[:0], np.ravel, lambda _: np.zeros(0, "f4"),
        lambda a: a.astype(np.float64), lambda a: a.astype(np.int8), lambda a: a > 0, lambda a: -a)),
    _arrays(lambda arrays, rng: arrays.pop(_any(rng, arrays))),
    _arrays(lambda arrays, _: arrays.update(more=np.zeros(3))),
    _arrays(lambda arrays, _: arrays.update(scale_min=arrays["scale_max"], scale_max=arrays["scale_min"])),
    lambda files, rng: files.pop(_any(rng, files)),
]  # fmt: skip

VALUES = [
    *(0, -1, 2.5, np.nan, np.inf, True, "text", "", "a/b"),
    *(np.zeros(0, "f4"), np.full(8, np.nan, "f4"), np.zeros((3, 3)), np.arange(8), np.ones((2, 8))),
    *(np.full((2, 8), np.inf), np.array(["a", "b"], object), np.array(["lung"] * 8, object)),
    *({}, {"a": 1}, {"weights": {}}, pd.DataFrame({"a": [1.0]}), np.array(["lung"] * 3, object)),
    np.rec.fromarrays([np.zeros(2), np.zeros(2)], names="x,y"),
]


def edit_stored(group: Any, rng: np.random.Generator, write: Callable[..., None]) -> None:
    """Drop or replace something in what is stored of a fit."""
    where = _any(rng, ["uns", "uns", "uns", "uns", "layers", "obs", "obsm", "var"])
    node, name = group[where], ""
    while hasattr(node, "keys") and len(node) and (not name or rng.random() < 0.75):
        parent, name = node, _any(rng, node.keys())
        node = parent[name]
    if not name:
        return
    if rng.random() < 0.25:
        del parent[name]
    elif rng.random() < 0.2 and not hasattr(node, "keys") and node.ndim:
        value = node[...]
        del parent[name]
        write(parent, name, value[: rng.integers(len(value) + 1)] if len(value) else value)
    else:
        del parent[name]
        write(parent, name, VALUES[rng.integers(len(VALUES))])


# How files are used.


def use_gmt(path: Path, good: Good) -> None:
    sp.pp.gene_set(good.adata, path, copy=True)


def use_gct(path: Path, _: Good) -> None:
    adata = sp.datasets.read_gct(path)
    if not np.isfinite(adata.X).all() or adata.shape != (len(adata.obs_names), len(adata.var)):
        msg = "not every value is finite"
        raise AssertionError(msg)


def use_model(path: Path, good: Good) -> None:
    model = sp.get.PerturbationModel.load(path)
    for target in model.targets:
        check_perturbed(model.towards(target).perturb(good.adata.X))


def check_perturbed(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        msg = "what was perturbed is not finite"
        raise AssertionError(msg)


def perturb_new(fitted: ad.AnnData, good: Good) -> None:
    new = good.adata.copy()
    sp.tl.perturb(new, reference=fitted)
    check_perturbed(new.layers["xadv"])


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
    # A lookup that failed is a KeyError as well, but none that we raised.
    was_raised = frames[-1].filename.startswith(PACKAGE) and str(frames[-1].line).startswith(
        "raise"
    )
    is_ours = isinstance(error, OURS) and was_raised
    # Opening a file that is not there is an error of Python's own that names it.
    is_ours |= isinstance(error, FileNotFoundError)
    if not is_ours:
        return f"{type(error).__name__} in {own[-1] if own else frames[-1].name}"
    return REFUSED if name in str(error) else f"file not named in {own[-1]}"


def run_case(form: str, kind: str, seed: int, good: Good, folder: Path) -> str:
    """Damage one file and use it; returns what came of it."""
    rng = np.random.default_rng(seed)
    mark = folder / "executed"
    path, use = damage(form, kind, rng, good, folder / str(seed), mark)
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


def damage(
    form: str, kind: str, rng: np.random.Generator, good: Good, folder: Path, mark: Path
) -> tuple[Path, Callable[[Path, Good], None]]:
    folder.mkdir()
    simple: dict[str, Damage] = {
        "none": lambda body, _: body,
        "truncated": truncated,
        "bits flipped": flipped,
        "spliced": spliced,
        "another type": partial(of_another_type, good=good, mark=mark),
    }
    if form in ("GMT", "GCT", "GCT, gzip"):
        body = {"GMT": good.gmt, "GCT": good.gct}.get(form) or gzip.compress(good.gct, mtime=0)
        thought_out = {"GMT": HOSTILE_GMT, "GCT": HOSTILE_GCT}.get(form, HOSTILE_GZIP)
        change = simple.get(kind) or _any(rng, thought_out)
        path = folder / ("a.gmt" if form == "GMT" else "a.gct")
        path.write_bytes(change(body, rng))
        return path, use_gmt if form == "GMT" else use_gct
    use: Callable[[Path, Good], None] = use_stored
    if kind != "none":
        use = partial(use_stored, uses=[_any(rng, USES) for _ in range(N_USES)])
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
        name = _any(rng, files) if kind != "none" else next(iter(files))
        files[name] = simple[kind](files[name], rng)
    elif form == "model":
        without_digest(files)
        _any(rng, HOSTILE_MODEL)(files, rng)
    for name, body in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(body)
    if form == "model":
        return path, use_model
    if kind not in simple:
        edit_stored(zarr.open_group(path, mode="r+"), rng, ad.io.write_elem)
    return path, use


# All cases, in processes that may die.


def plan(n_cases: int, seed: int) -> Iterator[tuple[str, str, int]]:
    """Format, kind of damage and seed of each case."""
    rng = np.random.default_rng(seed)
    total = sum(SHARES.values())
    for form, share in SHARES.items():
        for place in range(round(n_cases * share / total)):
            yield form, KINDS[place % len(KINDS)], int(rng.integers(2**62))


def work(cases: list[tuple[str, str, int]], good: Good, folder: Path, answers: Any) -> None:
    """Run cases and send what came of each, with little memory to spare."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = pages * resource.getpagesize() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    for case in cases:
        answers.send(run_case(*case, good, folder))


def run(cases: list[tuple[str, str, int]], good: Good, folder: Path) -> Iterator[str]:
    """What came of each case; a process that dies or hangs is ended, and a new one goes on."""
    context = multiprocessing.get_context("fork")
    done = 0
    while done < len(cases):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(cases[done:], good, folder, theirs))
        process.start()
        theirs.close()
        while done < len(cases):
            try:
                outcome = ours.recv() if ours.poll(SECONDS) else "hang"
            except EOFError:
                process.join()
                outcome = f"crash ({process.exitcode})"
            if outcome not in FINE:
                print(*cases[done], outcome, flush=True)
            done += 1
            yield outcome
            if outcome == "hang" or outcome.startswith("crash"):
                break
        process.kill()
        process.join()


def report(cases: list[tuple[str, str, int]], outcomes: list[str], seconds: float) -> str:
    counts: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for (form, kind, _), outcome in zip(cases, outcomes, strict=True):
        counts[form, kind][outcome if outcome in FINE else "fault"] += 1
    columns = [REFUSED, READ, BY_READER, "fault"]
    rows = [
        [form, kind, sum(count.values()), *(count[name] for name in columns)]
        for (form, kind), count in counts.items()
    ]
    rows.append(["all", "", len(cases), *(sum(row[i] for row in rows) for i in range(3, 7))])
    header = ["format", "damage", "cases", *columns]
    table = "\n".join(
        "| " + " | ".join(map(str, row)) + " |" for row in (header, ["---"] * len(header), *rows)
    )
    faults = collections.Counter(
        f"{case[0]}, {case[1]}: {outcome}"
        for case, outcome in zip(cases, outcomes, strict=True)
        if outcome not in FINE
    )
    listed = "\n".join(f"- {n} × {what}" for what, n in faults.most_common())
    return f"{table}\n\n{len(cases):,} cases in {seconds:.0f} s.\n" + (
        f"\n{listed}\n" if listed else ""
    )


ABOUT = """# Damaged and hostile files

By `benchmarks/fuzz.py`, seed {seed}. *refused*: a `ValueError`, `TypeError`, `KeyError` or `FileNotFoundError`
that this package raises and that names the file (of h5ad and zarr files, which anndata reads: what
in the AnnData is damaged). *read*: the damage left a sound file; what it gives is finite. *fault*: any
other error, a crash, a minute without an answer, more than 1.5 GB of memory, or code that was run.

"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+", default=list(SHARES))
    parser.add_argument("--print-only", action="store_true")
    options = parser.parse_args()
    sp.settings.progress_bar = False
    logging.getLogger("scgan_perturb").setLevel(logging.ERROR)
    small_networks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = make_good(folder)
        cases = [c for c in plan(options.cases, options.seed) if c[0] in options.formats]
        start = time.time()
        outcomes = list(run(cases, good, folder))
    text = report(cases, outcomes, time.time() - start)
    print(text)
    if not options.print_only:
        (RESULTS / "fuzz.md").write_text(ABOUT.format(seed=options.seed) + text, encoding="utf-8")


if __name__ == "__main__":
    main()
