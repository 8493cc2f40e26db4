from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.models._files import save_parts
from scgan_perturb.networks import _perturber
from scgan_perturb.networks._networks import Generator, from_arrays
from tests.conftest import make_adata


@pytest.fixture
def model(fitted):
    return sp.get.model(fitted)


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_perturb_is_clip_of_x_plus_g_by_the_paper(fitted_by_paper):
    import torch

    model, fitted = sp.get.model(fitted_by_paper), fitted_by_paper
    low, high = model.scaler.minimum, model.scaler.maximum
    scaled = ((fitted.X - low) / (high - low)).clip(0, 1)
    with torch.device("meta"):
        generator = Generator(12)
    change = from_arrays(generator, model.weights)(torch.from_numpy(scaled)).numpy()
    expected = (scaled + change).clip(0, 1) * (high - low) + low
    np.testing.assert_allclose(model.perturb(fitted.X), expected, atol=1e-5)


@pytest.mark.parametrize(
    "kind", [sparse.csr_matrix, sparse.coo_matrix, np.float64, list, pd.DataFrame]
)
def test_any_kind_of_matrix_gives_the_same(model, fitted, kind):
    np.testing.assert_allclose(model.perturb(kind(fitted.X)), model.perturb(fitted.X), atol=1e-6)


def test_blocks_do_not_change_the_result(model, fitted):
    """A block has at most 1,024 samples."""
    expected = np.tile(model.perturb(fitted.X), (50, 1))
    found = model.perturb(np.tile(fitted.X, (50, 1)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_no_samples_give_no_samples(model):
    assert model.perturb(np.empty((0, 12), dtype=np.float32)).shape == (0, 12)


@pytest.mark.parametrize("shape", [(3, 11), (12,)])
def test_another_number_of_genes_is_refused(model, shape):
    with pytest.raises(ValueError, match="must be samples × 12 genes, not of shape"):
        model.perturb(np.zeros(shape, dtype=np.float32))


def test_broken_values_are_refused(model):
    with pytest.raises(ValueError, match="NaN or infinite"):
        model.perturb(np.full((1, 12), np.nan))


def test_probabilities_sum_to_one(model, fitted):
    said = model.classifier.predict_proba(fitted.X)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


def test_a_saved_model_gives_the_same(model, folder, fitted):
    back = sp.get.PerturbationModel.load(folder)
    np.testing.assert_array_equal(back.perturb(fitted.X), model.perturb(fitted.X))
    assert back.params == model.params
    assert back.target == "lung"
    assert list(back.genes) == list(model.genes)
    np.testing.assert_array_equal(back.target_mean, model.target_mean)


@pytest.mark.parametrize("fit", ["fitted_many", "fitted_by_paper"])
def test_a_saved_model_gives_the_same_towards_each_target(request, fit, tmp_path):
    fitted = request.getfixturevalue(fit)
    model = sp.get.model(fitted)
    model.save(tmp_path)
    back = sp.get.PerturbationModel.load(tmp_path)
    assert back.targets == model.targets
    np.testing.assert_array_equal(back.target_means, model.target_means)
    for target in model.targets:
        np.testing.assert_array_equal(
            back.towards(target).perturb(fitted.X), model.towards(target).perturb(fitted.X)
        )


def test_a_model_that_is_saved_towards_another_target_stays_so(fitted_many, tmp_path):
    sp.get.model(fitted_many).towards("liver").save(tmp_path)
    back = sp.get.PerturbationModel.load(tmp_path)
    assert back.target == "liver"
    np.testing.assert_array_equal(back.target_mean, fitted_many.uns["tspg"]["target_means"][1])


def test_towards_gives_another_model_and_leaves_this_one(fitted_many):
    model = sp.get.model(fitted_many)
    other = model.towards("liver")
    assert (model.target, other.target) == ("lung", "liver")
    assert (model.target_class, other.target_class) == (1, 0)
    assert other.targets == model.targets == ("lung", "liver")
    np.testing.assert_array_equal(other.target_mean, model.target_means[1])
    called = other.classifier.predict_proba(other.perturb(fitted_many.X)).argmax(axis=1)
    assert (called == 0).mean() > 0.8


@pytest.mark.parametrize("target", ["thyroid", "Lung", None])
def test_towards_another_target_names_those_there_are(fitted_many, target):
    with pytest.raises(ValueError, match=f"fitted for target 'lung', 'liver', not '{target}'"):
        sp.get.model(fitted_many).towards(target)


def test_a_model_with_several_sources_can_be_saved(tmp_path):
    adata = make_adata()
    sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    sp.tl.fit_tspg(adata, "tissue", "lung", source=["liver", "thyroid"])
    sp.get.model(adata).save(tmp_path)
    assert sp.get.PerturbationModel.load(tmp_path).params["source"] == ["liver", "thyroid"]


def test_nothing_in_the_folder_is_pickled(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    json.loads((folder / "model.json").read_text())


def cut_off(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def pickle_instead(folder):
    (folder / "weights.safetensors").write_bytes(pickle.dumps({"weights": [1]}))


def change_json(**changes):
    def change(folder):
        path = folder / "model.json"
        text = {**json.loads(path.read_text()), **changes}
        text.pop("digest")  # as if on purpose
        path.write_text(json.dumps(text))

    return change


def flip_a_bit(folder):
    path = folder / "weights.safetensors"
    body = bytearray(path.read_bytes())
    body[-1000] ^= 1
    path.write_bytes(body)


def swap_models(folder):
    adata = make_adata(seed=1)
    sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    sp.tl.fit_tspg(adata, "tissue", "lung")
    sp.get.model(adata).save(folder.parent / "other")
    (folder.parent / "other" / "model.json").replace(folder / "model.json")


def store_half_precision(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"C64"', 1))
    change_json()(folder)


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        pickle_instead,
        lambda folder: (folder / "model.json").write_text("{"),
        lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe"),
        change_json(format=99),
        change_json(genes=["gene0"]),
        change_json(classes=["a", "b"]),
        change_json(params={}),
        change_json(params=3),
        change_json(classes=["liver", "lung", "lung"]),
        lambda folder: (folder / "model.json").write_text("[" * 100_000),
        flip_a_bit,
        swap_models,
        store_half_precision,
    ],
    ids=[
        "cut off",
        "pickled",
        "half JSON",
        "no text",
        "newer",
        "genes",
        "classes",
        "no parameters",
        "odd parameters",
        "a class twice",
        "deep JSON",
        "a flipped bit",
        "of two models",
        "half precision",
    ],
)
def test_a_damaged_folder_is_a_clear_error(folder, damage):
    damage(folder)
    with pytest.raises(ValueError, match="The model in .* cannot be read"):
        sp.get.PerturbationModel.load(folder)


def test_a_model_of_an_earlier_version_has_no_digest(folder, model, fitted):
    change_json()(folder)
    back = sp.get.PerturbationModel.load(folder)
    np.testing.assert_array_equal(back.perturb(fitted.X), model.perturb(fitted.X))


def test_a_few_names_ask_for_no_memory(folder, monkeypatch):
    import torch

    place = list(sp.get.PerturbationModel.load(folder).classifier.classes).index("lung")
    names = [*map(str, range(10_000))]
    change_json(classes=[*names[:place], "lung", *names[place:]])(folder)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", None)
    with pytest.raises(ValueError, match=r"has shape \(3, .*\), not \(10001, "):
        sp.get.PerturbationModel.load(folder)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("location", np.nan, "'location' holds NaN or infinite values"),
        ("location", np.inf, "'location' holds NaN or infinite values"),
        ("centre", np.finfo(np.float32).max, "The model gives NaN"),
        ("covariance", np.finfo(np.float32).max, "The model gives NaN"),
        ("value", np.finfo(np.float32).max, "The model gives NaN"),
    ],
)
@pytest.mark.parametrize("method", ["perturb", "expected"])
def test_a_weight_that_is_or_becomes_infinite_is_a_clear_error(
    model, fitted, method, name, value, message
):
    model.weights[name][:] = value
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(fitted.X)


def test_expected_is_the_mean_of_many_draws(model, fitted, monkeypatch):
    """Draws with other seeds than that of the fit, the first of each."""
    monkeypatch.setattr(_perturber, "N_DRAWS", 1)
    draws = np.stack(
        [
            replace(model, params={**model.params, "seed": seed}).perturb(fitted.X)
            for seed in range(100, 300)
        ]
    )
    found, spread = model.expected(fitted.X, n_draws=200), draws.std(axis=0)
    error = 5.5 * spread * np.sqrt(2 / 200) + 3 / 200 * fitted.X.max()  # and three rare draws
    assert (np.abs(found - draws.mean(axis=0)) <= error).all()
    sources = (fitted.obs["tspg_predicted"] == "lung").to_numpy() & (fitted.obs["tissue"] != "lung")
    assert (np.median(spread[sources], axis=0) > 0).all()


def test_expected_of_one_draw_is_the_first_draw(model, fitted, monkeypatch):
    monkeypatch.setattr(_perturber, "N_DRAWS", 1)
    np.testing.assert_array_equal(model.expected(fitted.X, n_draws=1), model.perturb(fitted.X))


def test_expected_of_recipe_paper_is_its_only_result(fitted_by_paper):
    model = sp.get.model(fitted_by_paper)
    np.testing.assert_array_equal(
        model.expected(fitted_by_paper.X), model.perturb(fitted_by_paper.X)
    )


@pytest.mark.parametrize("method", ["perturb", "expected"])
def test_a_sample_has_the_same_bits_alone_and_in_company(model, fitted, method):
    together = getattr(model, method)(fitted.X)
    for row in range(0, 50, 7):
        alone = getattr(model, method)(fitted.X[[row]])
        np.testing.assert_array_equal(alone[0], together[row])
    many = getattr(model, method)(np.tile(fitted.X, (9, 1))[::-1])
    np.testing.assert_array_equal(many[::-1], np.tile(together, (9, 1)))


def of_version_0_1_0(fit):
    """Weights under the names of that version."""
    fit["weights"] = {n: w for n, w in fit["weights"].items() if n.startswith("classifier.")}
    names = ("gate", "mean", "spread", "familiar", "targets", "axes", "maps", "rest")
    fit["weights"] |= {f"generator.{name}": np.ones((3, 12), np.float32) for name in names}


OLD = "recipe 'transport' of version 0.1.0, .* call sp.tl.fit_tspg again"


@pytest.mark.parametrize(
    "read", [sp.get.model, sp.get.perturbation, sp.tl.perturb, sp.tl.rank_genes]
)
def test_a_fit_of_version_0_1_0_has_to_be_made_again(fitted, read):
    of_version_0_1_0(fitted.uns["tspg"])
    with pytest.raises(ValueError, match=f"^The fit is of {OLD}.$"):
        read(fitted)


def test_so_has_a_saved_one(fitted, tmp_path):
    of_version_0_1_0(fitted.uns["tspg"])
    names = ("params", "genes", "classes", "scale_min", "scale_max", "target_means", "weights")
    save_parts({name: fitted.uns["tspg"][name] for name in names}, tmp_path)
    with pytest.raises(ValueError, match=OLD):
        sp.get.PerturbationModel.load(tmp_path)


def test_a_folder_without_a_model_is_a_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no model\.json"):
        sp.get.PerturbationModel.load(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda fit: fit.pop("genes"),
        lambda fit: fit.update(genes=fit["genes"][:3]),
        lambda fit: fit.update(weights=None),
        lambda fit: fit["params"].update(target="heart"),
        lambda fit: fit.pop("target_means"),
        lambda fit: fit.update(target_means=fit["target_means"][:, :3]),
        lambda fit: fit["params"].update(targets=["lung", "liver"]),
        lambda fit: fit["params"].pop("groupby"),
        lambda fit: fit["params"].update(layer=["counts"]),
        lambda fit: fit["scale_max"].__setitem__(0, np.inf),
        lambda fit: fit["target_means"].__setitem__((0, 0), np.nan),
        lambda fit: fit["genes"].__setitem__(0, "gene1"),
        lambda fit: fit["weights"]["generator.targets"].__setitem__(0, -1),
        lambda fit: fit["weights"]["generator.targets"].__setitem__(0, 0),
    ],
)
def test_a_damaged_fit_in_uns_is_a_clear_error(fitted, damage):
    damage(fitted.uns["tspg"])
    with pytest.raises(ValueError, match=r"uns\['tspg'\] does not hold a fit"):
        sp.get.model(fitted)


