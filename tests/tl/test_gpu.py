from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import torch
from torch import nn

import scgan_perturb as sp
from scgan_perturb.data._rows import ScaledRows
from scgan_perturb.data._scaling import GeneScaler
from scgan_perturb.training._train_tspg import TspgTrainer
from tests.conftest import fit_tspg, make_adata
from tests.new_process import finish, start

GPU = {"accelerator": "cuda"}
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_one_model_gives_the_same_on_cpu_and_gpu(fitted):
    model = sp.get.model(fitted)
    on_cpu, on_gpu = (model.perturb(fitted.X, accelerator=name) for name in ("cpu", "cuda"))
    _assert_the_same(on_gpu, on_cpu)


def _assert_the_same(one, other):
    """Rounding may decide whether a gene is present, in one of many thousand values."""
    assert np.isclose(one, other, atol=1e-4).mean() > 0.999


@pytest.mark.parametrize("name", ["fitted_by_paper", "fitted_many"])
def test_other_models_give_the_same_too(name, request):
    fitted = request.getfixturevalue(name)
    on_cpu, on_gpu = (sp.tl.perturb(fitted, accelerator=d, copy=True) for d in ("cpu", "cuda"))
    _assert_the_same(on_gpu.layers["xadv"], on_cpu.layers["xadv"])
    one, other = (each.obs["tspg_target_probability"] for each in (on_gpu, on_cpu))
    assert np.isclose(one, other, atol=1e-3).mean() > 0.95


def test_an_evaluation_says_the_same_on_both(fitted):
    on_cpu, on_gpu = (
        sp.get.evaluation_df(sp.tl.evaluate(fitted, n_bootstrap=20, accelerator=d, copy=True))
        for d in ("cpu", "cuda")
    )
    columns = on_cpu.select_dtypes("number").columns
    np.testing.assert_allclose(on_gpu[columns], on_cpu[columns], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_rows_are_held_where_there_is_room(build, kind, monkeypatch):
    x, everyone = build(kind=kind).X, np.arange(50)
    scaler = GeneScaler.fit(x, everyone)
    held = ScaledRows(x, everyone, scaler, torch.device("cuda"))
    # Half of it may be taken: all but one byte of what the rows need.
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * 50 * 12 * 4 - 1, 10**9))
    not_held = ScaledRows(x, everyone, scaler, torch.device("cuda"))
    assert held.is_held
    assert not not_held.is_held
    torch.testing.assert_close(held.all(), not_held.all(), rtol=0, atol=0)


class Judge(nn.Module):
    """A classifier of somebody else."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"recipe": "paper", "max_epochs": 2},
        {"target": ["lung", "liver"]},
        {"sparsity": 0.5},
        {"classifier": Judge, "classes": ["liver", "lung", "thyroid"]},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_a_fit_runs_on_the_gpu(build, options, kind, precision):
    adata = build(kind=kind)
    if "classifier" in options:
        options = {**options, "classifier": options["classifier"]()}
    options = {"target": "lung", "max_epochs": 6, **options}
    fit_tspg(adata, "tissue", fabric={**GPU, "precision": precision}, **options)
    x_adv = adata.layers["xadv"]
    assert np.isfinite(x_adv.data if kind == "csr" and hasattr(x_adv, "data") else x_adv).all()


def _fit_in_a_group() -> None:
    for recipe in ("transport", "paper"):
        adata = make_adata()
        fabric = {**GPU, "strategy": "ddp"}
        fit_tspg(adata, "tissue", "lung", recipe=recipe, max_epochs=2, fabric=fabric)
        assert np.isfinite(adata.layers["xadv"]).all()


def test_a_group_of_one_process_fits_on_the_gpu():
    finish(start(_fit_in_a_group))


def test_a_file_is_fitted_on_the_gpu_as_memory_is(tmp_path):
    sizes = {"liver": 30, "lung": 25, "thyroid": 25}
    # Rows of a dense matrix in memory are held on the device; in float32 both do the same.
    memory = make_adata(sizes)
    memory.write_h5ad(tmp_path / "samples.h5ad")
    on_disk = ad.read_h5ad(tmp_path / "samples.h5ad", backed="r+")
    for adata in (memory, on_disk):
        options = {"max_epochs": 4, "fabric": {**GPU, "precision": "32-true"}}
        sp.tl.fit_classifier(adata, "tissue", **options)
        fit_tspg(adata, "tissue", "lung", **options)
        sp.tl.evaluate(adata, n_bootstrap=0, accelerator="cuda")
    np.testing.assert_allclose(on_disk.layers["xadv"][:], memory.layers["xadv"], atol=1e-3)


class Stopped(Exception):
    """What the test raises in a step."""


def test_a_stopped_fit_goes_on(build, tmp_path, monkeypatch):
    monkeypatch.setattr(sp.settings, "checkpoint_interval", 0.0)
    original = TspgTrainer.step

    def fit(adata, stops_after: int | None = None, **options):
        left = iter(range(10_000 if stops_after is None else stops_after))

        def step(*args):
            if next(left, None) is None:
                raise Stopped
            return original(*args)

        monkeypatch.setattr(TspgTrainer, "step", step)
        options |= {"max_epochs": 8, "batch_size": 16, "recipe": "paper"}
        options["fabric"] = {**GPU, "precision": "32-true"}
        fit_tspg(adata, "tissue", "lung", **options)
        return adata.uns["tspg"]["history"].to_numpy()

    whole = fit(build())
    for stops_after in (2, 9):
        with pytest.raises(Stopped):
            fit(build(), stops_after, checkpoint=tmp_path)
    np.testing.assert_allclose(fit(build(), checkpoint=tmp_path), whole, rtol=1e-3, atol=1e-3)
