"""TCGA, from UCSC Xena's GDC hub."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anndata as ad
import numpy as np
import pandas as pd

from .._messages import check_choice, examples
from .._settings import settings
from ..data._labels import several
from ..data._text_files import DamagedError, open_bytes
from ._convert import convert
from ._download import downloaded
from ._gene_table import (
    VAR_NAMES,
    GeneTable,
    name_genes,
    read_columns,
    read_header,
    refuse_duplicates,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HUBS = (
    "https://gdc-hub.s3.us-east-1.amazonaws.com/download/",
    "https://gdc.xenahubs.net/download/",
)
GENES = "gencode.v36.annotation.gtf.gene.probemap"
PROJECTS = (
    "ACC", "BLCA", "BRCA", "CESC", "CHOL", "COAD", "DLBC", "ESCA", "GBM", "HNSC", "KICH",
    "KIRC", "KIRP", "LAML", "LGG", "LIHC", "LUAD", "LUSC", "MESO", "OV", "PAAD", "PCPG", "PRAD",
    "READ", "SARC", "SKCM", "STAD", "TGCT", "THCA", "THYM", "UCEC", "UCS", "UVM",
)  # fmt: skip
KIDNEY = ("KIRC", "KIRP", "KICH")
NORMAL = "normal"
# The fourth part of a barcode, as the GDC's code tables have it. 10 to 14 are healthy tissue.
SAMPLE_TYPES = {
    "01": "primary tumour",
    "02": "recurrent tumour",
    "03": "primary blood-derived cancer, peripheral blood",
    "04": "recurrent blood-derived cancer, bone marrow",
    "05": "additional new primary tumour",
    "06": "metastasis",
    "07": "additional metastasis",
    "08": "human tumour original cells",
    "09": "primary blood-derived cancer, bone marrow",
    "10": "blood-derived normal",
    "11": "solid tissue normal",
    "12": "buccal cell normal",
    "13": "EBV-immortalised normal",
    "14": "bone marrow normal",
    "20": "control analyte",
    "40": "recurrent blood-derived cancer, peripheral blood",
    "50": "cell line",
    "60": "primary xenograft",
    "61": "cell-line-derived xenograft",
}
NORMAL_CODES = {"10", "11", "12", "13", "14"}


def tcga(
    projects: str | Sequence[str],
    *,
    unit: Literal["tpm", "fpkm"] = "tpm",
    var_names: Literal["symbol", "gene_id"] = "symbol",
) -> ad.AnnData:
    """Bulk RNA-seq of tumours, and of healthy tissue beside some, from TCGA.

    The harmonised expression of the Genomic Data Commons (STAR, GENCODE 36), from the files of UCSC
    Xena. A project is downloaded once into `settings.dataset_dir` and converted to an h5ad file
    there, which later calls read. A download that broke off is resumed by the next call. No hashes
    are published for these files. The checksum in each gzip file and the table's shape are checked.

    Parameters
    ----------
    projects
        Project or projects, such as `"KIRC"` or `"TCGA-KIRC"`; `"all"` for all 33.
    unit
        Transcripts per million, as in :func:`scgan_perturb.datasets.gtex`, or fragments per
        kilobase and million, as in the paper.
    var_names
        Name genes by their symbol or by their Ensembl id. Where several
        genes share a symbol, the first has the symbol as its name and the others have their ids.

    Returns
    -------
    AnnData of samples × genes, float32, log2(TPM + 1) or log2(FPKM + 1). `obs`: `project`,
    `sample_type` (from the barcode: `"primary tumour"`, `"solid tissue normal"`, ...), `condition`
    (`"normal"` or the project) and `patient`. `var`: `gene_id` and `symbol`.

    Raises
    ------
    ConnectionError
        If a file is not in the cache and cannot be downloaded.
    ValueError
        If an argument is not a valid choice, no project is named, or a downloaded file is cut off or
        damaged.
    OSError
        If the cache folder cannot be read or written.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.tcga(["LUAD", "LUSC"])  # doctest: +SKIP
    """
    wanted = _choose(projects)
    check_choice("unit", unit, ("tpm", "fpkm"))
    check_choice("var_names", var_names, VAR_NAMES)
    folder = Path(settings.dataset_dir).expanduser() / "tcga"
    paths = []
    for project in wanted:
        path = folder / f"{project}.{unit}.h5ad"
        paths.append(path if path.is_file() else _convert(project, unit, path))
    adata = _join(paths)
    adata.var = name_genes(adata.var, var_names)
    return adata


def tcga_kidney(
    *,
    unit: Literal["tpm", "fpkm"] = "tpm",
    var_names: Literal["symbol", "gene_id"] = "symbol",
) -> ad.AnnData:
    """Healthy kidney and its three carcinomas, as in the paper's figure 5.

    The primary tumours of clear-cell (KIRC), papillary (KIRP) and chromophobe (KICH) renal cell
    carcinoma, and the healthy tissue beside them, from :func:`scgan_perturb.datasets.tcga`.

    Parameters
    ----------
    unit
        See :func:`scgan_perturb.datasets.tcga`.
    var_names
        See :func:`scgan_perturb.datasets.tcga`.

    Returns
    -------
    AnnData as from :func:`scgan_perturb.datasets.tcga`. `obs["condition"]` is `normal`, `KIRC`,
    `KIRP` or `KICH`.

    Raises
    ------
    ConnectionError
        If a file is not in the cache and cannot be downloaded.
    ValueError
        If a downloaded file is cut off or damaged.
    OSError
        If the cache folder cannot be read or written.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.tcga_kidney()  # doctest: +SKIP
    >>> sp.tl.fit_tspg(adata, "condition", "KICH", source="normal")  # doctest: +SKIP
    """
    adata = tcga(KIDNEY, unit=unit, var_names=var_names)
    kept = adata.obs["sample_type"].isin([SAMPLE_TYPES["01"], SAMPLE_TYPES["11"]])
    adata = adata if kept.all() else adata[kept.to_numpy()].copy()
    adata.obs["condition"] = pd.Categorical(adata.obs["condition"], categories=[NORMAL, *KIDNEY])
    return adata


def _choose(projects: str | Sequence[str]) -> list[str]:
    """The projects' names without `TCGA-`, each once."""
    if isinstance(projects, str) and projects == "all":
        return list(PROJECTS)
    names = [str(name).upper().removeprefix("TCGA-") for name in several(projects)]
    unknown = [name for name in names if name not in PROJECTS]
    if unknown or not names:
        problem = f"TCGA has no project {examples(unknown)}" if names else "No project was named"
        msg = f"{problem}. Choose from {', '.join(PROJECTS)}."
        raise ValueError(msg)
    return list(dict.fromkeys(names))