@pytest.mark.parametrize("thing", [None, 3, "text", np.zeros(3), pd.DataFrame({"a": [1]}), {}])
def test_anything_else_in_its_place_is_a_clear_error(fitted, thing):
    fitted.uns["tspg"] = thing
    with pytest.raises(ValueError, match=r"uns\['tspg'\] does not hold a fit"):
        sp.get.model(fitted)


def test_a_saved_model_keeps_its_contexts_and_their_numbers(ranked_in_contexts, tmp_path):
    sp.get.model(ranked_in_contexts).save(tmp_path)
    loaded = sp.get.PerturbationModel.load(tmp_path)
    assert list(loaded.contexts) == ["B", "CD4+/CD8+ T", "NK"]
    np.testing.assert_array_equal(loaded.params["n_train"], [[12, 12, 12], [12, 12, 0]])


@pytest.mark.parametrize("numbers", [None, [[1, 2, 3]], "12"], ids=["lack", "shape", "text"])
def test_a_fit_whose_numbers_of_samples_are_damaged_is_refused(ranked_in_contexts, numbers):
    params = ranked_in_contexts.uns["tspg"]["params"]
    params["n_train"] = numbers
    if numbers is None:
        del params["n_train"]
    with pytest.raises(ValueError, match="does not hold a fit"):
        sp.get.model(ranked_in_contexts)
