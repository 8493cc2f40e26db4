from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp
from scgan_perturb.datasets import _tcga

GENES = [
    "ENSG00000000003.15",
    "ENSG00000000005.6",
    "ENSG00000136997.21",
    "ENSG00000002586.20_PAR_Y",
]
SYMBOLS = ["TSPAN6", "TNMD", "MYC", "CD99"]
SAMPLES = {
    "KIRC": ["TCGA-B0-4700-01A", "TCGA-B0-4700-11A", "TCGA-B0-4712-05A"],
    "KIRP": ["TCGA-B1-A47M-01A", "TCGA-B1-A47N-11A"],
    "KICH": ["TCGA-KL-8323-01A", "TCGA-KL-8324-01A"],
    "SKCM": ["TCGA-EE-A2GJ-06A"],
    "LAML": ["TCGA-AB-2803-03A"],
}


def make_table(values: np.ndarray, samples: list[str], genes: list[str] = GENES) -> bytes:
    table = pd.DataFrame(values, index=genes, columns=samples)
    text = table.to_csv(sep="\t", index_label="Ensembl_ID", lineterminator="\n")
    return gzip.compress(text.encode(), mtime=0)


def address(project: str, unit: str = "tpm") -> str:
    return f"hub/TCGA-{project}.star_{unit}.tsv.gz"


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        project: rng.uniform(0, 15, size=(len(GENES), len(samples))).round(6)
        for project, samples in SAMPLES.items()
    }


@pytest.fixture
def hub(store, values):
    """Some projects in small."""
    for project, samples in SAMPLES.items():
        store.add(address(project), make_table(values[project], samples))
    store.add(address("KICH", "fpkm"), make_table(values["KICH"] / 2, SAMPLES["KICH"]))
    genes = ["id\tgene\tchrom\tchromStart\tchromEnd\tstrand"]
    genes += [f"{i}\t{s}\tchr1\t1\t2\t+" for i, s in zip(GENES, SYMBOLS, strict=True)]
    store.add(f"hub/{_tcga.GENES}", "\n".join(genes).encode())
    return store


def test_values_are_those_of_the_hub_which_are_logarithms_already(hub, values):
    adata = sp.datasets.tcga("KIRC")
    np.testing.assert_allclose(adata.X, values["KIRC"].T, rtol=1e-6)
    assert adata.X.dtype == np.float32
    assert list(adata.obs_names) == SAMPLES["KIRC"]


def test_several_projects_are_joined_in_the_order_named(hub, values):
    adata = sp.datasets.tcga(["KICH", "KIRC", "KIRP"])
    expected = np.hstack([values[project] for project in ("KICH", "KIRC", "KIRP")]).T
    np.testing.assert_allclose(adata.X, expected, rtol=1e-6)
    assert list(adata.obs["project"]) == ["KICH"] * 2 + ["KIRC"] * 3 + ["KIRP"] * 2


def test_the_barcode_says_sample_type_condition_and_patient(hub):
    obs = sp.datasets.tcga(["KIRC", "SKCM", "LAML"]).obs
    assert obs.astype(str).to_dict("index") == {
        name: dict(
            zip(("project", "sample_type", "condition", "patient"), row.split(", ", 3), strict=True)
        )
        for name, row in {
            "TCGA-B0-4700-01A": "KIRC, primary tumour, KIRC, TCGA-B0-4700",
            "TCGA-B0-4700-11A": "KIRC, solid tissue normal, normal, TCGA-B0-4700",
            "TCGA-B0-4712-05A": "KIRC, additional new primary tumour, KIRC, TCGA-B0-4712",
            "TCGA-EE-A2GJ-06A": "SKCM, metastasis, SKCM, TCGA-EE-A2GJ",
        }.items()
    } | {
        "TCGA-AB-2803-03A": {
            "project": "LAML",
            "sample_type": "primary blood-derived cancer, peripheral blood",
            "condition": "LAML",
            "patient": "TCGA-AB-2803",
        }
    }
    assert all(dtype == "category" for dtype in obs.dtypes)


@pytest.mark.parametrize(("code", "normal"), [("10", True), ("14", True), ("01", False), ("06", False), ("40", False)])  # fmt: skip
def test_codes_10_to_14_are_normal(code, normal):
    obs = _tcga.describe_samples([f"TCGA-AA-0001-{code}A"], "LAML")
    assert (obs["condition"].iloc[0] == "normal") == normal


@pytest.mark.parametrize("barcode", ["GTEX-1117F-0226-SM", "TCGA-AA-0001", "TCGA-AA-0001-99A", ""])
def test_what_is_no_barcode_is_refused(barcode):
    with pytest.raises(ValueError, match=f"'{barcode}' is not the barcode of a TCGA sample"):
        _tcga.describe_samples([barcode], "LAML")


def test_genes_go_by_symbol_or_by_id(hub):
    assert list(sp.datasets.tcga("KICH").var_names) == SYMBOLS
    by_id = sp.datasets.tcga("KICH", var_names="gene_id")
    assert list(by_id.var_names) == GENES
    assert list(by_id.var["symbol"]) == SYMBOLS


def test_a_gene_the_hub_has_no_symbol_for_goes_by_its_id(hub, values):
    genes = ["ENSG1.1", *GENES[1:]]
    hub.add(address("KICH"), make_table(values["KICH"], SAMPLES["KICH"], genes))
    assert list(sp.datasets.tcga("KICH").var_names) == ["ENSG1.1", *SYMBOLS[1:]]


