"""Values that are not logarithms, and new samples in other units than those of a fit."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.data._scaling import GeneScaler
from scgan_perturb.data._units import share_beyond, warn_of_other_units

N_GENES = 200


def counts(kind: str, n_samples: int = 120, *, seed: int = 0) -> np.ndarray:
    """Counts of two classes, as of bulk (all genes present) or of cells (most of them zero)."""
    size = {"bulk": 2e6, "cells": 600}[kind]
    mean = np.random.default_rng(1).lognormal(0, 1.5, (2, N_GENES))
    rng = np.random.default_rng(seed)
    rate = np.repeat(mean, n_samples // 2, axis=0) * rng.lognormal(0, 0.4, (n_samples, N_GENES))
    return rng.poisson(size * rate / rate.sum(axis=1, keepdims=True)).astype(float)


def per_million(x: np.ndarray) -> np.ndarray:
    return x / x.sum(axis=1, keepdims=True) * 1e6


def logged(x: np.ndarray) -> np.ndarray:
    return np.log1p(per_million(x) / 100)


def z_scores(x: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
    """Z-scores with the means and deviations of `of`; None for those of x itself."""
    of = logged(x if of is None else of)
    return (logged(x) - of.mean(axis=0)) / (of.std(axis=0) + 1e-9)


def few_fractions(x: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(2).random(x.shape) < 0.02, 0.9 * x, x)


def estimated(x: np.ndarray) -> np.ndarray:
    """Expected counts, as RSEM and salmon estimate them."""
    return np.where(np.random.default_rng(2).random(x.shape) < 0.6, 0.93 * x, x)


def make(x: np.ndarray, kind: str = "bulk") -> ad.AnnData:
    labels = np.repeat(["a", "b"], len(x) // 2)
    x = x.astype(np.float32)
    obs = pd.DataFrame({"y": labels}, index=[f"s{i}" for i in range(len(x))])
    return ad.AnnData(sparse.csr_matrix(x) if kind == "cells" else x, obs=obs)


@pytest.mark.parametrize("kind", ["bulk", "cells"])
@pytest.mark.parametrize(
    ("units", "match"),
    [
        pytest.param(few_fractions, r"\d\d % of the values above 1 are whole", id="few fractions"),
        pytest.param(estimated, "(are whole|largest value is).*round", id="estimated counts"),
        pytest.param(per_million, r"The largest value is \d.*sc.pp.log1p", id="per million"),
    ],
)
def test_a_fit_warns_of_values_that_are_not_logarithms(kind, units, match):
    adata = make(units(counts(kind)), kind)
    with pytest.warns(UserWarning, match=match) as warned:
        sp.tl.fit_classifier(adata, "y", max_epochs=1)
    assert len(warned) == 1
    assert warned[0].filename == __file__


@pytest.mark.parametrize("kind", ["bulk", "cells"])
@pytest.mark.parametrize(
    "units",
    [
        pytest.param(logged, id="logarithms"),
        pytest.param(lambda x: np.log2(x + 1), id="log2 of counts"),
        pytest.param(lambda x: np.log2(per_million(x) + 0.001), id="negative logarithms"),
        pytest.param(z_scores, id="z-scores"),
        pytest.param(lambda x: x, id="counts"),
        pytest.param(lambda x: np.rint(few_fractions(x)), id="the remedy"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*genes are constant")
def test_a_fit_of_logarithms_or_counts_warns_of_nothing(kind, units):
    sp.tl.fit_classifier(make(units(counts(kind)), kind), "y", max_epochs=1)


OTHER_UNITS = {
    "per million for logarithms": (logged, per_million),
    "z-scores for logarithms": (logged, z_scores),
    "log2 for the natural logarithm": (logged, lambda x: logged(x) / np.log(2)),
    "the natural logarithm for log2": (lambda x: logged(x) / np.log(2), logged),
    "log10 for log2": (lambda x: logged(x) / np.log(2), lambda x: logged(x) / np.log(10)),
    "logarithms of millions for those of ten thousands": (
        logged,
        lambda x: np.log1p(per_million(x)),
    ),
    "logarithms for z-scores": (z_scores, logged),
}


@pytest.fixture(scope="module")
def fit_of():
    """Fits, each of them made once."""
    fits = {}

    def get(kind, units) -> ad.AnnData:
        if (kind, units) not in fits:
            adata = make(units(counts(kind)), kind)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # constant genes
                sp.tl.fit_classifier(adata, "y", max_epochs=1)
                sp.tl.fit_tspg(adata, "y", "a")
            fits[kind, units] = adata
        return fits[kind, units]

    return get


@pytest.mark.parametrize(("kind", "name"), [("bulk", name) for name in OTHER_UNITS] + [
    ("cells", "per million for logarithms"),
    ("cells", "z-scores for logarithms"),
    ("cells", "log2 for the natural logarithm"),
    ("cells", "logarithms of millions for those of ten thousands"),
])  # fmt: skip
def test_new_samples_in_other_units_are_warned_of_with_the_share(fit_of, kind, name):
    units, others = OTHER_UNITS[name]
    new = make(others(counts(kind, 40, seed=5)), kind)
    with pytest.warns(UserWarning, match=r"^\d+ %.* beyond the range .* convert the values") as w:
        sp.tl.perturb(new, reference=fit_of(kind, units))
    assert w[0].filename == __file__


@pytest.mark.parametrize("kind", ["bulk", "cells"])
@pytest.mark.parametrize("units", [logged, z_scores, lambda x: x], ids=["logs", "z", "counts"])
@pytest.mark.parametrize("n_samples", [2, 40])
def test_new_samples_in_the_same_units_are_not_warned_of(fit_of, kind, units, n_samples):
    new = counts(kind, 40, seed=5)[:: 40 // n_samples]
    new = units(new, counts(kind)) if units is z_scores else units(new)
    sp.tl.perturb(make(new, kind), reference=fit_of(kind, units))


def test_the_share_counts_values_beyond_and_leaves_out_zeros_within():
    scaler = GeneScaler(np.float32([0, 1]), np.float32([2, 3]))
    sample = np.float32([[0, 0], [0, 2], [3, 2], [1, 4]])
    share, expected = share_beyond(sample, scaler, n_train=3)
    assert share == pytest.approx(3 / 6)
    assert expected == pytest.approx((0.5 * 2 / 2.5 + 0.75 * 2 / 3.25) / 1.25)


@pytest.mark.parametrize("n_train", [12, 40, 400])
@pytest.mark.parametrize("name", ["cells", "bulk"])
def test_held_out_real_samples_are_not_warned_of(shared_data, name, n_train):
    if name == "cells":
        x = ad.read_h5ad(shared_data / "cells" / "kang_ifnb.h5ad").X.toarray()
    else:
        sp.settings.dataset_dir = shared_data
        x = sp.datasets.rnaseqdb(["kirc", "prad", "stad"]).X
    rows = np.random.default_rng(0).permutation(len(x))
    n_train = min(n_train, len(x) - 40)
    scaler = GeneScaler.of(x[rows[:n_train]])
    new = x[rows[n_train : n_train + 40]]
    warn_of_other_units(new, scaler, n_train)
    with pytest.warns(UserWarning, match="beyond the range"):
        warn_of_other_units(new / np.float32(np.log(2)), scaler, n_train)
