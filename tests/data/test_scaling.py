from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.preprocessing import MinMaxScaler

from scgan_perturb.data._scaling import GeneScaler


@pytest.fixture
def x() -> np.ndarray:
    x = np.random.default_rng(0).gamma(2, 3, size=(40, 7)).astype(np.float32)
    x[x < 2] = 0
    return x


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_scaling_agrees_with_scikit_learn(x, kind):
    x = np.tile(x, (60, 1)) * np.linspace(1, 2, 2400, dtype=np.float32)[:, None]  # several blocks
    rows = np.arange(0, len(x), 2)
    expected = MinMaxScaler(clip=True).fit(x[rows]).transform(x)
    scaler = GeneScaler.fit(kind(x), rows)
    np.testing.assert_allclose(scaler.transform(kind(x)), expected, atol=1e-6)


def test_chosen_rows_are_scaled_alone(x):
    scaler, rows = GeneScaler.fit(x, np.arange(40)), np.array([5, 3])
    np.testing.assert_array_equal(scaler.transform(x, rows), scaler.transform(x)[rows])


def test_scaling_back_restores_the_training_samples(x):
    scaler = GeneScaler.fit(x, np.arange(40))
    np.testing.assert_allclose(scaler.inverse(scaler.transform(x), x), x, atol=1e-5)


def test_scaling_back_stays_within_the_training_range(x):
    scaler = GeneScaler.fit(x, np.arange(40))
    restored = scaler.inverse(np.ones_like(x), x)
    assert (restored <= x.max(axis=0)).all()


def test_constant_genes_are_left_out_and_come_back_as_they_were(x):
    x[:30, 2] = 5
    scaler = GeneScaler.fit(x, np.arange(30))
    scaled = scaler.transform(x)
    assert scaled.shape == (40, 6)
    np.testing.assert_array_equal(scaler.inverse(scaled, x)[:, 2], x[:, 2])
    assert (scaler.scale(x)[:, 2] == 0).all()


def test_input_is_not_changed(x):
    before = x.copy()
    scaler = GeneScaler.fit(x, np.arange(40))
    scaler.inverse(scaler.transform(x), x)
    np.testing.assert_array_equal(x, before)


def test_what_did_not_change_comes_back_exactly():
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 9, size=(40, 6)).astype(np.float32)
    x[:, 2] = 3.3  # a gene that does not vary
    scaler = GeneScaler.fit(x, np.arange(20))  # the others may lie outside the range
    before = scaler.transform(x)
    after = before.copy()
    after[:, 1] = 0.5
    found = scaler.inverse(after, x, before)
    expected = np.clip(x, scaler.minimum, scaler.maximum)
    np.testing.assert_array_equal(np.delete(found, 1, axis=1), np.delete(expected, 1, axis=1))
    middle = (scaler.minimum + scaler.maximum)[1] / 2
    np.testing.assert_allclose(found[:, 1], middle, rtol=1e-6)
