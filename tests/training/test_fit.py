from __future__ import annotations

import numpy as np
import pytest
import torch

import scgan_perturb as sp
from scgan_perturb.networks._draws import keys_of
from scgan_perturb.training._fit import _close_gates
from tests.conftest import make_adata
from tests.networks.transports import N_CLASSES, N_GENES, estimated, simulated

TARGETS = (2, 0)


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.96])
def test_a_sparse_fit_leaves_alone_what_the_transport_changes_least(sparsity):
    generator, train = estimated(TARGETS, 100), simulated(100)
    changes = []
    for target, label in enumerate(TARGETS):
        sources = train.labels != label
        x, labels = train.rows.x[sources], train.labels[sources]
        prepared = generator.prepare(target)
        perturbed, _ = generator(
            prepared, generator.encode(prepared, x, labels, keys_of(x)), seed=3, draw=0
        )
        changes.append((perturbed - x).square().mean(0))
    assert (generator.gate == 1).all()
    _close_gates(generator, train, sparsity, seed=3)
    for gate, change in zip(generator.gate, changes, strict=True):
        is_open = gate.bool()
        assert (~is_open).sum() == int(sparsity * N_GENES)
        assert change[is_open].min() >= change[~is_open].max()


def test_gates_are_chosen_on_a_sample_of_each_class(monkeypatch):
    read = []
    generator, train = estimated(TARGETS, 100), simulated(1000)
    rows = type(train.rows).__getitem__
    monkeypatch.setattr(
        type(train.rows), "__getitem__", lambda self, index: read.append(index) or rows(self, index)
    )
    _close_gates(generator, train, 0.5, seed=0)
    (index,) = read
    assert 900 < len(index) <= 1024
    counts = torch.bincount(train.labels[index], minlength=N_CLASSES)
    assert counts.max() - counts.min() <= 1


@pytest.fixture(scope="module")
def fitted():
    adata = make_adata({"liver": 40, "lung": 30, "thyroid": 30})
    sp.tl.fit_classifier(adata, "tissue", max_epochs=4)
    sp.tl.fit_tspg(adata, "tissue", ["lung", "liver"])
    return adata


def test_the_history_has_one_row_with_the_success_on_held_out_samples(fitted):
    model, hits = sp.get.model(fitted), []
    held_out = fitted[fitted.obs["classifier_split"] == "test"]
    for position, target in enumerate(("lung", "liver")):
        part = held_out[position::2]
        part = part[part.obs["tissue"] != target]
        perturbed = model.towards(target).perturb(part.X)
        predicted = model.classifier.predict_proba(perturbed).argmax(axis=1)
        hits += list(model.classifier.classes[predicted] == target)
    history = fitted.uns["tspg"]["history"]
    assert len(history) == 1
    assert history["held_out_success"].item() == pytest.approx(np.mean(hits))


def test_a_fit_of_the_same_seed_has_the_same_weights(fitted):
    again = fitted.copy()
    sp.tl.fit_tspg(again, "tissue", ["lung", "liver"])
    expected = fitted.uns["tspg"]["weights"]
    for name, found in again.uns["tspg"]["weights"].items():
        np.testing.assert_array_equal(found, expected[name])


def test_an_order_of_targets_changes_their_order_only(fitted):
    again = fitted.copy()
    sp.tl.fit_tspg(again, "tissue", ["liver", "lung"])
    models = [sp.get.model(adata).towards("lung") for adata in (fitted, again)]
    np.testing.assert_array_equal(*(model.perturb(fitted.X[:20]) for model in models))
