"""Names of results: what a user has stored under one of them is not overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
from anndata import AnnData

from .._keys import EVALUATION, EVALUATION_PARAMS, IDENTITY, TEST, TRAIN, TspgKeys
from ._file import writable_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._keys import ClassifierKeys
    from ..data._matrix import ExpressionMatrix

PARAMS, RECIPE, GROUPBY = "params", "recipe", "groupby"
FIT_PARTS = {
    *(PARAMS, "genes", "classes", "scale_min", "scale_max", "weights", "history"),
    *("labels_digest", "expression_digest"),  # of a classifier
    *("target_mean", "target_means", IDENTITY, EVALUATION, EVALUATION_PARAMS),  # of a generator
}


def check_fit_names(
    adata: AnnData,
    keys: TspgKeys | ClassifierKeys,
    matrix: ExpressionMatrix,
    *,
    keep: object = None,
) -> None:
    """Raise ValueError if a fit would overwrite anything but an earlier fit of its name.

    Parameters
    ----------
    adata, keys
        The AnnData, and the names that the fit writes.
    matrix
        The expression: the results are written to its file as well.
    keep
        A column that the fit reads and writes unchanged.
    """
    columns = [name for name in (keys.split, keys.predicted) if name != keep]
    if isinstance(keys, TspgKeys):
        written = {"layers": [keys.layer], "obs": [*columns, keys.probability]}
        check_free(adata, keys.uns, _is_generator, written, matrix=matrix)
    else:
        check_free(adata, keys.uns, _is_classifier, {"obs": columns}, matrix=matrix)


def check_free(
    adata: AnnData,
    key: str,
    is_result: Callable[[Any], bool],
    written: Mapping[str, Sequence[str]] | None = None,
    *,
    matrix: ExpressionMatrix | None = None,
) -> None:
    """Raise ValueError if a name is in use and `uns[key]` is no earlier result of the same kind.

    Parameters
    ----------
    adata, key
        The AnnData, and the name of the result in `uns`.
    is_result
        Whether an entry of `uns` is such a result, or the unfinished part of one.
    written
        Further names that the result is written to, by attribute.
    matrix
        The expression, if the result is written to its file as well.
    """
    names = [("uns", key), *((part, n) for part, ns in (written or {}).items() for n in ns)]
    for holder in (adata, None if matrix is None else writable_file(matrix)):
        if holder is None or (key in (uns := _part(holder, "uns")) and is_result(uns[key])):
            continue
        taken = [f"adata.{part}[{n!r}]" for part, n in names if _is_taken(holder, part, n)]
        if taken:
            msg = (
                f"The result {key!r} would overwrite {', '.join(taken)}, which "
                f"{'is' if len(taken) == 1 else 'are'} not of an earlier result of this name. Choose "
                "another key_added, or rename or delete what is there."
            )
            raise ValueError(msg)


def holds(stored: object, *names: str) -> bool:
    """Whether a dict, or a group of a file, has all these entries."""
    return hasattr(stored, "keys") and set(names) <= set(stored.keys())


def _part(holder: Any, part: str) -> Any:
    """An attribute of an AnnData, or its group in a file."""
    if isinstance(holder, AnnData):
        return getattr(holder, part)
    return holder.get(part, {})


def _is_taken(holder: Any, part: str, name: str) -> bool:
    values = _part(holder, part)
    if name not in values:
        return False
    if part == "obs" and name.endswith("_split"):  # a stopped fit can leave its split
        column = values[name] if isinstance(holder, AnnData) else ad.io.read_elem(values[name])
        return not set(column) <= {TRAIN, TEST}
    return True


def _is_generator(stored: object) -> bool:
    return holds(stored, "target_mean") or _is_fit(stored, RECIPE)


def _is_classifier(stored: object) -> bool:
    return not holds(stored, "target_mean") and _is_fit(stored, GROUPBY, without=RECIPE)


def _is_fit(stored: Any, param: str, *, without: str | None = None) -> bool:
    """Whether this is a fit with such a parameter, or what a stopped process wrote of a fit."""
    if not holds(stored) or (not holds(stored, "genes") and not set(stored.keys()) <= FIT_PARTS):
        return False
    params = stored[PARAMS] if holds(stored, PARAMS) else {}
    if not holds(params):
        return False
    is_begun = not set(params.keys()) and not holds(stored, EVALUATION)
    return is_begun or (holds(params, param) and not (without and holds(params, without)))