def test_the_unit_chooses_the_file(hub, values):
    adata = sp.datasets.tcga("KICH", unit="fpkm")
    np.testing.assert_allclose(adata.X, values["KICH"].T / 2, rtol=1e-6)
    np.testing.assert_allclose(sp.datasets.tcga("KICH").X, values["KICH"].T, rtol=1e-6)


@pytest.mark.parametrize("projects", ["kich", "TCGA-KICH", ["KICH", "tcga-kich"]])
def test_projects_may_be_written_as_the_commons_does(hub, projects):
    assert sp.datasets.tcga(projects).n_obs == 2


def test_each_file_is_downloaded_once(hub):
    sp.datasets.tcga("KICH")
    sp.datasets.tcga(["KICH", "KIRP"])
    assert [name for name, _ in hub.asked] == [
        _tcga.GENES,
        "TCGA-KICH.star_tpm.tsv.gz",
        "TCGA-KIRP.star_tpm.tsv.gz",
    ]


def test_the_second_hub_is_tried_where_the_first_fails(hub):
    hub.add(address("KICH").replace("hub/", "second/"), hub.served.pop(address("KICH")))
    assert sp.datasets.tcga("KICH").n_obs == 2


def test_all_are_the_33_projects_of_tcga():
    assert _tcga._choose("all") == list(_tcga.PROJECTS)
    assert len(set(_tcga.PROJECTS)) == 33
    assert list(_tcga.PROJECTS) == sorted(_tcga.PROJECTS)


def test_kidney_is_normal_and_three_carcinomas_without_other_tumours(hub):
    adata = sp.datasets.tcga_kidney()
    assert list(adata.obs["condition"].cat.categories) == ["normal", "KIRC", "KIRP", "KICH"]
    assert adata.obs["condition"].value_counts().to_dict() == {
        "normal": 2, "KIRC": 1, "KIRP": 1, "KICH": 2,
    }  # fmt: skip
    assert not adata.is_view
    assert "TCGA-B0-4712-05A" not in adata.obs_names


def test_the_result_can_be_written_and_read_again(hub, tmp_path):
    import anndata as ad

    adata = sp.datasets.tcga_kidney()
    adata.write_h5ad(tmp_path / "kidney.h5ad")
    again = ad.read_h5ad(tmp_path / "kidney.h5ad")
    assert again.obs.to_dict() == adata.obs.to_dict()
    assert again.var.to_dict() == adata.var.to_dict()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        pytest.param(b"<html>", "not a table of Xena", id="a page"),
        pytest.param(make_table(np.ones((4, 1)), ["TCGA-KL-8323-01A"])[:-9], "cut off", id="cut"),
        pytest.param(
            make_table(np.ones((2, 1)), ["TCGA-KL-8323-01A"], ["G", "G"]), "genes twice", id="twice"
        ),
        pytest.param(
            make_table(np.full((1, 1), np.nan), ["TCGA-KL-8323-01A"], ["G"]), "finite", id="gap"
        ),
    ],
)
def test_a_damaged_file_is_refused_and_not_kept(hub, tmp_path, body, match):
    hub.add(address("KICH"), body)
    with pytest.raises(ValueError, match=f"TCGA-KICH.star_tpm.tsv.gz.*{match}.*was deleted"):
        sp.datasets.tcga("KICH")
    assert [path.name for path in (tmp_path / "data" / "tcga").iterdir()] == [_tcga.GENES]


@pytest.mark.parametrize("name", [_tcga.GENES, "TCGA-KICH.star_tpm.tsv.gz"])
def test_a_file_that_was_put_there_by_hand_is_named_and_left(hub, tmp_path, name):
    path = tmp_path / "data" / "tcga" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=f"{name}.* left as it is; replace it, or delete it"):
        sp.datasets.tcga("KICH")
    assert path.read_bytes() == b"<html>"


def test_projects_with_different_genes_are_refused(hub, values):
    hub.add(address("KIRP"), make_table(values["KIRP"], SAMPLES["KIRP"], GENES[::-1]))
    with pytest.raises(ValueError, match="KIRP.tpm and KICH.tpm have different genes"):
        sp.datasets.tcga(["KICH", "KIRP"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        pytest.param({"projects": "LUNG"}, "no project 'LUNG'. Choose from ACC", id="project"),
        pytest.param({"projects": ["KICH", "x"]}, "no project 'X'", id="one of several"),
        pytest.param({"projects": []}, "No project was named. Choose from ACC", id="none"),
        pytest.param({"projects": "KICH", "unit": "counts"}, "not 'counts'", id="unit"),
        pytest.param({"projects": "KICH", "var_names": "entrez"}, "not 'entrez'", id="var_names"),
    ],
)
def test_an_unknown_argument_is_refused_before_anything_is_downloaded(hub, arguments, match):
    with pytest.raises(ValueError, match=match):
        sp.datasets.tcga(**arguments)
    assert hub.asked == []


def test_many_genes_are_converted_in_blocks(hub):
    genes = [f"ENSG{i}" for i in range(9000)]
    values = np.random.default_rng(1).uniform(0, 9, size=(9000, 2)).round(4)
    hub.add(address("KICH"), make_table(values, SAMPLES["KICH"], genes))
    adata = sp.datasets.tcga("KICH")
    np.testing.assert_allclose(adata.X, values.T, rtol=1e-6)
    assert list(adata.var_names) == genes
