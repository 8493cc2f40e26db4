from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest

import scgan_perturb as sp
from tests.conftest import make_adata, same_adata
from tests.new_process import finish, start


@pytest.fixture
def new() -> ad.AnnData:
    return make_adata({"heart": 6, "lung": 2}, seed=9)


def test_new_samples_get_the_layer_the_class_and_the_fit(fitted, new):
    sp.tl.perturb(new, reference=fitted)
    assert new.layers["xadv"].shape == new.shape
    assert {"tspg_predicted", "tspg_target_probability"} <= set(new.obs)
    assert "tspg_split" not in new.obs
    assert sp.get.model(new).target == "lung"


def test_the_result_is_that_of_the_model(fitted, new):
    sp.tl.perturb(new, reference=fitted)
    np.testing.assert_array_equal(new.layers["xadv"], sp.get.model(fitted).perturb(new.X))


def test_perturbing_the_fitted_samples_again_gives_the_same_bits(fitted):
    before = fitted.layers["xadv"].copy()
    del fitted.layers["xadv"]
    sp.tl.perturb(fitted)
    np.testing.assert_array_equal(fitted.layers["xadv"], before)


def test_genes_are_matched_by_name(fitted, new):
    shuffled = new[:, np.random.default_rng(0).permutation(new.n_vars)].copy()
    sp.tl.perturb(new, reference=fitted)
    sp.tl.perturb(shuffled, reference=fitted)
    np.testing.assert_array_equal(shuffled[:, new.var_names].layers["xadv"], new.layers["xadv"])


def test_other_genes_are_left_as_they_are(fitted, new):
    other = ad.AnnData(np.full((8, 2), 3, dtype=np.float32), obs=new.obs)
    other.var_names = ["other1", "other2"]
    more = ad.concat([other, new], axis=1, merge="first")
    sp.tl.perturb(new, reference=fitted)
    sp.tl.perturb(more, reference=fitted)
    np.testing.assert_array_equal(more[:, new.var_names].layers["xadv"], new.layers["xadv"])
    assert (more[:, other.var_names].layers["xadv"] == 3).all()


def test_values_beyond_the_training_range_are_clipped(fitted, new):
    extreme = new.copy()
    extreme.X = new.X * 1000
    with pytest.warns(UserWarning, match=r"% of the expression values lie beyond the range"):
        sp.tl.perturb(extreme, reference=fitted)
    assert (extreme.layers["xadv"] <= fitted.uns["tspg"]["scale_max"]).all()


def test_copy_leaves_the_original_alone(fitted, new):
    before = new.copy()
    result = sp.tl.perturb(new, reference=fitted, copy=True)
    assert same_adata(new, before)
    assert "xadv" in result.layers


def test_the_layer_of_the_fit_is_read_by_default(new):
    adata = make_adata()
    adata.layers["log"], adata.X = adata.X.copy(), adata.X * 0
    sp.tl.fit_classifier(adata, "tissue", layer="log", max_epochs=2)
    sp.tl.fit_tspg(
        adata,
        "tissue",
        "lung",
        layer="log",
    )
    new.layers["log"] = new.X.copy()
    by_default, by_x = new.copy(), new.copy()
    sp.tl.perturb(by_default, reference=adata)
    sp.tl.perturb(by_x, reference=adata, layer="X")
    np.testing.assert_array_equal(by_default.layers["xadv"], by_x.layers["xadv"])
    change = sp.get.perturbation(by_x).to_numpy()
    np.testing.assert_array_equal(change, by_x.layers["xadv"] - by_x.X)


def test_lacking_genes_are_counted_and_named(fitted, new):
    less = new[:, 2:].copy()
    before = less.copy()
    with pytest.raises(ValueError, match=r"2 of the 12 genes .*'gene0', 'gene1'"):
        sp.tl.perturb(less, reference=fitted)
    assert same_adata(less, before)


def test_reading_the_result_as_the_input_is_refused(fitted):
    with pytest.raises(ValueError, match="layer='xadv' is where the result is written"):
        sp.tl.perturb(fitted, layer="xadv")


def test_a_lacking_layer_names_the_way_out(fitted, new):
    fitted.uns["tspg"]["params"]["layer"] = "log"
    with pytest.raises(KeyError, match="fitted on layer 'log'; layer='X' means adata.X"):
        sp.tl.perturb(new, reference=fitted)


def test_a_split_of_another_fit_goes(fitted, new):
    new.obs["tspg_split"] = "test"
    sp.tl.perturb(new, reference=fitted)
    assert "tspg_split" not in new.obs


@pytest.mark.parametrize(
    ("fit", "target", "known"),
    [("fitted", "liver", "'lung'"), ("fitted_many", "thyroid", "'lung', 'liver'")],
)
def test_a_target_that_the_model_was_not_fitted_for_is_refused(request, new, fit, target, known):
    before = new.copy()
    with pytest.raises(ValueError, match=f"fitted for target {known}, not '{target}'"):
        sp.tl.perturb(new, target, reference=request.getfixturevalue(fit))
    assert same_adata(new, before)


def test_another_of_its_targets_can_be_asked_for(fitted_many, new):
    towards = {}
    for target in ("lung", "liver"):
        sp.tl.perturb(new, target, reference=fitted_many)
        towards[target] = new.layers["xadv"].copy()
        model = sp.get.model(fitted_many).towards(target)
        np.testing.assert_array_equal(towards[target], model.perturb(new.X))
    assert np.abs(towards["lung"] - towards["liver"]).max() > 0.1
    assert sp.get.model(fitted_many).target == "lung"  # the reference is left alone


