"""What holds of any AnnData, however odd: hypothesis makes them up."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from zarr.storage import MemoryStore

import scgan_perturb as sp
from scgan_perturb.networks import _networks
from tests.conftest import fit_tspg, same_adata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        "Too few samples",
        ".* constant over the training",
        "The expression values are whole",
        r"\d+ % of the (values above 1|expression values)",
        "The largest value is",
        "Observation names are not unique",
        "Writing zarr v2 data",
    )
]

ODD = ["", " ", "a/b", "Ω≈ç", "日本語", "x" * 3000, "nan", "None", "1", "1.0", "True", "$x_{", "_a", "all",
       "train", "tspg", "\n", "'\"", "..", "CD4+ T", "\t", "🧬"]  # fmt: skip
KINDS = {
    "dense": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}
DTYPES = [np.float32, np.float64, np.int64, np.int32, np.int8, np.uint16, np.bool_]
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
) | st.sampled_from(ODD)


@st.composite
def label_columns(draw: Any, sizes: list[int]) -> pd.Series:
    """A column of as many labels as there are sizes, of some type."""
    n = len(sizes)
    kind = draw(st.sampled_from(["text", "number", "float", "boolean", "mixed"]))
    if kind == "boolean" and n == 2:
        values: list[Any] = draw(st.permutations([True, False]))
    elif kind == "number":
        values = draw(st.lists(st.integers(-(2**40), 2**40), min_size=n, max_size=n, unique=True))
    elif kind == "float":
        numbers = st.floats(allow_nan=False, allow_infinity=True)
        values = draw(st.lists(numbers, min_size=n, max_size=n, unique=True))
    else:
        values = draw(st.lists(NAMES, min_size=n, max_size=n, unique=True))
    column = pd.Series(
        [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]
    )
    column = column.iloc[draw(st.permutations(range(len(column))))].reset_index(drop=True)
    as_type = draw(st.sampled_from(["plain", "category", "ordered", "unused", "string"]))
    if as_type == "string":
        return column.astype("string") if kind == "text" else column
    if as_type == "plain":
        return column
    categories = [*values, *(["never seen"] if as_type == "unused" and kind == "text" else [])]
    return pd.Series(pd.Categorical(column, categories, ordered=as_type == "ordered"))


@st.composite
def matrices(draw: Any, shape: tuple[int, int]) -> Any:
    """Expression of some kind, type, scale and sparsity."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(DTYPES))
    x = rng.normal(size=shape) + rng.uniform(0, 3, size=shape[1])
    x[rng.random(shape) < draw(st.sampled_from([0, 0.3, 0.9]))] = 0
    if np.dtype(dtype).kind == "f":
        x = x * draw(st.sampled_from([1, 1, 1e-12, 1e12])) + draw(st.sampled_from([0, 0, -5, 1000]))
    else:
        x = np.clip(x.round(), 0 if np.dtype(dtype).kind in "ub" else -9, 9)
    for gene in draw(st.sets(st.integers(0, shape[1] - 1), max_size=2)):
        x[:, gene] = x[0, gene]
    return KINDS[draw(st.sampled_from(list(KINDS)))](x.astype(dtype))


@st.composite
def annotated(draw: Any) -> ad.AnnData:
    """A small AnnData with labels in obs["label"] and a mask in var["mask"]."""
    # Tiny and lopsided classes, of which the first is large enough to be a target.
    sizes = [draw(st.integers(2, 24)), *draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))]
    n_genes = draw(st.integers(1, 12))
    genes = draw(st.lists(NAMES, min_size=n_genes, max_size=n_genes, unique=True))
    labels = draw(label_columns(sizes))
    samples = draw(st.sampled_from(["sample{}", "s/{}", "{}", "Ω{}", "same"]))
    obs = pd.DataFrame(
        {"label": labels.array}, index=[samples.format(i) for i in range(len(labels))]
    )
    mask = draw(st.lists(st.booleans(), min_size=n_genes, max_size=n_genes))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Observation names are not unique")
        return ad.AnnData(
            draw(matrices((len(labels), n_genes))),
            obs=obs,
            var=pd.DataFrame({"mask": mask}, index=genes),
        )


class Case(NamedTuple):
    adata: ad.AnnData
    target: Any
    options: dict[str, Any]


@st.composite
def cases(draw: Any) -> Case:
    """Data, and what is asked of a fit."""
    adata = draw(annotated())
    labels = adata.obs["label"]
    counts = labels.value_counts()
    target = draw(st.sampled_from(list(labels.unique())))
    if draw(st.integers(0, 4)):  # mostly one that can be fitted
        target = counts.index[0]
    options: dict[str, Any] = {"recipe": draw(st.sampled_from(["transport", "transport", "paper"]))}
    options["held_out"] = draw(st.sampled_from([0.2, 0.0, 0.5]))
    if draw(st.booleans()):
        options["mask_var"] = "mask"
    if draw(st.integers(0, 3)) == 0:
        options["source"] = draw(st.sampled_from(list(labels.unique())))
    if options["recipe"] == "transport" and draw(st.integers(0, 3)) == 0:
        options["sparsity"] = 0.5
    return Case(adata, target, options)


def examples_of(n: int) -> Any:
    return settings(
        deadline=None,
        derandomize=True,
        max_examples=n,
        # Cases are small as they are; to make a failing one smaller takes many fits.
        phases=[Phase.explicit, Phase.generate],
        # Drawing a table takes long, as does a fit; some of what is drawn cannot be fitted.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        database=None,
    )


