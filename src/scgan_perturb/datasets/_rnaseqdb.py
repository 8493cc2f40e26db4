"""GTEx and TCGA, batch-corrected together."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

from .._settings import settings
from ..data._labels import several
from ._download import download
from ._rnaseqdb_files import SHA256, TISSUES

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMIT = "6a853176fe925bd15f7392e84d433d4b34fb396a"
BASE_URL = f"https://raw.githubusercontent.com/mskcc/RNAseqDB/{COMMIT}/data/normalized/"
SUFFIXES = {
    "-rsem-fpkm-gtex.txt.gz": ("GTEx", "normal"),
    "-rsem-fpkm-tcga.txt.gz": ("TCGA", "normal"),
    "-rsem-fpkm-tcga-t.txt.gz": ("TCGA", "tumour"),
}
N_NAME_COLUMNS = 2


def rnaseqdb(
    studies: str | Sequence[str] | None = None, *, tumours: bool | str | Sequence[str] = False
) -> ad.AnnData:
    """Bulk RNA-seq of GTEx and TCGA, quantile-normalised and batch-corrected together.

    The small files of RNAseqDB (Wang et al. 2018, doi 10.1038/sdata.2018.61): 853 normal samples
    of 16 tissues, and 60 chromophobe renal carcinomas. Files are downloaded once into
    `settings.dataset_dir` and checked by hash.

    Parameters
    ----------
    studies
        Study or studies to read, such as `"kidney"` of GTEx or `"kich"` of TCGA; None for all.
    tumours
        Study or studies whose tumours to add (`"kich"`), or True for all tumours.

    Returns
    -------
    AnnData of samples × genes, float32, log2(FPKM + 1), with the genes that all files share
    (18,154 for all studies). `obs`: `tissue`, `study`, `source` (`GTEx` or `TCGA`), `condition`
    (`normal` or `tumour`). `var`: `entrez_id`.

    Raises
    ------
    ConnectionError
        If a file is not in the cache and cannot be downloaded.
    ValueError
        If a study is unknown, none is named, or a file does not have the expected hash. A file that
        was in the folder before is left there.
    OSError
        If the cache folder cannot be read or written.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.rnaseqdb(["kidney", "kich"], tumours="kich")  # doctest: +SKIP
    """
    names = _choose_files(studies, tumours)
    folder = Path(settings.dataset_dir).expanduser() / "rnaseqdb"
    paths = [download([BASE_URL + name], folder / name, SHA256[name]) for name in names]
    tables = [pd.read_csv(path, sep="\t", index_col=0) for path in paths]
    genes = reduce(
        lambda shared, more: shared[shared.isin(more)], [table.index for table in tables]
    )
    entrez = tables[0].loc[genes, "Entrez_Gene_Id"]
    values = [table.loc[genes].iloc[:, N_NAME_COLUMNS - 1 :] for table in tables]
    obs = pd.concat(
        [_describe(name, table.columns) for name, table in zip(names, values, strict=True)]
    )
    fpkm = np.concatenate([table.to_numpy(dtype=np.float32).T for table in values])
    return ad.AnnData(
        np.log2(fpkm + 1),
        obs=obs.astype("category"),
        var=pd.DataFrame({"entrez_id": entrez.to_numpy()}, index=genes.astype(str).rename(None)),
    )


def _choose_files(
    studies: str | Sequence[str] | None, tumours: bool | str | Sequence[str]
) -> list[str]:
    """Names of the files for the studies' normals and the tumours."""
    by_kind: dict[str, dict[str, str]] = {"normal": {}, "tumour": {}}
    for name in SHA256:
        study, _, condition = _parse(name)
        by_kind[condition][study] = name
    wanted_tumours = list(by_kind["tumour"]) if tumours is True else several(tumours or [])
    wanted = {
        "normal": list(by_kind["normal"]) if studies is None else several(studies),
        "tumour": wanted_tumours,
    }
    chosen = []
    for kind, names in wanted.items():
        for study in map(str, names):
            if study not in by_kind[kind]:
                msg = f"{study!r} has no {kind} samples. Choose from {', '.join(by_kind[kind])}."
                raise ValueError(msg)
            chosen.append(by_kind[kind][study])
    if not chosen:
        msg = f"No study was named. Choose from {', '.join(by_kind['normal'])}."
        raise ValueError(msg)
    return list(dict.fromkeys(chosen))


def _parse(name: str) -> tuple[str, str, str]:
    """Study, source and condition that a file name stands for."""
    for suffix, (source, condition) in SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), source, condition
    msg = f"{name!r} is not a file of RNAseqDB."
    raise ValueError(msg)


def _describe(name: str, samples: pd.Index) -> pd.DataFrame:
    study, source, condition = _parse(name)
    return pd.DataFrame(
        {"tissue": TISSUES[study], "study": study, "source": source, "condition": condition},
        index=samples,
    )
