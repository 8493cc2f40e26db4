"""What can be wrong with a file: damage at random, and files that were made to do harm."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from safetensors.numpy import load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Damage = Callable[[bytes, np.random.Generator], bytes]
    Files = dict[str, bytes]
    Edit = Callable[[Files, np.random.Generator], object]


def any_of(rng: np.random.Generator, choices: Any) -> Any:
    """One of them, at random."""
    choices = list(choices)
    return choices[rng.integers(len(choices))]


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


def of_another_type(
    _: bytes, rng: np.random.Generator, *, others: Sequence[bytes], mark: Path
) -> bytes:
    """A file of another kind: one of `others`, or a pickle that leaves the file `mark`."""
    contents = [
        b"",
        b"\0" * 5000,
        rng.bytes(int(rng.integers(1, 5000))),
        b"<!DOCTYPE html>\n<html><body>Log in first</body></html>\n",
        b"a,b\n1,2\n",
        "text".encode("utf-16"),
        pickle.dumps(Payload(mark)),
        *others,
    ]
    return any_of(rng, contents)


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


def without_digest(files: Files) -> None:
    """As one who means harm would have it."""
    text = json.loads(files["model.json"])
    text.pop("digest")
    files["model.json"] = json.dumps(text).encode()


def _edit_json(**changes: Any) -> Edit:
    def edit(files: Files, _: np.random.Generator) -> None:
        files["model.json"] = json.dumps({**json.loads(files["model.json"]), **changes}).encode()

    return edit


def _edit_params(**changes: Any) -> Edit:
    def edit(files: Files, _: np.random.Generator) -> None:
        text = json.loads(files["model.json"])
        text["params"] = {k: v for k, v in {**text["params"], **changes}.items() if v != "drop"}
        files["model.json"] = json.dumps(text).encode()

    return edit


def _plain_json(body: bytes) -> Edit:
    return lambda files, _: files.update({"model.json": body})


def _header(change: Callable[[dict[str, Any], np.random.Generator], object]) -> Any:
    """Change the header of the safetensors file, and leave its data as they are."""

    def edit(files: Files, rng: np.random.Generator) -> None:
        body = files["weights.safetensors"]
        (size,) = struct.unpack("<Q", body[:8])
        header = json.loads(body[8 : 8 + size])
        change(header, rng)
        text = json.dumps(header).encode()
        files["weights.safetensors"] = struct.pack("<Q", len(text)) + text + body[8 + size :]

    return edit


def _arrays(change: Callable[[dict[str, np.ndarray], np.random.Generator], object]) -> Any:
    """Change arrays of the safetensors file and write a sound file of them."""

    def edit(files: Files, rng: np.random.Generator) -> None:
        arrays = load(files["weights.safetensors"])
        change(arrays, rng)
        files["weights.safetensors"] = save(arrays)

    return edit


def _set_one(value: float) -> Callable[[dict[str, np.ndarray], np.random.Generator], None]:
    def change(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        name = any_of(rng, arrays)
        arrays[name] = arrays[name].copy()
        arrays[name].flat[rng.integers(max(arrays[name].size, 1))] = value

    return change


def _replace_one(make: Callable[[np.ndarray], np.ndarray]) -> Any:
    def change(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
        name = any_of(rng, arrays)
        arrays[name] = np.ascontiguousarray(make(arrays[name]))

    return change


def _many(files: Files, _: np.random.Generator, *, genes: int, classes: int) -> None:
    """A few MB that name networks of many GB."""
    names = [f"g{i}" for i in range(genes)]
    labels = ["lung", "thyroid", *(f"c{i}" for i in range(classes))]
    _edit_json(genes=names, classes=labels)(files, _)
    sizes = {"scale_min": np.zeros(genes), "scale_max": np.ones(genes)}
    sizes |= {"target_means": np.zeros((2, genes)), "target_mean": np.zeros(genes)}
    _arrays(lambda arrays, _: arrays.update({k: v.astype("f4") for k, v in sizes.items()}))(
        files, _
    )


def _one_tensor(header: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    return header[any_of(rng, [name for name in header if name != "__metadata__"])]


HOSTILE_MODEL = [
    *map(_plain_json, [b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000, b"null", b"[]", b'"text"',
                       b'{"format": 1}', b'{"format": ' + b"1" * 10_000 + b"}", b"NaN", b"\0" * 99]),
    *(_edit_json(**{name: value}) for name in ("genes", "classes", "params", "format")
      for value in (None, 5, 1e99, "text", [], {}, ["a"], [["a"]] * 8, [None] * 8, {"a": 1}, [1] * 3)),
    *(_edit_params(**{name: value}) for name in ("target", "targets", "layer", "recipe", "groupby", "source")
      for value in ("drop", None, 5, [], {}, ["lung"], [["lung", "thyroid"]], "heart", "", [5, "lung"])),
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
    _header(lambda header, rng: header.pop(any_of(rng, header))),
    _header(lambda header, _: header.update({"__metadata__": {"a": "b" * 100_000}})),
    lambda files, _: files.update({"weights.safetensors": struct.pack("<Q", 2**63) + b"{}"}),
    lambda files, _: files.update({"weights.safetensors": struct.pack("<Q", 2) + b"{}"}),
    *(_arrays(_set_one(value)) for value in (np.nan, np.inf, -np.inf, 1e38, -1e38)),
    *(_arrays(_replace_one(make)) for make in (
        np.transpose, lambda a: a[..., None], lambda a: a[:0], np.ravel, lambda _: np.zeros(0, "f4"),
        lambda a: a.astype(np.float64), lambda a: a.astype(np.int8), lambda a: a > 0, lambda a: -a)),
    _arrays(lambda arrays, rng: arrays.pop(any_of(rng, arrays))),
    _arrays(lambda arrays, _: arrays.update(more=np.zeros(3))),
    _arrays(lambda arrays, _: arrays.update(scale_min=arrays["scale_max"], scale_max=arrays["scale_min"])),
    lambda files, rng: files.pop(any_of(rng, files)),
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
    where = any_of(rng, ["uns", "uns", "uns", "uns", "layers", "obs", "obsm", "var"])
    node, name = group[where], ""
    while hasattr(node, "keys") and len(node) and (not name or rng.random() < 0.75):
        parent, name = node, any_of(rng, node.keys())
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


DAMAGES = {"truncated": truncated, "bits flipped": flipped, "spliced": spliced}
HOSTILE = {"GMT": HOSTILE_GMT, "GCT": HOSTILE_GCT, "GCT, gzip": HOSTILE_GZIP}
