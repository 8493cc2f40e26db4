"""A fit that is killed at any instant, many times over, ends with the bits of one that is not."""

from __future__ import annotations

import os
import shutil
import time

import anndata as ad
import numpy as np
import pytest

import scgan_perturb as sp
from tests.new_process import FORKS, finish, start
from tests.tl.test_checkpoint import same_fit

EPOCHS = 150
LONGEST = 4.0  # seconds from the start of training to a kill


def fit(folder, path, begun) -> None:
    """One fit of recipe "paper" to its end, or to the kill; it stores its state after each epoch."""
    sp.settings.checkpoint_interval = 0.0
    adata = sp.datasets.pbmc68k()
    begun.set()
    sp.tl.fit_tspg(
        adata,
        "bulk_labels",
        "CD19+ B",
        recipe=sp.tl.Paper(max_epochs=EPOCHS),
        checkpoint=folder,
    )
    adata.write_h5ad(path)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_fit_killed_many_times_ends_with_the_same_bits(tmp_path, request):
    rng = np.random.default_rng(request.config.getoption("fuzz_seed"))

    def begin(name: str):
        begun = FORKS.Event()
        process = start(fit, tmp_path / name, tmp_path / f"{name}.h5ad", begun)
        assert begun.wait(timeout=60)
        return process

    n_kills, n_resumed = 0, 0
    while n_kills < request.config.getoption("kills"):
        n_resumed += any((tmp_path / "killed").glob("*.safetensors"))
        process = begin("killed")
        time.sleep(rng.uniform(0, LONGEST))
        if process.is_alive():
            process.kill()
            n_kills += 1
        else:  # it has ended: start again from nothing
            shutil.rmtree(tmp_path / "killed")
        process.join()
    assert n_resumed > n_kills / 4
    for name in ("killed", "whole"):
        finish(begin(name))
    killed, whole = (ad.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("killed", "whole"))
    assert same_fit(killed, whole)
