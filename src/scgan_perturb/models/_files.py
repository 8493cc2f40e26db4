"""A fitted model as a folder: safetensors for arrays, JSON for the rest, nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ._parts import model_from_parts, model_to_parts

if TYPE_CHECKING:
    from ._fitted import PerturbationModel

FORMAT = 1
JSON_FILE = "model.json"
ARRAYS_FILE = "weights.safetensors"
TEXT_PARTS = ("params", "genes", "classes")


def save_model(model: PerturbationModel, folder: str | Path) -> None:
    """Write a model into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = model_to_parts(model)
    text = {name: parts.pop(name) for name in TEXT_PARTS}
    arrays = {**parts.pop("weights"), **parts}
    save_file({n: np.asarray(a, order="C") for n, a in arrays.items()}, folder / ARRAYS_FILE)
    (folder / JSON_FILE).write_text(
        json.dumps({"format": FORMAT, **text}, indent=1, default=_plain), encoding="utf-8"
    )


def load_model(folder: str | Path) -> PerturbationModel:
    """Read a model from a folder.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of the two files.
    ValueError
        If a file is damaged or does not fit the other.
    """
    folder = Path(folder)
    for name in (JSON_FILE, ARRAYS_FILE):
        if not (folder / name).is_file():
            msg = f"{folder} holds no {name}: it is not a folder that model.save() wrote."
            raise FileNotFoundError(msg)
    try:
        text = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
        arrays = load_file(folder / ARRAYS_FILE)
        _check_format(text)
        model = model_from_parts({**text, **arrays, "weights": arrays})
        # Building the networks shows whether the weights fit.
        model.network()
        model.classifier.network()
    except (ValueError, SafetensorError) as error:
        msg = f"The model in {folder} cannot be read: {error}"
        raise ValueError(msg) from error
    return model


def _check_format(text: Any) -> None:
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        msg = f"{JSON_FILE} is not of format {FORMAT}; a newer version may have written it."
        raise ValueError(msg)


def _plain(value: Any) -> Any:
    """NumPy's arrays and numbers as JSON knows them."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    msg = f"{type(value).__name__} cannot be written to JSON."
    raise TypeError(msg)
