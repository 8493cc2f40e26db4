"""scanpy's bundled blood cells."""

from __future__ import annotations

import warnings

import anndata as ad


def pbmc68k() -> ad.AnnData:
    """700 blood cells of 10 types with log-normalised expression of 765 genes.

    The cells that come inside the scanpy package (:func:`scanpy.datasets.pbmc68k_reduced`), with
    log-normalised expression in `X` instead of z-scores. Needs no network.

    Returns
    -------
    AnnData with `X` (CSR, float32, 700 × 765), `obs["bulk_labels"]` and the other columns, colours
    and embeddings of the original.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> sp.datasets.pbmc68k().shape
    (700, 765)
    """
    import scanpy as sc  # noqa: PLC0415 (takes seconds)

    with warnings.catch_warnings():
        # The bundled file has an old format, of which its reader warns each time.
        warnings.simplefilter("ignore")
        reduced = sc.datasets.pbmc68k_reduced()
    colors = {name: value for name, value in reduced.uns.items() if name.endswith("_colors")}
    return ad.AnnData(
        reduced.raw.X.astype("float32"),
        obs=reduced.obs,
        var=reduced.var.loc[reduced.raw.var_names],
        obsm=dict(reduced.obsm),
        uns=colors,
    )
