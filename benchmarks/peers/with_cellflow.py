"""CellFlow (Klein et al. 2025): `pip install cellflow-tools requests`.

As in its tutorial of blood cells under cytokines in several donors: flow matching among principal
components. It is stopped at once where the first steps show that the tutorial's number of steps
takes longer than `--timeout`.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import anndata as ad
import cellflow.preprocessing as cfpp
import numpy as np
from answer import answer, as_array, is_target, is_train, to_perturb
from cellflow.model import CellFlow
from cellflow.training import ComputationCallback
from cellflow.utils import match_linear

if TYPE_CHECKING:
    import argparse

COMPONENTS = 100
STEPS, BATCH = 500_000, 1024
LEAST_STEPS = 50_000  # that the tutorial advises
N_TIMED = 5  # steps
TREATMENT_LAYERS = {"layer_type": "mlp", "dims": [1024, 1024], "dropout_rate": 0.5}
CONTEXT_LAYERS = {"layer_type": "mlp", "dims": [256, 256], "dropout_rate": 0.0}
POOLED_LAYERS = {"layer_type": "mlp", "dims": [1024, 1024], "dropout_rate": 0.0}
NETWORK = {
    "layers_before_pool": {"treatment": TREATMENT_LAYERS, "context": CONTEXT_LAYERS},
    "layers_after_pool": POOLED_LAYERS,
    "time_encoder_dims": [1024] * 3,
    "hidden_dims": [2048] * 3,
    "decoder_dims": [4096] * 3,
    "probability_path": {"constant_noise": 0.5},
    "match_fn": functools.partial(match_linear, epsilon=0.5, tau_a=1.0, tau_b=1.0),
}  # the tutorial's other settings are the defaults


class Clock(ComputationCallback):
    """RuntimeError if the first steps show that all take too long."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.times: list[float] = []

    def on_train_begin(self) -> None:
        pass

    def on_log_iteration(self, *_: object) -> dict[str, float]:
        self.times.append(time.perf_counter())
        if len(self.times) == 2:  # the first time is after compilation
            seconds = (self.times[1] - self.times[0]) * STEPS / N_TIMED
            if seconds > self.timeout:
                msg = (
                    f"the tutorial's {STEPS:,} steps take {seconds / 3600:.0f} hours on this "
                    f"machine (the least that it advises, {LEAST_STEPS:,}, "
                    f"{seconds / 3600 * LEAST_STEPS / STEPS:.0f}), "
                    f"more than --timeout {self.timeout:.0f}"
                )
                raise RuntimeError(msg)
        return {}

    def on_train_end(self, *_: object) -> dict[str, float]:
        return {}


def predict(adata: ad.AnnData, options: argparse.Namespace) -> np.ndarray:
    """Classes other than the target are the control; a context is told by the mean of its control."""
    adata = prepared(adata)
    train, asked = (adata[rows].copy() for rows in (is_train(adata), to_perturb(adata)))
    n_components = min(COMPONENTS, *(size - 1 for size in train.shape))
    cfpp.centered_pca(train, n_comps=n_components, keep_centered_data=False)
    cfpp.project_pca(asked, ref_adata=train)
    for part in (train, asked):
        part.uns["contexts"] = means_of_controls(train)
    model = fit(train, options)
    wanted = asked.obs.drop_duplicates("context").assign(treatment="target", is_control=False)
    wanted["condition"] = wanted["context"]  # the names of the answers
    moved = model.predict(asked, wanted, condition_id_key="condition")
    for context, codes in moved.items():
        asked.obsm["X_pca"][asked.obs["context"] == context] = codes
    cfpp.reconstruct_pca(asked, use_rep="X_pca", ref_adata=train)
    return asked.layers["X_recon"]


def prepared(adata: ad.AnnData) -> ad.AnnData:
    """With the names that `fit` tells CellFlow."""
    obs = adata.obs[["condition", "split"]].copy()
    obs["context"] = adata.obs.get("context", "all")
    obs["is_control"] = ~is_target(adata)
    obs["treatment"] = np.where(obs["is_control"], "control", "target")
    obs = obs.astype({"context": "category", "treatment": "category"})
    x = as_array(adata.X).astype(np.float32)
    return ad.AnnData(x, obs=obs, var=adata.var[[]], uns={"target": adata.uns["target"]})


def means_of_controls(train: ad.AnnData) -> dict[str, np.ndarray]:
    control = train[train.obs["is_control"]]
    rows = control.obs.groupby("context", observed=True).indices
    return {name: control.obsm["X_pca"][part].mean(axis=0) for name, part in rows.items()}


def fit(train: ad.AnnData, options: argparse.Namespace) -> CellFlow:
    """Learn contexts with samples of the target; it fails where it draws one without."""
    paired = train.obs.loc[~train.obs["is_control"], "context"].unique()
    model = CellFlow(train[train.obs["context"].isin(paired)].copy(), solver="otfm")
    model.prepare_data(
        sample_rep="X_pca",
        control_key="is_control",
        perturbation_covariates={"treatment": ("treatment",)},
        sample_covariates=["context"],
        sample_covariate_reps={"context": "contexts"},
        split_covariates=["context"],
        max_combination_length=1,
    )
    model.prepare_model(**NETWORK, seed=options.seed)
    clock = Clock(options.timeout)
    model.train(STEPS, batch_size=BATCH, valid_freq=N_TIMED, callbacks=[clock])
    return model


if __name__ == "__main__":
    settings = (
        f"its tutorial of cytokines in blood cells: {COMPONENTS} components, {STEPS:,} steps in "
        f"batches of {BATCH}; the treatment is one-hot, not an embedding of a protein"
    )
    answer(predict, package="cellflow-tools", settings=settings)
