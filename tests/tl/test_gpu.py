from __future__ import annotations

import numpy as np
import pytest
import torch

import scgan_perturb as sp
from scgan_perturb.training import _transport_trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_one_model_gives_the_same_on_cpu_and_gpu(fitted):
    model = sp.get.model(fitted)
    on_cpu, on_gpu = (model.perturb(fitted.X, accelerator=name) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4)


def test_a_fit_runs_on_the_gpu(adata):
    sp.tl.fit_tspg(
        adata,
        "tissue",
        "lung",
        recipe=sp.tl.Transport(max_epochs=2),
        fabric={"accelerator": "cuda"},
    )
    assert np.isfinite(adata.layers["xadv"]).all()


def test_a_captured_step_trains_as_one_that_is_not(adata, monkeypatch):
    """Ten epochs are more than the steps before the capture."""
    captured, plain = adata.copy(), adata.copy()
    sp.tl.fit_tspg(
        captured,
        "tissue",
        "lung",
        recipe=sp.tl.Transport(max_epochs=10),
        fabric={"accelerator": "cuda"},
    )
    monkeypatch.setattr(_transport_trainer, "Captured", lambda function: function)
    sp.tl.fit_tspg(
        plain,
        "tissue",
        "lung",
        recipe=sp.tl.Transport(max_epochs=10),
        fabric={"accelerator": "cuda"},
    )
    histories = [fit.uns["tspg"]["history"].to_numpy() for fit in (captured, plain)]
    np.testing.assert_allclose(*histories, rtol=1e-3, atol=1e-4)
