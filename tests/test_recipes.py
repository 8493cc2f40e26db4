from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import scgan_perturb as sp
from scgan_perturb._recipes import resolve_recipe


@pytest.mark.parametrize(
    ("recipe", "options", "match"),
    [
        (
            sp.tl.Transport,
            {"sparsity": float("nan")},
            "sparsity must be a finite number of at leas",
        ),
        (sp.tl.Transport, {"sparsity": 1}, "sparsity must be .* at most 0.999, not 1"),
        (sp.tl.Transport, {"sparsity": "1"}, "sparsity must be .* not '1'"),
        (sp.tl.Transport, {"sparsity": True}, "sparsity must be .* not True"),
        (sp.tl.Paper, {"kappa": float("nan")}, "kappa must be a finite number of at least 0"),
        (sp.tl.Paper, {"weight_td": "1"}, "weight_td must be .* not '1'"),
        (sp.tl.Paper, {"max_epochs": 0}, "max_epochs must be a whole number of at least 1"),
        (sp.tl.Paper, {"max_epochs": 1.5}, "max_epochs must be a whole number .* not 1.5"),
        (sp.tl.Paper, {"batch_size": 1}, "batch_size must be a whole number of at least 2"),
        (sp.tl.Paper, {"shrinkage": "oas"}, "shrinkage must be .* not 'oas'"),
        (sp.tl.Paper, {"shrinkage": 1.1}, "shrinkage must be .* at most 1, not 1.1"),
        (sp.tl.Paper, {"weight_norm": -1.0}, "weight_norm must be a finite number of at least 0"),
    ],
)
def test_a_recipe_is_checked_when_it_is_made(recipe, options, match):
    with pytest.raises(ValueError, match=match):
        recipe(**options)


def test_an_option_of_the_other_recipe_is_unknown():
    with pytest.raises(TypeError, match="weight_gan"):
        sp.tl.Transport(weight_gan=1.0)


def test_a_recipe_takes_numbers_of_numpy_and_stays_as_it_is():
    recipe = sp.tl.Paper(kappa=np.float32(2), batch_size=np.int64(8))
    assert (recipe.kappa, recipe.batch_size) == (2, 8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.kappa = 1


@pytest.mark.parametrize(
    ("name", "recipe"), [("transport", sp.tl.Transport()), ("paper", sp.tl.Paper())]
)
def test_a_name_means_the_defaults(name, recipe):
    assert resolve_recipe(name) == recipe
    assert resolve_recipe(recipe) is recipe


def test_a_fit_stores_the_name_and_the_options_of_its_recipe():
    assert sp.tl.Transport(sparsity=0.5).params == {"recipe": "transport", "sparsity": 0.5}
    params = sp.tl.Paper().params
    assert (params["recipe"], params["max_epochs"]) == ("paper", 150)
