"""The changes by a fit, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from .._keys import TSPG, tspg_keys
from .._messages import unknown_name
from .._recipes import PAPER
from ..data._blocks import dense
from ..data._expression import find_expression, layer_names, read_expression
from ..data._labels import several
from ..metrics._intervals import percentile_interval
from ..models._perturbation_model import N_DRAWS_EXPECTED
from ..storage._identity import reader_of_fit
from ._model import checked_model
from ._resampled import resampled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ..data._blocks import Matrix
    from ..data._matrix import ExpressionMatrix
    from ..models._perturbation_model import PerturbationModel

ORIGINAL, PERTURBED = "original", "perturbed"


class BeforeAfter(NamedTuple):
    """Original and perturbed samples × the model's genes, input units."""

    names: pd.Index
    before: np.ndarray
    after: np.ndarray


def read_samples(
    adata: AnnData,
    model: PerturbationModel,
    rows: np.ndarray,
    key: str,
    *,
    n_draws: int = 0,
    accelerator: str = "auto",
) -> BeforeAfter:
    """Original and perturbed expression of the samples at `rows`; KeyError without the layer.

    Without draws the perturbed expression is that of the layer, else their mean.
    """
    xadv, reader = find_layer(adata, key), reader_of_fit(adata, model)
    before, after = (dense(matrix[rows][:, reader.positions]) for matrix in (reader.matrix, xadv))
    if n_draws and model.params.get("recipe") != PAPER:
        perturbed = was_perturbed(adata, key)[rows]
        after = np.array(after, dtype=np.float32)  # the layer stays as it is
        after[perturbed] = model.expected(
            before[perturbed],
            context=reader.contexts_of(rows[perturbed]),
            n_draws=n_draws,
            accelerator=accelerator,
        )
    return BeforeAfter(adata.obs_names[rows], before, after)


def read_layer(adata: AnnData, key: str) -> Matrix:
    """The perturbed layer in memory; errors as those of :func:`find_layer`, TypeError on disk."""
    find_layer(adata, key)
    return read_expression(adata, tspg_keys(key).layer)


def find_layer(adata: AnnData, key: str) -> ExpressionMatrix:
    """The perturbed layer; KeyError if it is not there, ValueError if it holds no numbers."""
    layer = tspg_keys(key).layer
    if layer not in adata.layers:
        remedy = "Call sp.tl.perturb(adata) to write it."
        raise unknown_name("Layer", layer, layer_names(adata), remedy)
    return find_expression(adata, layer)


def was_perturbed(adata: AnnData, key: str) -> np.ndarray:
    """Which samples were perturbed, as a boolean array; KeyError if this is not stored."""
    column = tspg_keys(key).predicted
    if column not in adata.obs:
        remedy = "Call sp.tl.perturb(adata) to write it."
        raise unknown_name("Column", column, adata.obs.columns, remedy)
    return adata.obs[column].notna().to_numpy()


def find_rows(adata: AnnData, obs_names: object | None) -> np.ndarray:
    """Positions of the named samples, or of all for None; ValueError if sample names repeat."""
    if obs_names is None:
        return np.arange(adata.n_obs)
    if not adata.obs_names.is_unique:
        msg = "Sample names occur more than once. Call adata.obs_names_make_unique() first."
        raise ValueError(msg)
    names = several(obs_names)
    rows = adata.obs_names.get_indexer(pd.Index(names))
    if (rows < 0).any():
        raise unknown_name("Sample", names[int(np.argmin(rows))], adata.obs_names)
    return rows


def perturbation(
    adata: AnnData,
    obs_names: str | Sequence[str] | None = None,
    *,
    units: Literal["input", "scaled"] = "input",
    expected: bool = False,
    key: str = TSPG,
) -> pd.DataFrame:
    """The change of each gene in each sample, x_adv − x.

    The layer holds one draw of each sample: it could exist, and another draw could as well. What
    to expect of a gene is the mean over draws.

    Parameters
    ----------
    adata
        AnnData with a fit and its perturbed layer.
    obs_names
        Sample or samples; None for all.
    units
        `"input"` for the units of the data, `"scaled"` for shares of each gene's range over
        the training samples, in [-1, 1]. This is P after clipping.
    expected
        Whether to return the mean over 16 draws in place of the draw in the layer. Recipe "paper"
        draws nothing: both are the same.
    key
        Name of the fit.

    Returns
    -------
    DataFrame, samples × genes of the model.

    Raises
    ------
    KeyError
        If there is no such fit, layer or sample.
    ValueError
        If `units` is neither of the two, or the expression has changed since the fit.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.get.perturbation(adata, adata.obs_names[:2]).shape
    (2, 765)
    """
    if units not in ("input", "scaled"):
        msg = f"units must be 'input' or 'scaled', not {units!r}."
        raise ValueError(msg)
    model = checked_model(adata, key)
    n_draws = N_DRAWS_EXPECTED if expected else 0
    samples = read_samples(adata, model, find_rows(adata, obs_names), key, n_draws=n_draws)
    before, after = samples.before, samples.after
    if units == "scaled":
        before, after = model.scaler.scale(before), model.scaler.scale(after)
    return pd.DataFrame(after - before, index=samples.names, columns=model.genes)


