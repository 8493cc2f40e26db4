"""DESIGN's table of bad input: each a clear error or warning, the AnnData untouched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgan_perturb as sp
from tests.conftest import fit_tspg, make_adata, same_adata


def set_values(adata, value, at=((3, 4),)):
    for row, column in at:
        adata.X[row, column] = value


def relabel(adata, labels):
    adata.obs["tissue"] = labels


def drop_labels(adata):
    adata.obs.loc[["sample3", "sample5"], "tissue"] = np.nan


def make_constant(adata):
    adata.X[:, :] = 1


def repeat_genes(adata):
    adata.var_names = ["gene0", "gene0", *adata.var_names[2:]]


def no_genes_marked(adata):
    adata.var["none"] = False


def numbers_as_mask(adata):
    adata.var["numbers"] = 1.5


def odd_split(adata):
    adata.obs["odd"] = ["train", "val"] * 25


def all_test(adata):
    adata.obs["all_test"] = "test"


def one_target_sample(adata):
    relabel(adata, ["liver"] * 49 + ["lung"])


def no_numbers(adata):
    adata.layers["text"] = np.full(adata.shape, "a", dtype=object)


BAD = {
    "unknown groupby": (None, {"groupby": "tisue"}, KeyError, r"'tisue' not found. Nearest: 'tissue'"),
    "unknown layer": (None, {"layer": "logg"}, KeyError, r"Layer 'logg' not found.*adata\.X"),
    "unknown mask": (None, {"mask_var": "hvg"}, KeyError, r"'hvg' not found.*sp\.pp\.gene_set"),
    "unknown held-out column": (None, {"held_out": "split"}, KeyError, "'split' not found"),
    "unknown classifier": (None, {"classifier": "mine"}, KeyError, r"'mine' not found.*fit_classifier"),
    "target not a class": (None, {"target": "Lung"}, ValueError, "'Lung' is not a class.*'liver', 'lung', 'thyroid'"),
    "source not a class": (None, {"source": "heart"}, ValueError, "source 'heart' is not a class"),
    "source is target": (None, {"source": "lung"}, ValueError, "source and target are the same"),
    "labels missing": (drop_labels, {}, ValueError, "2 of 50 samples have no label.*'sample3', 'sample5'"),
    "one class": (lambda a: relabel(a, "lung"), {}, ValueError, "at least two classes.*'lung'"),
    "target too small": (one_target_sample, {"held_out": 0.0}, ValueError, "target 'lung' has 1 training samples; at least 2"),
    "NaN": (lambda a: set_values(a, np.nan, [(3, 4), (9, 0)]), {}, ValueError, "2 values are NaN or infinite, first in sample 'sample3', gene 'gene4'"),
    "too large for float32": (lambda a: a.__setattr__("X", a.X.astype(float)) or set_values(a, 1e39), {}, ValueError, "1 values are NaN or infinite, first in sample 'sample3', gene 'gene4'"),
    "infinite": (lambda a: set_values(a, np.inf), {}, ValueError, "1 values are NaN or infinite"),
    "repeated genes": (repeat_genes, {}, ValueError, "'gene0'.*var_names_make_unique"),
    "no genes marked": (no_genes_marked, {"mask_var": "none"}, ValueError, "No genes left.*False for all 12"),
    "mask not boolean": (numbers_as_mask, {"mask_var": "numbers"}, ValueError, "must be boolean"),
    "all genes constant": (make_constant, {}, ValueError, "No genes left: all 12 genes are constant"),
    "odd split": (odd_split, {"held_out": "odd"}, ValueError, "'train' or 'test'; it also holds 'val'"),
    "nothing trains": (all_test, {"held_out": "all_test"}, ValueError, "no sample as 'train'"),
    "share too large": (None, {"held_out": 1.0}, ValueError, r"share in \[0, 1\)"),
    "no epochs": (None, {"max_epochs": 0, "recipe": "paper"}, ValueError, "max_epochs must be a whole number of at least 1, not 0"),
    "odd batch size": (None, {"batch_size": 2.5, "recipe": "paper"}, ValueError, "batch_size must be a whole number"),
    "batches of one": (None, {"batch_size": 1, "recipe": "paper"}, ValueError, "batch_size must be a whole number of at least 2"),
    "unknown recipe": (None, {"recipe": "mine"}, ValueError, "recipe must be one of 'transport', 'paper', not 'mine'"),
    "two targets by the paper": (None, {"recipe": "paper", "target": ["lung", "liver"]}, ValueError, "recipe='paper' has one target, not 2. Use recipe='transport'"),
    "all targets by the paper": (None, {"recipe": "paper", "target": None}, ValueError, "recipe='paper' has one target, not 3"),
    "no target": (None, {"target": []}, ValueError, "no target: name a label"),
    "one of the targets no class": (None, {"target": ["lung", "Liver"]}, ValueError, "target 'Liver' is not a class"),
    "the only source is one of the targets": (None, {"target": ["liver", "lung"], "source": "lung"}, ValueError, "source and target are the same class, 'lung'"),
    "negative weight": (None, {"weight_td": -1, "recipe": "paper"}, ValueError, "weight_td must be a finite number"),
    "kappa NaN": (None, {"kappa": float("nan"), "recipe": "paper"}, ValueError, "kappa must be a finite number of at least 0"),
    "weight as text": (None, {"weight_td": "1", "recipe": "paper"}, ValueError, "weight_td must be a finite number"),
    "held_out None": (None, {"held_out": None}, ValueError, r"share in \[0, 1\)"),
    "odd seed": (None, {"rng": 1.5}, ValueError, "rng must be a whole number, a numpy Generator or None"),
    "seed too large": (None, {"rng": 2**63}, ValueError, "below 2"),
    "several groupbys": (None, {"groupby": ["tissue"]}, ValueError, "groupby must be the name of a column"),
    "slash in the key": (None, {"key_added": "a/b"}, ValueError, "key_added must be a name without '/'"),
    "key of the classifier": (None, {"key_added": "classifier"}, ValueError, "is the name of the classifier"),
    "layer of the result": (lambda a: a.layers.__setitem__("log", a.X.copy()), {"layer": "log", "key_added": "log"}, ValueError, "the result is written there"),
    "layer called X": (lambda a: a.layers.__setitem__("X", a.X.copy()), {"layer": "X"}, ValueError, "leave layer out to read"),
    "labels that the result overwrites": (lambda a: a.obs.insert(0, "tspg_predicted", a.obs["tissue"]), {"groupby": "tspg_predicted"}, ValueError, "would be overwritten"),
    "another classifier in uns": (lambda a: a.uns.__setitem__("classifier", "celltypist"), {}, ValueError, r"uns\['classifier'\] is not a classifier of sp.tl.fit_classifier"),
    "negative seed": (None, {"rng": -1}, ValueError, "rng must be at least 0"),
    "odd shrinkage": (None, {"shrinkage": 2, "recipe": "paper"}, ValueError, "shrinkage must be a finite number of at least 0 and at most 1"),
    "unknown accelerator": (None, {"fabric": {"accelerator": "abacus"}}, ValueError, "accelerator='abacus' cannot be used"),
    "unknown option of the engine": (None, {"fabric": {"device": 2}}, ValueError, "An option in fabric must be one of 'accelerator', .* not 'device'"),
    "the engine as text": (None, {"fabric": "cuda"}, ValueError, "fabric must be a lightning_fabric.Fabric or a dict of its options, not 'cuda'"),
    "a recipe's name in another case": (None, {"recipe": "Paper"}, ValueError, "recipe must be one of 'transport', 'paper', not 'Paper'"),
    "a recipe that is none": (None, {"recipe": 3}, ValueError, "recipe must be 'transport', 'paper', sp.tl.Transport"),
    "text as expression": (no_numbers, {"layer": "text"}, ValueError, "not real numbers"),
    "a loss that breaks": (None, {"weight_td": 1e38, "recipe": "paper"}, FloatingPointError, "in epoch 1; nothing was written"),
    "all genes unchanged": (None, {"sparsity": 1.0}, ValueError, "sparsity must be a finite number of at least 0 and at most 0.999"),
    "sparsity as text": (None, {"sparsity": "0.5"}, ValueError, "sparsity must be a finite number"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "arguments", "error", "match"), BAD.values(), ids=BAD)
@pytest.mark.filterwarnings("ignore:Too few samples", "ignore:Variable names are not unique")
def test_bad_input_is_named_and_leaves_the_data_untouched(spoil, arguments, error, match):
    adata = make_adata()
    if spoil is not None:
        spoil(adata)
    before = adata.copy()
    arguments = {"groupby": "tissue", "target": "lung", "max_epochs": 2, **arguments}
    with pytest.raises(error, match=match):
        fit_tspg(adata, arguments.pop("groupby"), arguments.pop("target"), **arguments)
    assert same_adata(adata, before)


def test_infinite_values_in_a_sparse_matrix_are_found():
    adata = make_adata(kind="csr")
    adata.X[3, 4] = np.inf
    with pytest.raises(ValueError, match="1 values .* sample 'sample3', gene 'gene4'"):
        sp.tl.fit_classifier(adata, "tissue", max_epochs=1)


def test_broken_values_outside_the_mask_do_not_matter(adata):
    adata.X[3, 4] = np.nan
    adata.var["mine"] = np.arange(12) < 4
    sp.tl.fit_classifier(adata, "tissue", mask_var="mine", max_epochs=1)
    assert "classifier" in adata.uns


def test_empty_data_are_refused(adata):
    with pytest.raises(ValueError, match=r"empty: 0 samples × 12 genes"):
        sp.tl.fit_classifier(adata[:0].copy(), "tissue")


def test_constant_genes_are_kept_unperturbed_with_one_warning(adata):
    adata.X[:, [2, 7]] = 3
    with pytest.warns(UserWarning, match="2 of 12 genes are constant") as warned:
        sp.tl.fit_tspg(adata, "tissue", "lung")
    assert len(warned) == 1
    assert warned[0].filename == __file__
    np.testing.assert_array_equal(adata.layers["xadv"][:, [2, 7]], adata.X[:, [2, 7]])
    assert (sp.get.perturbation(adata)[["gene2", "gene7"]] == 0).all(axis=None)
    assert len(adata.uns["tspg"]["genes"]) == 12


def test_small_classes_train_with_a_warning_at_the_users_line(adata):
    adata.obs["tissue"] = pd.Categorical(["liver"] * 24 + ["lung"] * 24 + ["rare"] * 2)
    with pytest.warns(UserWarning, match="Too few samples to hold any out: 'rare'") as warned:
        sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    assert warned[0].filename == __file__
    assert (adata.obs["classifier_split"][adata.obs["tissue"] == "rare"] == "train").all()


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_raw_counts_for_a_model_of_other_values_are_warned_of(kind, fitted):
    adata = make_adata()
    adata.X = kind(np.random.default_rng(0).poisson(5, size=adata.shape).astype(np.float32))
    with pytest.warns(UserWarning, match=r"like raw counts.*sc\.pp\.log1p") as warned:
        sp.tl.perturb(adata, reference=fitted)
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    "read",
    [
        sp.get.model,
        sp.get.perturbation,
        sp.get.perturbed_adata,
        sp.get.history,
        sp.get.embedding,
        lambda a: sp.get.transition(a, "sample0"),
        sp.tl.perturb,
        sp.tl.embed,
        sp.pl.history,
        sp.pl.tsne,
        lambda a: sp.pl.perturbation_heatmap(a, "sample0"),
    ],
)
def test_results_asked_for_before_a_fit_name_the_call_to_make(adata, read):
    with pytest.raises(KeyError, match=r"sp\.tl\.fit_tspg\(adata, groupby, target\)"):
        read(adata)


def test_an_unknown_sample_is_named_with_the_nearest(fitted):
    with pytest.raises(KeyError, match="Sample 'sampl3' not found. Nearest: 'sample3'"):
        sp.get.perturbation(fitted, ["sample0", "sampl3"])


def test_a_classifier_whose_loss_breaks_is_not_written(adata):
    adata.X[:4, 0] = [3e38, -3e38, 3e38, -3e38]
    before = adata.copy()
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match="loss became NaN or infinite in epoch 1"),
    ):
        sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    assert same_adata(adata, before)


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Index, pd.Series, pd.array])
def test_samples_can_be_named_by_any_kind_of_list(fitted, kind):
    found = sp.get.perturbation(fitted, kind(["sample3", "sample1"]))
    assert list(found.index) == ["sample3", "sample1"]


def test_a_transition_is_of_one_sample(fitted):
    with pytest.raises(ValueError, match="must be the name of one sample"):
        sp.get.transition(fitted, ["sample0", "sample1"])