def _convert(project: str, unit: str, path: Path) -> Path:
    """Download a project and write it as h5ad."""
    with downloaded([hub + GENES for hub in HUBS], path.with_name(GENES)) as genes:
        symbols = read_columns(genes, ["id", "gene"])["gene"]
    name = f"TCGA-{project}.star_{unit}.tsv.gz"
    addresses = [hub + name for hub in HUBS]
    with downloaded(addresses, path.with_name(name)) as expression, _open(expression) as table:
        return convert(
            table,
            path,
            obs=describe_samples(table.samples, project),
            describe_genes=lambda names: _describe_genes(expression, names, symbols),
            transform=lambda values: values,  # the hub's values are logarithms already
        )


@contextmanager
def _open(path: Path) -> Iterator[GeneTable]:
    with open_bytes(path) as file:
        first, *samples = read_header(file)
        if first != "Ensembl_ID":
            msg = f"{path} is not a table of Xena's GDC hub: it begins with {first[:40]!r}, not 'Ensembl_ID'."
            raise DamagedError(msg)
        yield GeneTable(path, file, samples, 1)


def describe_samples(barcodes: Sequence[str], project: str) -> pd.DataFrame:
    """`obs` of a project's samples, from their barcodes."""
    codes = []
    for barcode in barcodes:
        parts = barcode.split("-")
        if len(parts) < 4 or parts[0] != "TCGA" or parts[3][:2] not in SAMPLE_TYPES:
            msg = f"{barcode!r} is not the barcode of a TCGA sample, such as TCGA-B8-A54K-01A."
            raise ValueError(msg)
        codes.append(parts[3][:2])
    obs = pd.DataFrame(
        {
            "project": project,
            "sample_type": [SAMPLE_TYPES[code] for code in codes],
            "condition": [NORMAL if code in NORMAL_CODES else project for code in codes],
            "patient": ["-".join(barcode.split("-")[:3]) for barcode in barcodes],
        },
        index=pd.Index(barcodes),
    )
    return obs.astype("category")


def _describe_genes(path: Path, names: list[list[str]], symbols: pd.Series) -> pd.DataFrame:
    ids = pd.Index([name for (name,) in names])
    refuse_duplicates(path, "genes", ids)
    found = symbols.reindex(ids).fillna("").to_numpy()
    return pd.DataFrame({"gene_id": ids.to_numpy(), "symbol": found}, index=ids)


def _join(paths: list[Path]) -> ad.AnnData:
    """Read the samples of all files into one matrix."""
    import h5py  # noqa: PLC0415
    from anndata.io import read_elem  # noqa: PLC0415

    tables, var = [], None
    for path in paths:
        with h5py.File(path) as file:
            tables.append(read_elem(file["obs"]).astype(str))
            genes = read_elem(file["var"])
        if var is not None and not var.index.equals(genes.index):
            msg = f"{path.stem} and {paths[0].stem} have different genes. Delete {path} and {paths[0]} to make them again."
            raise ValueError(msg)
        var = genes
    obs = pd.concat(tables)
    x = np.empty((len(obs), len(genes)), dtype=np.float32)
    start = 0
    for path, samples in zip(paths, tables, strict=True):
        with h5py.File(path) as file:
            file["X"].read_direct(x, dest_sel=np.s_[start : start + len(samples)])
        start += len(samples)
    return ad.AnnData(x, obs=obs.astype("category"), var=var)
