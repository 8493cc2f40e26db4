from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from scgan_perturb.metrics import mean_r2, variance_r2

A, B = np.random.default_rng(0).random((2, 6, 20)) * np.linspace(0.2, 1, 20)


@pytest.mark.parametrize(("measure", "moment"), [(mean_r2, np.mean), (variance_r2, np.var)])
def test_agreement_is_pearsons_squared(measure, moment):
    expected = pearsonr(moment(A, axis=0), moment(B, axis=0)).statistic ** 2
    assert measure(A, B) == pytest.approx(expected)


def test_moments_that_do_not_vary_over_genes_have_no_correlation():
    assert np.isnan(mean_r2(np.ones((2, 3)), B[:, :3]))


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="b has no sample"):
        mean_r2(A, B[:0])
    with pytest.raises(ValueError, match="at least 2 samples on each side, not 1 and 6"):
        variance_r2(A[:1], B)