def test_after_another_target_all_that_is_written_is_of_it(fitted_many):
    first = fitted_many.copy()
    sp.tl.embed(fitted_many, method="pca")
    sp.tl.perturb(fitted_many, "liver")
    written, model = fitted_many.uns["tspg"], sp.get.model(fitted_many)
    assert written["params"]["target"] == model.target == "liver"
    assert model.targets == ("lung", "liver")
    np.testing.assert_array_equal(written["target_mean"], written["target_means"][1])
    np.testing.assert_array_equal(model.target_mean, written["target_means"][1])
    said = model.classifier.predict_proba(fitted_many.layers["xadv"])
    np.testing.assert_allclose(fitted_many.obs["tspg_target_probability"], said[:, 0], atol=1e-6)
    classes = np.array(["liver", "lung", "thyroid"])
    assert (fitted_many.obs["tspg_predicted"] == classes[said.argmax(axis=1)]).all()
    assert "tspg_pca" not in fitted_many.obsm
    assert "tspg_split" in fitted_many.obs
    shown = sp.get.transition(fitted_many, "sample30")["target_mean"][list(fitted_many.var_names)]
    low, high = written["scale_min"], written["scale_max"]
    np.testing.assert_allclose(shown, (written["target_mean"] - low) / (high - low), atol=1e-6)
    sp.tl.perturb(fitted_many, "lung")
    assert same_adata(fitted_many, first)


def test_the_target_asked_for_last_is_the_one_that_is_kept(fitted_many, new):
    sp.tl.perturb(fitted_many, "liver")
    sp.tl.perturb(new, reference=fitted_many)
    assert sp.get.model(new).target == "liver"
    np.testing.assert_array_equal(
        new.layers["xadv"], sp.get.model(fitted_many).towards("liver").perturb(new.X)
    )


def test_the_target_asked_for_is_the_one_that_is_judged(fitted_many):
    sp.tl.perturb(fitted_many, "liver")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so small a fit may well lose to a baseline
        sp.tl.evaluate(fitted_many, n_bootstrap=0)
    assert set(sp.get.evaluation_df(fitted_many)["target"]) == {"liver"}


def test_broken_values_are_refused(fitted, new):
    new.X[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"1 values .* sample 'sample3', gene 'gene4'"):
        sp.tl.perturb(new, reference=fitted)


def test_without_a_fit_the_call_to_make_is_named(new):
    with pytest.raises(KeyError, match=r"sp\.tl\.fit_tspg\(adata, groupby, target\)"):
        sp.tl.perturb(new)


def test_the_log_says_how_often_f_is_convinced(fitted, new, caplog):
    sp.tl.perturb(new, reference=fitted)
    share = 100 * (new.obs["tspg_predicted"] == "lung").mean()
    assert f"calls {share:.1f} % of 8 samples lung" in caplog.text


def perturb_in_a_process(kind, target, fitted, new, result) -> None:
    read = ad.read_h5ad if kind == "h5ad" else ad.read_zarr
    fitted, new = read(fitted), ad.read_h5ad(new)
    new = new[:, ::-1].copy()
    new.var_names = new.var_names.astype(str)
    sp.tl.perturb(new, target, reference=fitted)
    np.save(result, new.layers["xadv"][:, ::-1])


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore")  # AnnData's own, on its file formats
def test_a_fit_read_from_a_file_gives_the_same_in_a_new_process(fitted_many, kind, new, tmp_path):
    fitted, target = fitted_many, "liver"  # the second one
    paths = [tmp_path / name for name in (f"fitted.{kind}", "new.h5ad", "result.npy")]
    fitted.write_h5ad(paths[0]) if kind == "h5ad" else fitted.write_zarr(paths[0])
    new.write_h5ad(paths[1])
    finish(start(perturb_in_a_process, kind, target, *paths))
    sp.tl.perturb(new, target, reference=fitted)
    np.testing.assert_array_equal(np.load(paths[2]), new.layers["xadv"])


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [("fitted_many", "h5ad"), ("fitted_many", "zarr"), ("fitted_by_paper", "h5ad")],
)
@pytest.mark.filterwarnings("ignore")
def test_a_fit_read_from_a_file_is_the_one_that_was_written(request, recipe, kind, tmp_path):
    fitted = request.getfixturevalue(recipe)
    path = tmp_path / f"fitted.{kind}"
    sp.tl.embed(fitted, method="pca", n_perturbed=5)
    fitted.write_h5ad(path) if kind == "h5ad" else fitted.write_zarr(path)
    back = ad.read_h5ad(path) if kind == "h5ad" else ad.read_zarr(path)
    np.testing.assert_array_equal(back.layers["xadv"], fitted.layers["xadv"])
    np.testing.assert_allclose(sp.get.history(back), sp.get.history(fitted))
    assert list(sp.get.history(back).index) == list(sp.get.history(fitted).index)
    was, now = sp.get.model(fitted), sp.get.model(back)
    assert {k: str(v) for k, v in now.params.items()} == {k: str(v) for k, v in was.params.items()}
    assert list(now.genes) == list(was.genes)
    assert now.targets == was.targets
    np.testing.assert_array_equal(now.target_means, was.target_means)
    np.testing.assert_array_equal(now.perturb(fitted.X), was.perturb(fitted.X))
    sp.tl.fit_tspg(back, "tissue", "liver")  # the classifier fits still
    assert "xadv" in back.layers