@pytest.fixture(scope="module", autouse=True)
def _small_networks() -> Iterator[None]:
    """Units too few to learn anything, for fits in a fraction of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_networks, "CLASSIFIER_UNITS", (8, 6, 4))
        patch.setattr(_networks, "BOTTLENECK_UNITS", (8, 6, 4))
        patch.setattr(sp.settings, "progress_bar", False)
        yield


def dense(x: Any) -> np.ndarray:
    return np.asarray(x.toarray() if sparse.issparse(x) else x, dtype=np.float32)


def unless_refused(
    verb: Callable[..., None], adata: ad.AnnData, *args: Any, **options: Any
) -> None:
    """Call; where that is refused, the data have to be as they were."""
    before = adata.copy()
    try:
        verb(adata, *args, max_epochs=1, **options)
    except ValueError:
        assert same_adata(adata, before)
        assume(False)


def fit(case: Case) -> ad.AnnData:
    """A fitted copy."""
    adata = case.adata.copy()
    shared = {name: case.options[name] for name in ("held_out", "mask_var") if name in case.options}
    unless_refused(sp.tl.fit_classifier, adata, "label", **shared)
    unless_refused(fit_tspg, adata, "label", case.target, **case.options)
    return adata


def perturbed(adata: ad.AnnData, fitted: ad.AnnData) -> np.ndarray:
    new = adata.copy()
    sp.tl.perturb(new, reference=fitted)
    return dense(new.layers["xadv"])


@examples_of(16)
@given(cases())
def test_a_fit_changes_what_it_may_and_nothing_else(case):
    fitted = fit(case)
    x, x_adv = dense(case.adata.X), dense(fitted.layers["xadv"])
    assert (x_adv.shape, x_adv.dtype) == (x.shape, np.float32)
    np.testing.assert_array_equal(dense(fitted.X), x)
    assert list(fitted.obs_names) == list(case.adata.obs_names)
    masked, source = np.ones(fitted.n_vars, bool), np.ones(fitted.n_obs, bool)
    if "mask_var" in case.options:
        masked = case.adata.var["mask"].to_numpy()
    if "source" in case.options:
        source = (case.adata.obs["label"] == case.options["source"]).to_numpy()
    train = (fitted.obs["tspg_split"] == "train").to_numpy()
    low, high = x[train].min(axis=0), x[train].max(axis=0)
    constant = high == low
    if fitted.uns["tspg"]["params"].get("counts"):
        scaled = sp.get.model(fitted).scaler
        constant[masked] = ~scaled.varying
    free = masked & ~constant
    np.testing.assert_array_equal(x_adv[:, ~free], x[:, ~free])
    np.testing.assert_array_equal(x_adv[~source], x[~source])
    if not fitted.uns["tspg"]["params"].get("counts"):  # whose range is that after normalisation
        assert (x_adv[source] >= low)[:, free].all()
        assert (x_adv[source] <= high)[:, free].all()
    predicted = fitted.obs["tspg_predicted"]
    assert set(predicted.cat.categories) <= set(case.adata.obs["label"].astype(str))
    np.testing.assert_array_equal(predicted.notna(), source)
    assert fitted.obs["tspg_target_probability"][source].between(0, 1).all()


@examples_of(8)
@given(cases(), st.randoms(use_true_random=False))
def test_orders_of_samples_and_genes_do_not_matter(case, random):
    fitted = fit(case)
    expected = perturbed(case.adata, fitted)
    genes, rows = (random.sample(range(n), n) for n in reversed(case.adata.shape))
    found = perturbed(case.adata[:, genes].copy(), fitted)
    np.testing.assert_array_equal(found, expected[:, genes])
    found = perturbed(case.adata[rows].copy(), fitted)
    # Sums over genes can depend on where in a batch a sample stands, by rounding.
    span = float(np.ptp(expected)) or 1.0
    np.testing.assert_allclose(found, expected[rows], rtol=1e-4, atol=1e-4 * span)


@examples_of(4)
@given(cases())
def test_what_is_written_and_read_back_does_the_same(case):
    fitted = fit(case)
    expected = perturbed(case.adata, fitted)
    model = sp.get.model(fitted)
    x = dense(case.adata[:, list(model.genes)].X)
    store = MemoryStore()  # a folder of hundreds of files takes many times as long
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fitted.write_h5ad(folder / "a.h5ad")
        fitted.write_zarr(store)
        for back in (ad.read_h5ad(folder / "a.h5ad"), ad.read_zarr(store)):
            np.testing.assert_array_equal(perturbed(case.adata, back), expected)
            np.testing.assert_array_equal(dense(back.layers["xadv"]), dense(fitted.layers["xadv"]))
        model.save(folder / "model")
        loaded = sp.get.PerturbationModel.load(folder / "model")
    np.testing.assert_array_equal(loaded.perturb(x), model.perturb(x))
    assert (loaded.target, list(loaded.genes)) == (str(case.target), list(model.genes))


FOLLOWING = [
    sp.tl.rank_genes,
    lambda a: sp.tl.evaluate(a, n_bootstrap=2),
    lambda a: sp.tl.embed(a, method="pca"),
    lambda a: sp.tl.enrich(a, {"a": list(a.var_names[:3])}, min_size=1),
    sp.get.rank_genes_df,
    sp.get.evaluation_df,
    lambda a: sp.get.embedding(a, "pca"),
    sp.get.perturbed_adata,
    sp.get.transition_genes,
    lambda a: sp.get.transition(a, a.obs_names[0], n_bootstrap=2),
]


@pytest.mark.filterwarnings("ignore:The table is empty")
@examples_of(5)
@given(cases())
def test_what_follows_a_fit_works_or_says_why_not(case):
    fitted = fit(case)
    for call in FOLLOWING:
        before = fitted.copy()
        try:
            call(fitted)
        except (ValueError, KeyError):
            assert same_adata(fitted, before)
