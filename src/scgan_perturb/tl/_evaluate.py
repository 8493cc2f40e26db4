"""Judge a fit on held-out samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._checks import check_count
from .._keys import ALL, EVALUATION, EVALUATION_PARAMS, TEST, TSPG, tspg_keys
from .._seeds import Rng, resolve_seed, spawn_seeds
from ..data._blocks import is_finite
from ..data._expression import ELSEWHERE, find_expression, match_genes
from ..data._labels import read_labels, several
from ..get import model as get_model
from ..get._perturbation import find_layer
from ..metrics._two_sample import IndependentClassifiers
from ..storage._arguments import leave_view, to_write_to
from ..storage._file import store_results
from ._judge import SUCCESS, TargetSamples, judge_target
from ._verdict import log_verdict, warn_of_better_baselines

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..data._expression import Expression
    from ..models._perturbation_model import PerturbationModel
    from ._judge import Witnesses

MAX_TRAINING = 1000  # samples of a class that baselines and independent classifiers learn from


def evaluate(
    adata: AnnData,
    *,
    n_bootstrap: int = 200,
    max_samples: int = 2000,
    accelerator: str = "auto",
    rng: Rng = 0,
    key: str = TSPG,
    copy: bool = False,
) -> AnnData | None:
    """Measure how real the perturbed samples are, beside baselines and the real-against-real floor.

    Held-out samples of the source classes, perturbed, are compared with held-out real samples of
    the target, all scaled as in the fit. The baselines learn from the training samples. A
    warning names those that come nearer to real samples than the model does, unless it is as near
    as real samples are to each other, or cannot be told from them (an E-distance of 0 or less).

    Parameters
    ----------
    adata
        AnnData with a fit, its perturbed layer and its labels. Of samples that are not in memory
        those that are drawn are read, and perturbed where there is no layer.
    n_bootstrap
        Number of resamplings for the intervals; 0 for no intervals.
    max_samples
        Number of held-out samples compared, of the sources and of the target, at most; more are
        drawn at random from. Baselines learn from 1,000 samples of a class, at most.
    accelerator
        Device as Lightning Fabric names them: `"auto"`, `"cpu"`, `"cuda"`, `"mps"`.
    rng
        Seed or generator; None for another result each time.
    key
        Name of the fit.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['tspg' | key]['evaluation']` : :class:`pandas.DataFrame`
        A row a source (`"all"` for all together, then each class) and method; read it with
        :func:`~scgan_perturb.get.evaluation_df`, which describes the columns. Methods:

        `"untouched source"`
            The samples as they are.
        `"global mean shift"`, `"linear Gaussian transport"`
            See :func:`~scgan_perturb.metrics.global_mean_shift` and
            :func:`~scgan_perturb.metrics.linear_gaussian_transport`.
        `"class mean shift"`, `"diagonal Gaussian transport"`, `"full Gaussian transport"`
            Told the label of each sample, which the model is not, see
            :func:`~scgan_perturb.metrics.class_mean_shift`,
            :func:`~scgan_perturb.metrics.diagonal_gaussian_transport` and
            :func:`~scgan_perturb.metrics.full_gaussian_transport`. A class without training
            samples is moved by the global shift.
        `"nearest target sample"`, `"random target sample"`
            Training samples of the target: real, but other individuals' samples.
        `"this model"`
            The perturbed layer. A last row, whose source is the target, is of held-out samples
            that are the target already: a good model leaves them alone.
        `"real target"`
            Training samples of the target: the floor. Its `success` is of held-out ones.
    `adata.uns['tspg' | key]['evaluation_params']` : :class:`dict`
        `n_bootstrap`, `max_samples`, `seed`, `n_real`, the number of real samples compared
        with, and `mmd_width`, the width of the kernel of the MMD (the median distance among these).

    Raises
    ------
    KeyError
        If there is no such fit, layer, split or label column.
    ValueError
        If fewer than two samples of the sources or of the target were held out or trained, or a
        label is called `"all"`.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(max_epochs=2))
    >>> sp.tl.evaluate(adata)
    >>> table = sp.get.evaluation_df(adata).set_index("method")
    >>> bool(table.loc["real target", "e_distance"] < table.loc["untouched source", "e_distance"])
    True
    """
    check_count("n_bootstrap", n_bootstrap, least=0)
    check_count("max_samples", max_samples, least=2)
    adata = to_write_to(adata, copy=copy)
    seed = resolve_seed(rng)
    model = get_model(adata, key=key)
    labels = read_labels(adata, model.params["groupby"])
    held_out = _read_held_out(adata, model, key)
    draws = spawn_seeds(seed).evaluate
    samples, everyone = _read_samples(
        adata,
        model,
        labels,
        held_out,
        max_samples=max_samples,
        accelerator=accelerator,
        seed=draws,
        key=key,
    )
    witnesses = _witnesses(model, *everyone, accelerator=accelerator, seed=draws)
    table, width = judge_target(samples, witnesses, n_bootstrap=n_bootstrap, seed=draws)
    leave_view(adata)
    params = {
        "n_bootstrap": n_bootstrap,
        "max_samples": max_samples,
        "seed": seed,
        "n_real": len(samples.real),
        "mmd_width": width,
    }
    adata.uns[key] = {**adata.uns[key], EVALUATION: table, EVALUATION_PARAMS: params}
    store_results(adata, find_expression(adata, model.params.get("layer")), uns=[key])
    log_verdict(table, n_real=len(samples.real), key=key)
    warn_of_better_baselines(table)
    return adata if copy else None


def _read_held_out(adata: AnnData, model: PerturbationModel, key: str) -> np.ndarray:
    """Which samples were held out, as a boolean array."""
    keys = tspg_keys(key)
    _find_perturbed(adata, model, key)  # raises where there is nothing to judge
    if keys.split not in adata.obs:
        msg = (
            f"adata.obs[{keys.split!r}] is not there: these samples were not part of the fit, so "
            "none is known to be held out. Evaluate the AnnData that sp.tl.fit_tspg was called on."
        )
        raise KeyError(msg)
    return (adata.obs[keys.split] == TEST).to_numpy()


def _find_perturbed(adata: AnnData, model: PerturbationModel, key: str) -> Expression | None:
    """The perturbed layer; None where none was written since the samples are not in memory."""
    elsewhere = isinstance(find_expression(adata, model.params.get("layer")), ELSEWHERE)
    if elsewhere and tspg_keys(key).layer not in adata.layers:
        return None
    return find_layer(adata, key)


def _read_samples(
    adata: AnnData,
    model: PerturbationModel,
    labels: pd.Series,
    held_out: np.ndarray,
    *,
    max_samples: int,
    accelerator: str,
    seed: int,
    key: str,
) -> tuple[TargetSamples, tuple[np.ndarray, np.ndarray]]:
    """What the target is judged on, and training samples of all classes with their labels."""
    names = labels.astype(str).to_numpy(dtype=object)
    is_target = names == model.target
    is_source = _is_source(model, names)
    perturbed = _find_perturbed(adata, model, key)
    original = find_expression(adata, model.params.get("layer"))
    positions = match_genes(adata, model.genes)
    rng = np.random.default_rng(seed)
    sources = _draw(np.flatnonzero(held_out & is_source & ~is_target), max_samples, rng)
    real = _draw(np.flatnonzero(held_out & is_target), max_samples, rng)
    _check_enough(model, names[sources], real)
    train = np.concatenate(
        [
            _draw(np.flatnonzero(~held_out & (names == name)), MAX_TRAINING, rng)
            for name in model.classifier.classes
        ]
    )

    def scaled(matrix: Expression, rows: np.ndarray) -> np.ndarray:
        return model.scaler.transform(matrix[rows][:, positions])

    def scaled_perturbed(rows: np.ndarray) -> np.ndarray:
        if perturbed is None:
            done = model.perturb(original[rows][:, positions], accelerator=accelerator)
            return model.scaler.transform(done)
        if not is_finite(values := perturbed[rows]):
            msg = (
                f"The layer {tspg_keys(key).layer!r} is not whole: NaN stands where samples were "
                "not perturbed yet. Call sp.tl.perturb(adata) once more, it goes on there."
            )
            raise ValueError(msg)
        return model.scaler.transform(values[:, positions])

    takes_part = (is_source | is_target)[train]
    _check_trained(is_target[train][takes_part])
    everyone = scaled(original, train)
    return TargetSamples(
        target=model.target,
        train=everyone[takes_part],
        train_labels=names[train][takes_part],
        x=scaled(original, sources),
        labels=names[sources],
        perturbed=scaled_perturbed(sources),
        real=scaled(original, real),
        real_perturbed=scaled_perturbed(real[is_source[real]]),
    ), (everyone, names[train])


def _is_source(model: PerturbationModel, names: np.ndarray) -> np.ndarray:
    """Which samples the fit was to perturb."""
    if "source" not in model.params:
        return np.ones(len(names), dtype=bool)
    return np.isin(names, [str(label) for label in several(model.params["source"])])


def _draw(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """The rows, or as many of them as there may be, at random."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _check_enough(model: PerturbationModel, labels: np.ndarray, real: np.ndarray) -> None:
    """Raise ValueError where too little was held out, or a label is the name of the whole."""
    for what, n_samples in (
        (f"the target {model.target!r}", len(real)),
        ("the source classes", len(labels)),
    ):
        if n_samples < 2:
            msg = (
                f"{n_samples} samples of {what} were held out; at least 2 are needed to judge the "
                "fit. Fit again with a larger share, e.g. sp.tl.fit_tspg(..., held_out=0.5)."
            )
            raise ValueError(msg)
    if ALL in labels:
        msg = (
            f"A label is called {ALL!r}, which is the group of all samples together. "
            "Rename it with adata.obs[groupby].cat.rename_categories, and fit again."
        )
        raise ValueError(msg)


def _check_trained(is_target: np.ndarray) -> None:
    """Raise ValueError where the training samples are not there for the baselines to learn from."""
    for what, n_samples in (("the target", is_target.sum()), ("the sources", (~is_target).sum())):
        if n_samples < 2:
            msg = (
                f"{n_samples} training samples of {what} are there; baselines need at least 2 to "
                "learn from. Evaluate the AnnData with all samples of the fit."
            )
            raise ValueError(msg)


def _witnesses(
    model: PerturbationModel,
    train: np.ndarray,
    train_labels: np.ndarray,
    *,
    accelerator: str,
    seed: int,
) -> Witnesses:
    """Who says whether scaled samples are the target: f, and two that the generator never met."""
    independent = IndependentClassifiers(train, train_labels, seed=seed)
    classifier, scaler = model.classifier, model.scaler

    def say(x: np.ndarray) -> dict[str, np.ndarray]:
        constant = np.broadcast_to(scaler.minimum, (len(x), len(scaler.minimum)))
        said = classifier.predict_proba(scaler.inverse(x, constant), accelerator=accelerator)
        called = [classifier.classes[said.argmax(axis=1)], *independent.predict(x).values()]
        return {name: labels == model.target for name, labels in zip(SUCCESS, called, strict=True)}

    return say
