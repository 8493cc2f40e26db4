"""GTEx, from its portal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anndata as ad
import numpy as np

from .._messages import check_choice, examples
from .._settings import settings
from ._convert import convert
from ._download import downloaded
from ._gct import describe_genes, open_gct
from ._gene_table import VAR_NAMES, name_genes, read_columns

if TYPE_CHECKING:
    import pandas as pd

PORTAL = "https://storage.googleapis.com/adult-gtex/"
# Earlier address of versions 7 and 8, where copies may still be found.
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

    The paper uses v7 (11,688 samples, 56,202 genes, 53 tissues). v8 has 17,382 samples, v10 about
    19,600. The first call downloads a gigabyte or more into `settings.dataset_dir` and converts it
    to an h5ad file there. This takes a few minutes and, for v7, 310 MB of memory
    (`benchmarks/loaders.py`). Later calls read that file and need no network. A download that
    broke off is resumed by the next call. The download is checked against the checksum in the gzip
    file, the shape that the GCT file announces, and the server's MD5 where the server names one.

    Parameters
    ----------
    version
        Release of GTEx.
    var_names
        Name genes by their symbol or by their Ensembl id. Where several
        genes share a symbol, the first has the symbol as its name and the others have their ids.
    backed
        Leave the expression on disk. In memory it takes 2.6 GB for v7 and 3.9 GB for v8.

    Returns
    -------
    AnnData of samples × genes, float32, log2(TPM + 1). `obs`: `tissue` (53 in v7), `organ` (the
    coarser name), `donor`. `var`: `gene_id` (Ensembl, with version) and `symbol`.

    Raises
    ------
    ConnectionError
        If a file is not in the cache and cannot be downloaded.
    ValueError
        If `version` or `var_names` is not a valid choice, a downloaded file is cut off or damaged,
        or a sample has no attributes.
    OSError
        If the cache folder cannot be read or written.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.gtex("v7")  # doctest: +SKIP
    """
    check_choice("version", version, EXPRESSION)
    check_choice("var_names", var_names, VAR_NAMES)
    path = Path(settings.dataset_dir).expanduser() / "gtex" / f"{version}.h5ad"
    if not path.is_file():
        _convert(version, path)
    adata = ad.read_h5ad(path, backed="r" if backed else None)
    adata.var = name_genes(adata.var, var_names)
    return adata


def _convert(version: str, path: Path) -> None:
    """Download a release and write it as h5ad."""
    attributes = downloaded(
        _addresses(version, ATTRIBUTES, "annotations/{}/metadata-files/", "annotations/"),
        path.with_name(ATTRIBUTES[version]),
    )
    expression = downloaded(
        _addresses(version, EXPRESSION, "bulk-gex/{}/rna-seq/", "rna_seq_data/"),
        path.with_name(EXPRESSION[version]),
    )
    with attributes as attributes_file:
        described = read_columns(attributes_file, ["SAMPID", "SMTSD", "SMTS"])
    with expression as expression_file, open_gct(expression_file) as table:
        convert(
            table,
            path,
            obs=_describe(table.samples, described, attributes_file),
            describe_genes=lambda names: describe_genes(expression_file, names),
            transform=lambda tpm: np.log2(tpm + 1),
        )


def _addresses(version: str, names: dict[str, str], folder: str, former: str) -> list[str]:
    """Addresses of a file of a release, the likeliest first."""
    name = names[version]
    addresses = [PORTAL + folder.format(version) + name]
    if version != "v10":
        addresses.append(FORMER.format(version=version) + former + name)
    return addresses


def _describe(samples: list[str], attributes: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Tissue, organ and donor of each sample."""
    if missing := [sample for sample in samples if sample not in attributes.index]:
        msg = f"{path} does not describe {len(missing):,} of the {len(samples):,} samples ({examples(missing)})."
        raise ValueError(msg)
    obs = attributes.loc[samples].rename(columns={"SMTSD": "tissue", "SMTS": "organ"})
    obs["donor"] = ["-".join(sample.split("-")[:2]) for sample in samples]
    return obs.astype("category").rename_axis(None)
