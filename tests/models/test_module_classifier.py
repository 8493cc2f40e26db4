from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import scgan_perturb as sp
from scgan_perturb.data._scaling import GeneScaler
from scgan_perturb.models._module_classifier import ModuleClassifier
from scgan_perturb.networks import _perturber
from tests.conftest import fit_tspg, make_adata, same_adata

LABELS = ["thyroid", "brain", "liver", "lung"]  # of the module, in the order of its logits
CLASSES = np.array(["liver", "lung", "thyroid"], dtype=object)  # of the fit
N_GENES = 12


class Linear(nn.Module):
    """Logits in input units, and what it was given."""

    def __init__(self, n_genes: int = N_GENES, n_labels: int = len(LABELS)) -> None:
        super().__init__()
        self.layer = nn.Linear(n_genes, n_labels)
        rng = torch.Generator().manual_seed(0)
        nn.init.normal_(self.layer.weight, generator=rng)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.fixture
def expression() -> np.ndarray:
    x = make_adata().X.copy()
    x[:, 4] = 1.5  # a gene that does not vary
    return x


def wrap(module: nn.Module, x: np.ndarray, labels: list = LABELS) -> ModuleClassifier:
    scaler = GeneScaler.fit(x, np.arange(len(x)))
    genes = np.array([f"gene{i}" for i in range(x.shape[1])])
    return ModuleClassifier(module, labels, classes=CLASSES, genes=genes, scaler=scaler)


def test_it_is_given_input_units_and_its_labels_are_put_in_the_order_of_the_fit(expression):
    module = Linear()
    wrapped = wrap(module, expression)
    assert list(wrapped.classes) == ["liver", "lung", "thyroid", "brain"]
    with torch.no_grad():
        own = module(torch.from_numpy(expression)).softmax(dim=1).numpy()
    order = [LABELS.index(label) for label in wrapped.classes]
    np.testing.assert_allclose(wrapped.predict_proba(expression), own[:, order], atol=1e-5)


def test_the_module_itself_is_left_as_it_was(expression):
    module = Linear().train()
    wrap(module, expression).predict_proba(expression)
    assert module.training
    assert module.layer.weight.requires_grad


class Detached(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).detach()


@pytest.mark.parametrize(
    ("module", "labels", "match"),
    [
        (Linear(), ["thyroid", "brain", "liver", "heart"], "does not know 'lung'"),
        (Linear(n_genes=7), LABELS, "cannot read samples × 12 genes"),
        (Linear(n_labels=3), LABELS, r"gives \(2, 3\) for 2 samples, not logits of 2 × 4"),
        (Detached(), LABELS, "has no gradient"),
    ],
    ids=["unknown class", "other genes", "other labels", "no gradient"],
)
def test_a_module_that_does_not_fit_is_refused(expression, module, labels, match):
    with pytest.raises(ValueError, match=match):
        wrap(module, expression, labels)


def test_the_generator_of_recipe_paper_learns_to_convince_it():
    shares = []
    for weight in (0.0, 50.0):
        adata = make_adata()
        fit_tspg(
            adata, "tissue", "lung", classifier=Linear(), classes=LABELS, recipe="paper",
            max_epochs=20, weight_adv=weight,
        )  # fmt: skip
        shares.append((adata.obs["tspg_predicted"] == "lung").mean())
    assert shares[1] > shares[0] + 0.05


def predicted_labels(module: nn.Module, expression: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.array(LABELS)[module(torch.from_numpy(expression)).argmax(dim=1)]


def test_of_the_draws_of_recipe_transport_the_first_that_convinces_it_counts(monkeypatch):
    adata, module = make_adata(), Linear()
    nn.init.constant_(module.layer.bias[-1:], 8)  # half of the samples convince it, some just so
    sp.tl.fit_tspg(adata, "tissue", "lung", classifier=module, classes=LABELS)
    chosen, model = adata.layers["xadv"], sp.get.model(adata)
    convinced = predicted_labels(module, chosen) == "lung"
    assert (adata.obs["tspg_predicted"] == "lung").tolist() == convinced.tolist()
    by_f = model.perturb(adata.X)  # chosen by the classifier that was fitted
    assert convinced.sum() > (predicted_labels(module, by_f) == "lung").sum()
    assert (chosen != by_f).any()
    monkeypatch.setattr(_perturber, "N_DRAWS", 1)
    first = model.perturb(adata.X)
    at_once = predicted_labels(module, first) == "lung"
    kept = at_once | ~convinced  # of no draw that convinces, the first counts too
    np.testing.assert_array_equal(chosen[kept], first[kept])
    assert (chosen[~kept] != first[~kept]).any(axis=1).all()
    assert 0 < kept.sum() < len(kept)


def test_it_is_asked_for_the_predicted_class():
    adata, module = make_adata(), Linear()
    sp.tl.fit_tspg(
        adata,
        "tissue",
        "lung",
        classifier=module,
        classes=LABELS,
    )
    with torch.no_grad():
        said = module(torch.from_numpy(adata.layers["xadv"])).softmax(dim=1).numpy()
    predicted = adata.obs["tspg_predicted"]
    assert list(predicted.cat.categories) == ["liver", "lung", "thyroid", "brain"]
    assert (predicted == np.array(LABELS)[said.argmax(axis=1)]).all()
    np.testing.assert_allclose(adata.obs["tspg_target_probability"], said[:, 3], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"classifier": Linear()}, "name its labels, in the order of its logits"),
        ({"classes": LABELS}, "classes= belongs to a torch module"),
    ],
    ids=["no classes", "no module"],
)
def test_module_and_classes_come_together(options, match):
    adata = make_adata()
    before = adata.copy()
    with pytest.raises(ValueError, match=match):
        sp.tl.fit_tspg(adata, "tissue", "lung", **options)
    assert same_adata(adata, before)
