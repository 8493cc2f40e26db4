from __future__ import annotations

import gc
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.metrics import _two_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.slow.cases import Good

mpl.use("Agg")
torch.set_num_threads(1)  # the networks here are too small for more
LONG = [
    "test_on_disk",
    "test_tspg",
    "test_tutorials",
    "test_docstrings",
    "test_processes",
    "test_cli",
    "test_labels",
    "test_checkpoint",
    "test_evaluate",
    "test_evaluate_prediction",
    "test_looks",
]
N_TREES = 20  # of the forests in sp.tl.evaluate

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
CLASS_SIZES = {"liver": 20, "lung": 15, "thyroid": 15}
MATRIX_KINDS = {
    "dense": np.asarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "float64": lambda x: np.asarray(x, dtype=np.float64),
    "fortran": np.asfortranarray,
}


def make_adata(
    class_sizes: dict[str, int] | None = None,
    *,
    n_genes: int = 12,
    kind: str = "dense",
    seed: int = 0,
) -> ad.AnnData:
    """Log-like expression whose class means differ, some of it zero."""
    class_sizes = class_sizes or CLASS_SIZES
    rng = np.random.default_rng(seed)
    means = rng.uniform(1, 4, size=(len(class_sizes), n_genes))
    labels = np.repeat(list(class_sizes), list(class_sizes.values()))
    rows = np.repeat(np.arange(len(class_sizes)), list(class_sizes.values()))
    x = (means[rows] + rng.normal(0, 0.5, size=(len(rows), n_genes))).clip(0).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = 0
    return ad.AnnData(
        MATRIX_KINDS[kind](x),
        obs=pd.DataFrame(
            {"tissue": pd.Categorical(labels)}, index=[f"sample{i}" for i in range(len(x))]
        ),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)]),
    )


def same_adata(a: ad.AnnData, b: ad.AnnData) -> bool:
    """Whether two AnnData hold the same, down to uns."""
    return _plain(a) == _plain(b)


