"""This package with recipe "paper": networks, losses and learning rates as published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from answer import answer
from package import fit

if TYPE_CHECKING:
    import argparse

    import anndata as ad
    import numpy as np


def predict(adata: ad.AnnData, options: argparse.Namespace) -> np.ndarray:
    """The paper's method knows no contexts."""
    return fit(adata, recipe="paper", rng=options.seed)


if __name__ == "__main__":
    answer(predict, package="scgan_perturb", settings='recipe="paper", without contexts')
