"""The stored form of a ranking: of groups as scanpy reads it, of contexts as plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..data._contexts import context_positions

if TYPE_CHECKING:
    from ..models._perturbation_model import PerturbationModel

Table: TypeAlias = dict[str, np.ndarray]


def group_arrays(genes: np.ndarray, tables: dict[str, Table]) -> dict[str, np.recarray]:
    """Genes and columns as structured arrays, a field a group, each by falling score.

    Parameters
    ----------
    genes
        Their names.
    tables
        Columns of each group, a number a gene.
    """
    order = {group: np.argsort(-table["scores"], kind="stable") for group, table in tables.items()}
    ranked = {"names": _structured({group: genes[order[group]] for group in tables}, object)}
    for name in next(iter(tables.values())):
        columns = {group: table[name][order[group]] for group, table in tables.items()}
        ranked[name] = _structured(columns, np.float32)
    nothing = {group: np.full(len(genes), np.nan) for group in tables}
    return ranked | {name: _structured(nothing, np.float64) for name in ("pvals", "pvals_adj")}


def context_arrays(
    model: PerturbationModel,
    genes: np.ndarray,
    tables: dict[str, Table],
    n_samples: list[int],
) -> dict[str, np.ndarray]:
    """Genes and columns as plain arrays, contexts × genes.

    Contexts are values here, not names of fields: there can be thousands, as donors × cell types.

    Parameters
    ----------
    model
        The model, which knows how many samples of its target trained in each context.
    genes
        Their names.
    tables
        Columns of each context, a number a gene.
    n_samples
        Number of ranked samples of each context.
    """
    names = np.array(list(tables), dtype=object)
    at = context_positions(model.contexts, names)
    n_target = np.asarray(model.params["n_train"], dtype=np.int64)[model.target_class]
    columns = next(iter(tables.values()))
    return {
        "contexts": names,
        "names": genes,
        "n_samples": np.array(n_samples),
        "n_target": np.where(at < 0, 0, n_target[at]),
        **{
            name: np.stack([table[name] for table in tables.values()]).astype(np.float32)
            for name in columns
        },
    }


def _structured(columns: dict[str, np.ndarray], dtype: type) -> np.recarray:
    # Labels are names of fields, as scanpy has it; these may hold any character, "/" too. A dict
    # also allows the empty label.
    dtypes = np.dtype({"names": list(columns), "formats": [dtype] * len(columns)})
    return np.rec.fromarrays(list(columns.values()), dtype=dtypes)