def transition(
    adata: AnnData,
    obs_name: str,
    *,
    expected: bool = True,
    n_bootstrap: int = 0,
    seed: int = 0,
    key: str = TSPG,
) -> pd.DataFrame:
    """One sample's transition to the target, gene by gene, as in the paper's heatmaps.

    Parameters
    ----------
    adata
        AnnData with a fit and its perturbed layer.
    obs_name
        The sample.
    expected
        Whether to show what to expect, the mean over 16 draws; False for the draw in the layer.
        Recipe "paper" draws nothing: both are the same.
    n_bootstrap
        Number of resamplings of the training samples, with replacement within each class, for an
        interval of each perturbation; 0 for no intervals. Recipe "transport" only.
    seed
        Seed of these draws.
    key
        Name of the fit.

    Returns
    -------
    DataFrame with one row per gene, from the most increased to the most decreased. Columns, all scaled
    to the range of the training samples: `x` (the sample), `perturbation` (in [-1, 1], after
    clipping), `xadv` (perturbed) and `target_mean` (paper, section 2.3); with `n_bootstrap`
    also `low` and `high`, the ends of the 95 % interval of the perturbation, which shows how much
    it depends on the training samples of each class. The factors are held fixed.

    Raises
    ------
    KeyError
        If there is no such fit, layer or sample.
    ValueError
        If the expression has changed since the fit, several samples are named, sample names
        repeat, or intervals are requested for recipe "paper".

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> list(sp.get.transition(adata, adata.obs_names[0]).columns)
    ['x', 'perturbation', 'xadv', 'target_mean']
    """
    model = checked_model(adata, key, labels=bool(n_bootstrap), training=bool(n_bootstrap))
    if not isinstance(obs_name, str):
        msg = f"obs_name must be the name of one sample, not {obs_name!r}."
        raise ValueError(msg)
    rows, n_draws = find_rows(adata, obs_name), N_DRAWS_EXPECTED if expected else 0
    samples = read_samples(adata, model, rows, key, n_draws=n_draws)
    x, xadv, mean = model.scaler.scale(
        np.vstack([samples.before, samples.after, model.target_mean])
    )
    table = pd.DataFrame(
        {"x": x, "perturbation": xadv - x, "xadv": xadv, "target_mean": mean}, index=model.genes
    )
    if n_bootstrap:
        models = resampled(adata, model, n_bootstrap=n_bootstrap, seed=seed, key=key)
        n_draws = max(n_draws, 1)
        context = reader_of_fit(adata, model).contexts_of(rows)
        draws = (one.expected(samples.before, context=context, n_draws=n_draws) for one in models)
        changes = [model.scaler.scale(perturbed)[0] - x for perturbed in draws]
        table["low"], table["high"] = percentile_interval(np.stack(changes))
    return table.sort_values("perturbation", ascending=False, kind="stable")


def perturbed_adata(adata: AnnData, *, key: str = TSPG) -> AnnData:
    """Originals and perturbed samples in one AnnData, for scanpy to work on.

    Parameters
    ----------
    adata
        AnnData with a fit and its perturbed layer.
    key
        Name of the fit.

    Returns
    -------
    AnnData with all originals, followed by the samples that were perturbed, named
    `<sample>-perturbed`. `obs['tspg_state' | f'{key}_state']` says `original` or `perturbed`;
    the other columns of `obs` and `var` and the colours in `uns` are kept.

    Raises
    ------
    KeyError
        If there is no such fit or layer.
    ValueError
        If the expression has changed since the fit.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.get.perturbed_adata(adata).obs["tspg_state"].value_counts().to_dict()
    {'original': 700, 'perturbed': 700}
    """
    model, keys = checked_model(adata, key), tspg_keys(key)
    rows = was_perturbed(adata, key)
    original = read_expression(adata, model.params.get("layer"))
    changed = read_layer(adata, key)[rows]
    obs = adata.obs[rows].set_axis(adata.obs_names[rows] + "-perturbed")
    both = ad.concat(
        {
            ORIGINAL: ad.AnnData(original.astype(np.float32), obs=adata.obs, var=adata.var),
            PERTURBED: ad.AnnData(
                sparse.csr_matrix(changed) if sparse.issparse(original) else dense(changed),
                obs=obs,
                var=adata.var,
            ),
        },
        label=keys.state,
        merge="same",
    )
    both.uns = {name: value for name, value in adata.uns.items() if name.endswith("_colors")}
    return both
