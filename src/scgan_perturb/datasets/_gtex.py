"""GTEx, as its portal offers it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anndata as ad
import numpy as np

from .._messages import examples
from .._settings import settings
from ._convert import convert
from ._download import download
from ._gct import describe_genes, open_gct
from ._gene_table import check_var_names, discarded_if_damaged, name_genes, read_columns

if TYPE_CHECKING:
    import pandas as pd

PORTAL = "https://storage.googleapis.com/adult-gtex/"
# Where versions 7 and 8 lay before, and where a copy may still be had.
FORMER = "https://storage.googleapis.com/gtex_analysis_{version}/"
EXPRESSION = {
    "v7": "GTEx_Analysis_2016-01-15_v7_RNASeQCv1.1.8_gene_tpm.gct.gz",
    "v8": "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_tpm.gct.gz",
    "v10": "GTEx_Analysis_v10_RNASeQCv2.4.2_gene_tpm.gct.gz",
}
ATTRIBUTES = {
    "v7": "GTEx_v7_Annotations_SampleAttributesDS.txt",
    "v8": "GTEx_Analysis_v8_Annotations_SampleAttributesDS.txt",
    "v10": "GTEx_Analysis_v10_Annotations_SampleAttributesDS.txt",
}


def gtex(
    version: Literal["v7", "v8", "v10"] = "v8",
    *,
    var_names: Literal["symbol", "gene_id"] = "symbol",
    backed: bool = False,
) -> ad.AnnData:
    """Bulk RNA-seq of human tissues from GTEx.

    v7 (11,688 samples, 56,202 genes, 53 tissues) is the paper's; v8 has 17,382 samples, v10 about
    19,600. The first call downloads a gigabyte or more into `settings.dataset_dir` and converts it
    to an h5ad file there, which takes a few minutes and, for v7, 310 MB of memory
    (`benchmarks/loaders.py`); later calls read that file and need no network. A download that broke off goes on where it stopped. The file is checked
    against the MD5 that its server names, if it does, and in any case against the checksum within
    the gzip file and the shape that the GCT file announces.

    Parameters
    ----------
    version
        Release of GTEx.
    var_names
        Whether genes go by their symbol or by their Ensembl id. A symbol that several genes share
        names the first of them; the others go by their id.
    backed
        Leave the expression on disk, instead of reading it into memory (2.6 GB for v7, 3.9 GB for
        v8).

    Returns
    -------
    AnnData of samples × genes, float32, log2(TPM + 1). `obs`: `tissue` (53 in v7), `organ` (the
    coarser name), `donor`. `var`: `gene_id` (Ensembl, with version) and `symbol`.

    Raises
    ------
    ConnectionError
        If a file is not in the cache and cannot be downloaded.
    ValueError
        If there is no such version, or a downloaded file is cut off, damaged, or without the
        attributes of a sample.
    OSError
        If the cache folder cannot be read or written.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.gtex("v7")  # doctest: +SKIP
    """
    if version not in EXPRESSION:
        msg = f"GTEx {version!r} is not offered. There are: {', '.join(EXPRESSION)}."
        raise ValueError(msg)
    check_var_names(var_names)
    path = Path(settings.dataset_dir).expanduser() / "gtex" / f"{version}.h5ad"
    if not path.is_file():
        _convert(version, path)
    adata = ad.read_h5ad(path, backed="r" if backed else None)
    adata.var = name_genes(adata.var, var_names)
    return adata


def _convert(version: str, path: Path) -> None:
    """Download a release and write it as h5ad."""
    attributes = download(
        _addresses(version, ATTRIBUTES, "annotations/{}/metadata-files/", "annotations/"),
        path.with_name(ATTRIBUTES[version]),
    )
    expression = download(
        _addresses(version, EXPRESSION, "bulk-gex/{}/rna-seq/", "rna_seq_data/"),
        path.with_name(EXPRESSION[version]),
    )
    with discarded_if_damaged(attributes):
        described = read_columns(attributes, ["SAMPID", "SMTSD", "SMTS"])
    with discarded_if_damaged(expression), open_gct(expression) as table:
        convert(
            table,
            path,
            obs=_describe(table.samples, described, attributes),
            describe_genes=lambda names: describe_genes(expression, names),
            transform=lambda tpm: np.log2(tpm + 1),
        )


def _addresses(version: str, names: dict[str, str], folder: str, former: str) -> list[str]:
    """Where a file of a release may be had, the likeliest first."""
    name = names[version]
    addresses = [PORTAL + folder.format(version) + name]
    if version != "v10":
        addresses.append(FORMER.format(version=version) + former + name)
    return addresses


def _describe(samples: list[str], attributes: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Tissue, organ and donor of each sample."""
    if lacking := [sample for sample in samples if sample not in attributes.index]:
        msg = f"{path} does not describe {len(lacking):,} of the {len(samples):,} samples ({examples(lacking)})."
        raise ValueError(msg)
    obs = attributes.loc[samples].rename(columns={"SMTSD": "tissue", "SMTS": "organ"})
    obs["donor"] = ["-".join(sample.split("-")[:2]) for sample in samples]
    return obs.astype("category").rename_axis(None)
