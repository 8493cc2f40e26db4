from __future__ import annotations

import gzip
import math
import os
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp
from scgan_perturb.datasets import _rnaseqdb

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def real(shared_data: Path) -> Path:
    """The real files as the cache, and no network to download by."""
    os.environ |= {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    sp.settings.dataset_dir = shared_data
    return shared_data / "rnaseqdb"


def test_values_are_log2_of_fpkm_plus_1(source):
    adata = sp.datasets.rnaseqdb("kidney")
    table = source.tables["kidney-rsem-fpkm-gtex.txt.gz"]
    expected = [
        [math.log2(table.loc[gene, sample] + 1) for gene in adata.var_names]
        for sample in adata.obs_names
    ]
    np.testing.assert_allclose(adata.X, expected, rtol=1e-6)
    assert adata.X.dtype == np.float32


def test_values_of_each_file_keep_to_their_genes(source):
    adata = sp.datasets.rnaseqdb(["kidney", "kich", "luad"], tumours=True)
    merged = pd.concat([table.iloc[:, 1:].T for table in source.tables.values()])
    expected = np.log2(merged.loc[adata.obs_names, adata.var_names] + 1)
    np.testing.assert_allclose(adata.X, expected, rtol=1e-6)


def test_genes_are_those_of_all_files_in_the_order_of_the_first(source):
    adata = sp.datasets.rnaseqdb(["kidney", "kich"], tumours="kich")
    assert list(adata.var_names) == ["A", "B", "C", "E"]


def test_genes_keep_their_entrez_ids(source):
    adata = sp.datasets.rnaseqdb(["luad", "kich"])
    assert dict(adata.var["entrez_id"]) == {gene: 100 + ord(gene) for gene in "ECBA"}


def test_samples_are_described_by_the_file_they_come_from(source):
    adata = sp.datasets.rnaseqdb(["luad", "kidney", "kich"], tumours="kich")
    expected = {
        "luad-rsem-fpkm-tcga.txt.gz": ("Lung", "luad", "TCGA", "normal"),
        "kidney-rsem-fpkm-gtex.txt.gz": ("Kidney", "kidney", "GTEx", "normal"),
        "kich-rsem-fpkm-tcga.txt.gz": ("Kidney", "kich", "TCGA", "normal"),
        "kich-rsem-fpkm-tcga-t.txt.gz": ("Kidney", "kich", "TCGA", "tumour"),
    }
    rows = {
        sample: row for name, row in expected.items() for sample in source.tables[name].columns[1:]
    }
    found = adata.obs[["tissue", "study", "source", "condition"]]
    assert dict(zip(found.index, found.itertuples(index=False, name=None), strict=True)) == rows


def test_all_normals_are_read_by_default(source):
    adata = sp.datasets.rnaseqdb()
    assert adata.obs["study"].value_counts().to_dict() == {"kidney": 3, "kich": 2, "luad": 1}


@pytest.mark.parametrize(
    ("tumours", "n_tumours"),
    [
        pytest.param(False, 0, id="none"),
        pytest.param([], 0, id="empty"),
        pytest.param("kich", 4, id="name"),
        pytest.param(["kich"], 4, id="list"),
        pytest.param(True, 4, id="all"),
    ],
)
def test_tumours_are_added_by_choice(source, tumours, n_tumours):
    adata = sp.datasets.rnaseqdb("kidney", tumours=tumours)
    assert adata.n_obs == 3 + n_tumours
    assert (adata.obs["condition"] == "tumour").sum() == n_tumours


def test_tumours_can_be_read_without_normals(source):
    adata = sp.datasets.rnaseqdb([], tumours="kich")
    assert list(adata.obs["condition"]) == ["tumour"] * 4


def test_a_study_named_twice_is_read_once(source):
    assert sp.datasets.rnaseqdb(["kich", "kich"]).n_obs == 2


def test_what_was_read_can_be_written_and_read_again(source, tmp_path):
    adata = sp.datasets.rnaseqdb(["kidney", "kich"])
    adata.write_h5ad(tmp_path / "adata.h5ad")
    again = ad.read_h5ad(tmp_path / "adata.h5ad")
    np.testing.assert_array_equal(again.X, adata.X)
    assert again.obs.to_dict() == adata.obs.to_dict()
    assert again.var.to_dict() == adata.var.to_dict()


@pytest.mark.parametrize(
    ("studies", "tumours", "match"),
    [
        pytest.param(
            "Lung",
            False,
            "'Lung' has no normal samples. Choose from kidney, kich, luad",
            id="study",
        ),
        pytest.param(["kich", "brca"], False, "'brca' has no normal samples", id="one of several"),
        pytest.param(
            "kidney", "kidney", "'kidney' has no tumour samples. Choose from kich", id="tumours"
        ),
        pytest.param(
            [], False, "No study was named. Choose from kidney, kich, luad", id="no study"
        ),
    ],
)
def test_a_study_that_is_not_offered_is_refused_with_those_that_are(
    source, studies, tumours, match
):
    with pytest.raises(ValueError, match=match):
        sp.datasets.rnaseqdb(studies, tumours=tumours)
    assert source.asked == []


def test_every_file_has_a_tissue_and_a_hash():
    for name, sha256 in _rnaseqdb.SHA256.items():
        study = name.split("-")[0]
        assert study in _rnaseqdb.TISSUES
        assert len(bytes.fromhex(sha256)) == 32


def test_real_kidneys_have_the_right_counts_and_need_no_network(real):
    adata = sp.datasets.rnaseqdb(["kidney", "kich"], tumours="kich")
    found = adata.obs.value_counts(["source", "condition"])
    assert found[found > 0].to_dict() == {
        ("GTEx", "normal"): 32,
        ("TCGA", "normal"): 25,
        ("TCGA", "tumour"): 60,
    }


def test_real_values_are_those_of_the_file(real):
    adata = sp.datasets.rnaseqdb("cesc")
    with gzip.open(real / "cesc-rsem-fpkm-tcga.txt.gz", "rt") as file:
        _, _, *samples = next(file).split()
        genes, _, *fpkm = zip(*(line.split() for line in file), strict=True)
    assert (tuple(adata.obs_names), tuple(adata.var_names)) == (tuple(samples), genes)
    np.testing.assert_allclose(adata.X, np.log2(np.array(fpkm, dtype=float) + 1), rtol=1e-6)


def test_real_normals_are_the_853_samples_and_18154_genes_of_the_published_split(real):
    adata = sp.datasets.rnaseqdb()
    split = pd.read_csv(real / "split.tsv", sep="\t", index_col=0)
    assert adata.shape == (853, 18_154)
    assert adata.obs["tissue"].astype(str).to_dict() == split["tissue"].to_dict()
