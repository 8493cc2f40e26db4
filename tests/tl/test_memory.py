"""Full covariance at 20,000 genes without a genes × genes array."""

from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pytest

import scgan_perturb as sp
from tests.new_process import finish, start

N_GENES = 20_000
SQUARE_BYTES = 4 * N_GENES**2


def fit_and_measure(result) -> None:
    import resource

    adata = ad.AnnData(np.random.default_rng(0).random((60, N_GENES), dtype=np.float32))
    adata.obs["y"] = ["a", "b"] * 30
    sp.tl.fit_classifier(adata, "y", max_epochs=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sp.tl.fit_tspg(adata, "y", "b")
    assert np.isfinite(adata.layers["xadv"]).all()
    result.write_text(str(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)))


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kibibytes on Linux only")
def test_a_fit_at_20000_genes_stays_below_one_genes_by_genes_array(tmp_path):
    finish(start(fit_and_measure, tmp_path / "grown"))
    # Networks and their optimisers need some 0.5 GB; the float32 array would be 1.6 GB.
    assert int((tmp_path / "grown").read_text()) < SQUARE_BYTES / 2