def _plain(adata: ad.AnnData) -> dict:
    def text(value: object) -> object:
        if isinstance(value, dict):
            return {name: text(inner) for name, inner in value.items()}
        if sparse.issparse(value):
            return value.toarray().tobytes()
        if isinstance(value, (pd.DataFrame, pd.Series)):
            return value.to_csv()
        return np.asarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value)

    parts = {"X": adata.X, "obs": adata.obs, "var": adata.var, "uns": dict(adata.uns)}
    parts |= {f"layer {name}": adata.layers[name] for name in adata.layers if name is not None}
    parts |= {f"obsm {name}": adata.obsm[name] for name in adata.obsm}
    return {name: text(value) for name, value in parts.items()}


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much the slow tests do."""
    group = parser.getgroup("slow tests")
    group.addoption("--cases", type=int, default=3000, help="damaged files to read")
    group.addoption("--kills", type=int, default=10, help="kills of a fit")
    group.addoption("--fuzz-seed", type=int, default=0, help="seed of damage and kills")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """What is imported and collected stays: the garbage collector need not look at it again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first: none of several workers is left alone with one at the end."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    """Smaller forests in `sp.tl.evaluate`, which would take more time than all else it does."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(_two_sample, "N_TREES", N_TREES)
        monkeypatch.setattr(_two_sample, "N_TREES_PER_FOLD", 5)
        yield


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Tests may change settings, environment and working directory: all are put back."""
    settings, environment, folder = vars(sp.settings).copy(), os.environ.copy(), Path.cwd()
    sp.settings.progress_bar = False
    yield
    vars(sp.settings).update(settings)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)


@pytest.fixture
def adata() -> ad.AnnData:
    return make_adata()


def make_in_contexts(seed: int = 0) -> ad.AnnData:
    """Treated and untreated samples of three cell types; the treated NK cells are held out.

    Treatment moves gene0 up in all types, gene1 up in B cells alone, and gene2 up in B cells and
    down in T cells.
    """
    n_each, n_genes = 12, 12
    rng = np.random.default_rng(seed)
    types = np.repeat(["B", "CD4+/CD8+ T", "NK"], 2 * n_each)
    is_treated = np.tile(np.repeat([False, True], n_each), 3)
    means = rng.uniform(2, 3, (3, n_genes)).repeat(2 * n_each, axis=0)
    effects = {"B": (2, 2, 1), "CD4+/CD8+ T": (2, 0, -1), "NK": (2, 0, 0)}
    means[is_treated, :3] += [effects[name] for name in types[is_treated]]
    x = means + rng.normal(0, 0.3, means.shape)
    obs = {
        "condition": np.where(is_treated, "stim", "ctrl"),
        "cell_type": types,
        "donor": np.tile(["d1", "d2"], len(types) // 2),
        "split": np.where(is_treated & (types == "NK"), "test", "train"),
    }
    return ad.AnnData(
        x.clip(0).astype(np.float32),
        obs=pd.DataFrame(obs, index=[f"sample{i}" for i in range(len(x))]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)]),
    )


def fit_tspg(
    adata: ad.AnnData,
    groupby: str,
    target: object = None,
    *,
    recipe: str = "transport",
    **options: object,
) -> ad.AnnData | None:
    """`sp.tl.fit_tspg`, with the options of the recipe among the others."""
    kind = {"transport": sp.tl.Transport, "paper": sp.tl.Paper}.get(recipe)
    if recipe != "paper":  # nothing is trained
        options.pop("max_epochs", None)
        options.pop("batch_size", None)
    if kind is None:
        return sp.tl.fit_tspg(adata, groupby, target, recipe=recipe, **options)
    names = {field.name for field in fields(kind)} & set(options)
    own = {name: options.pop(name) for name in names}
    return sp.tl.fit_tspg(adata, groupby, target, recipe=kind(**own), **options)


def _fit(target: str | list[str], recipe: str = "transport") -> ad.AnnData:
    bar, sp.settings.progress_bar = sp.settings.progress_bar, False
    adata = make_adata()
    sp.tl.fit_classifier(adata, "tissue", max_epochs=20)
    fit_tspg(adata, "tissue", target, recipe=recipe, max_epochs=3)
    sp.settings.progress_bar = bar
    return adata


@pytest.fixture(scope="session")
def _fitted() -> ad.AnnData:
    return _fit("lung")


@pytest.fixture(scope="session")
def _fitted_by_paper() -> ad.AnnData:
    return _fit("lung", "paper")


@pytest.fixture(scope="session")
def _fitted_many() -> ad.AnnData:
    return _fit(["lung", "liver"])


@pytest.fixture(scope="session")
def _ranked_in_contexts() -> ad.AnnData:
    bar, sp.settings.progress_bar = sp.settings.progress_bar, False
    adata = make_in_contexts()
    sp.tl.fit_classifier(adata, "condition", held_out="split", max_epochs=20)
    sp.tl.fit_tspg(adata, "condition", "stim", source="ctrl", context="cell_type", held_out="split")
    sp.tl.rank_genes(adata)
    sp.settings.progress_bar = bar
    return adata


@pytest.fixture
def ranked_in_contexts(_ranked_in_contexts: ad.AnnData) -> ad.AnnData:
    """A small AnnData with a fit in contexts and its ranked genes."""
    return _ranked_in_contexts.copy()


@pytest.fixture
def fitted(_fitted: ad.AnnData) -> ad.AnnData:
    """A small AnnData with a fit towards lung."""
    return _fitted.copy()


@pytest.fixture
def fitted_by_paper(_fitted_by_paper: ad.AnnData) -> ad.AnnData:
    """The same by recipe "paper"."""
    return _fitted_by_paper.copy()


@pytest.fixture
def fitted_many(_fitted_many: ad.AnnData) -> ad.AnnData:
    """The same with one fit towards lung and liver, lung applied."""
    return _fitted_many.copy()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Good]:
    """Good files of every kind; models have few weights, so that damage hits more than weights."""
    from scgan_perturb.estimates import _latent_fit
    from scgan_perturb.networks import _networks
    from tests.slow.cases import make_good

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_networks, "CLASSIFIER_UNITS", (8, 6, 4))
        patch.setattr(_latent_fit, "N_FACTORS", 2)
        yield make_good(tmp_path_factory.mktemp("good"))


@pytest.fixture
def enrichr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[dict, list[str]]:
    """Enrichr's libraries by name, none at first, and the names that gseapy was asked for."""
    libraries: dict[str, dict | Exception] = {}
    asked = []

    def get_library(name: str, **_: object) -> dict:
        asked.append(name)
        found = libraries.get(name, ValueError("Sorry"))  # as gseapy says it
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("gseapy.get_library", get_library)
    sp.settings.dataset_dir = tmp_path
    return libraries, asked


@pytest.fixture
def build() -> Callable[..., ad.AnnData]:
    """The function that makes an AnnData of given classes, genes, kind and seed."""
    return make_adata


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data, where there is one."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data are not at hand")
    return SHARED_DATA
