"""A fitted model as a folder: safetensors for arrays, JSON for the rest, nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .._digests import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Model = TypeVar("Model")
FORMAT = 1
JSON_FILE = "model.json"
ARRAYS_FILE = "weights.safetensors"
DIGEST = "digest"
TEXT_PARTS = ("params", "genes", "classes")


def save_parts(parts: Mapping[str, Any], folder: str | Path) -> None:
    """Write the parts of a model into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = {name: parts[name] for name in TEXT_PARTS}
    others = {n: part for n, part in parts.items() if n not in (*TEXT_PARTS, "weights")}
    arrays = {**parts["weights"], **others}
    body = save({n: np.asarray(a, order="C") for n, a in arrays.items()})
    text = json.loads(json.dumps({"format": FORMAT, **text}, default=_plain))
    text[DIGEST] = _digest(text, body)
    (folder / ARRAYS_FILE).write_bytes(body)
    (folder / JSON_FILE).write_text(json.dumps(text, indent=1), encoding="utf-8")


def load_parts(folder: str | Path, build: Callable[[dict[str, Any]], Model]) -> Model:
    """Read the parts of a model from a folder, and build it; errors as for a model's `load`."""
    folder = Path(folder)
    for name in (JSON_FILE, ARRAYS_FILE):
        if not (folder / name).is_file():
            msg = f"{folder} holds no {name}: it is not a folder that model.save() wrote."
            raise FileNotFoundError(msg)
    try:
        text = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
        body = (folder / ARRAYS_FILE).read_bytes()
        _check_format(text)
        _check_digest(text, body)
        arrays = load(body)
        return build({**text, **arrays, "weights": arrays})
    # For types that NumPy lacks, safetensors raises KeyError or others, by version.
    except (ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
        msg = f"The model in {folder} cannot be read: {error}"
        raise ValueError(msg) from error


def _check_format(text: Any) -> None:
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        msg = f"{JSON_FILE} is not of format {FORMAT}; a newer version may have written it."
        raise ValueError(msg)


def _check_digest(text: dict[str, Any], body: bytes) -> None:
    if DIGEST in text and text.pop(DIGEST) != _digest(text, body):
        msg = "its files are damaged, were changed or belong to two models."
        raise ValueError(msg)


def _digest(text: dict[str, Any], body: bytes) -> str:
    """A hash of both files, which detects flipped bits."""
    return digest(json.dumps(text, sort_keys=True), body, separator=b"")


def _plain(value: Any) -> Any:
    """NumPy's arrays and numbers as types of JSON."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    msg = f"{type(value).__name__} cannot be written to JSON."
    raise TypeError(msg)
