from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp
from scgan_perturb.data._gene_sets import read_gmt

if TYPE_CHECKING:
    from pathlib import Path

SETS = {"RED": ["g1", "g2"], "BLUE": ["g2", "g3", "lost"], "GREY": ["g5"]}
REAL_FILES = [
    "h.all.v7.0.symbols.gmt",
    "c2.cp.kegg.v7.5.1.symbols.gmt",
    "enrichr.KEGG_2016.gmt",
    "enrichr.GO_Biological_Process_2021.gmt",
]


def genes_adata(names: list[str]) -> ad.AnnData:
    return ad.AnnData(np.ones((2, len(names)), dtype=np.float32), var=pd.DataFrame(index=names))


def write_gmt(path: Path, sets: dict[str, list[str]] = SETS) -> Path:
    lines = ["\t".join([name, "http://about", *genes]) for name, genes in sets.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def parse(path: Path) -> dict[str, set[str]]:
    """What a GMT file holds, by the plainest reading."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").strip("\n").split("\n")]
    return {row[0]: {gene for gene in row[2:] if gene} for row in rows}


@pytest.fixture
def adata() -> ad.AnnData:
    return genes_adata([f"g{i}" for i in range(6)])


@pytest.fixture
def gmt(tmp_path: Path) -> Path:
    return write_gmt(tmp_path / "colours.gmt")


@pytest.fixture
def hallmark(shared_data: Path) -> Path:
    return shared_data / "gene_sets" / "h.all.v7.0.symbols.gmt"


@pytest.mark.parametrize(
    "kind",
    [list, tuple, set, np.array, pd.Index, pd.Series, iter],
    ids=["list", "tuple", "set", "array", "index", "series", "iterator"],
)
def test_genes_of_a_list_are_marked(adata, kind):
    sp.pp.gene_set(adata, kind(["g4", "g1", "lost", "g1"]))
    assert adata.var["gene_set"].dtype == bool
    assert list(adata.var_names[adata.var["gene_set"]]) == ["g1", "g4"]


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "path"])
def test_all_sets_of_a_file_are_united(adata, gmt, kind):
    sp.pp.gene_set(adata, kind(gmt))
    assert list(adata.var_names[adata.var["gene_set"]]) == ["g1", "g2", "g3", "g5"]


@pytest.mark.parametrize(
    ("name", "marked"),
    [
        pytest.param("BLUE", ["g2", "g3"], id="one name"),
        pytest.param(["GREY", "RED"], ["g1", "g2", "g5"], id="several names"),
        pytest.param(pd.Index(["RED", "BLUE"]), ["g1", "g2", "g3"], id="index"),
    ],
)
def test_sets_are_taken_from_a_file_by_name(adata, gmt, name, marked):
    sp.pp.gene_set(adata, name, gmt=gmt)
    assert list(adata.var_names[adata.var["gene_set"]]) == marked


def test_a_path_below_home_may_start_with_a_tilde(adata, gmt):
    os.environ |= {"HOME": str(gmt.parent), "USERPROFILE": str(gmt.parent)}
    sp.pp.gene_set(adata, f"~/{gmt.name}")
    assert adata.var["gene_set"].sum() == 4


def test_the_column_is_named_by_key_added(adata):
    sp.pp.gene_set(adata, ["g1"], key_added="markers")
    assert list(adata.var) == ["markers"]


def test_a_second_call_replaces_the_column(adata):
    sp.pp.gene_set(adata, ["g1", "g2"])
    sp.pp.gene_set(adata, ["g3"])
    assert list(adata.var_names[adata.var["gene_set"]]) == ["g3"]


def test_a_copy_is_returned_and_the_original_left_alone(adata):
    marked = sp.pp.gene_set(adata, ["g1"], copy=True)
    assert list(marked.var["gene_set"]) == [False, True, False, False, False, False]
    assert list(adata.var) == []


def test_nothing_is_returned_without_copy(adata):
    assert sp.pp.gene_set(adata, ["g1"]) is None


@pytest.mark.filterwarnings("ignore:.*initializing view as actual")
def test_a_view_is_marked_and_its_parent_left_alone(adata):
    view = adata[:, ["g1", "g3"]]
    sp.pp.gene_set(view, ["g3"])
    assert list(view.var["gene_set"]) == [False, True]
    assert list(adata.var) == []


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_a_gene_that_is_there_twice_is_marked_twice_and_counted_once(caplog):
    adata = genes_adata(["g1", "g2", "g1"])
    sp.pp.gene_set(adata, ["g1"])
    assert list(adata.var["gene_set"]) == [True, False, True]
    assert "1 of 1 genes found" in caplog.text


def test_the_log_says_which_genes_were_found_and_which_not(adata, caplog):
    sp.pp.gene_set(adata, ["g1", "lost", "g2", "gone"], key_added="markers")
    assert caplog.messages == [
        "Gene set: 2 of 4 genes found; not found: 'lost', 'gone'.\n    added: adata.var['markers']"
    ]


def test_the_log_names_no_lacking_genes_where_all_were_found(adata, caplog):
    sp.pp.gene_set(adata, ["g1", "g2"])
    assert caplog.messages == ["Gene set: 2 of 2 genes found.\n    added: adata.var['gene_set']"]


def test_the_log_names_a_few_of_many_lacking_genes(adata, caplog):
    sp.pp.gene_set(adata, ["g1", *(f"lost{i}" for i in range(1505))])
    assert "1 of 1,506 genes found; not found: 'lost0'," in caplog.text
    assert "'lost4' and 1,500 more." in caplog.text


def test_a_file_of_other_genes_is_named(adata, tmp_path):
    (tmp_path / "sets.gmt").write_text("RED\tabout\tENSG01\n")
    for arguments in ({"name_or_genes": "RED", "gmt": tmp_path / "sets.gmt"},
                      {"name_or_genes": str(tmp_path / "sets.gmt")}):  # fmt: skip
        with pytest.raises(ValueError, match=r"None of the 1 genes of .*sets\.gmt"):
            sp.pp.gene_set(adata, **arguments)


@pytest.mark.parametrize(
    ("name", "with_gmt", "error", "match"),
    [
        pytest.param(
            "nowhere.gmt", False, FileNotFoundError, "no GMT file 'nowhere.gmt'", id="file"
        ),
        pytest.param("RED", False, ValueError, "'RED' is neither .* also give gmt=", id="text"),
        pytest.param(
            "BLEU", True, KeyError, "Gene set 'BLEU' not found. Nearest: 'BLUE'", id="name"
        ),
        pytest.param(
            ["RED", "GRAY"], True, KeyError, "'GRAY' not found. Nearest: 'GREY'", id="second name"
        ),
        pytest.param(
            "xxx", True, KeyError, "Available: 'RED', 'BLUE', 'GREY'", id="name like no other"
        ),
        pytest.param(
            ["ENSG01", "ENSG02"],
            False,
            ValueError,
            r"None of the 2 genes \('ENSG01', 'ENSG02'\) is in adata.var_names "
            r"\('g0', 'g1', 'g2'\). The gene set looks like Ensembl ids",
            id="no gene found",
        ),
        pytest.param([], False, ValueError, "None of the 0 genes", id="no gene given"),
    ],
)
def test_what_cannot_be_marked_is_refused_and_adata_left_alone(
    adata, gmt, name, with_gmt, error, match
):
    sp.pp.gene_set(adata, ["g0"])
    with pytest.raises(error, match=match):
        sp.pp.gene_set(adata, name, gmt=gmt if with_gmt else None)
    assert list(adata.var["gene_set"]) == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param(b"\x1f\x8b\x08\x00\xff\xfe", "is not a text file", id="binary"),
        pytest.param(b"g1\ng2\n", "Line 1 of .*name, description and genes.*not 'g1'", id="genes"),
        pytest.param(b"RED,about,g1\n", "Line 1 .*tab-separated.*'RED,about,g1'", id="commas"),
        pytest.param(b"RED\tabout\tg1\n\nBLUE\tg2\n", "Line 3 of", id="third line short"),
        pytest.param(b"RED\tabout\t\t\n", "Line 1 of", id="set without genes"),
        pytest.param(b"\n \n", "holds no gene set", id="blank"),
        pytest.param(b"", "holds no gene set", id="empty"),
        pytest.param(
            b"RED\tabout\tg1\nBLUE\tabout\tg2\nRED\tabout\tg3\n",
            "Line 3 of .* names the set 'RED' again, with other genes. Rename one",
            id="two sets of one name",
        ),
        pytest.param(b"R\xe9d\tabout\tg1\n", "not UTF-8 text. Save it as UTF-8", id="latin-1"),
    ],
)
def test_a_file_that_is_no_gmt_file_is_refused_by_name(adata, tmp_path, content, match):
    path = tmp_path / "wrong.gmt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as caught:
        sp.pp.gene_set(adata, path)
    assert "wrong.gmt" in str(caught.value)
    assert list(adata.var) == []


def test_a_folder_is_no_gmt_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no GMT file"):
        read_gmt(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("RED\thttp://about\tg1\tg2\n", id="msigdb"),
        pytest.param("RED\t\tg1\tg2\t\n", id="enrichr"),
        pytest.param("RED\t\tg1,1.0\tg2,0.5\t\n", id="enrichr with weights"),
        pytest.param("RED\tabout\tg1\tg2", id="no newline at the end"),
        pytest.param("RED\tabout\tg1\tg2\r\n\r\n", id="windows"),
        pytest.param("RED\tone\x0btwo\u2028three\x85\tg1\tg2\n", id="odd breaks in a description"),
        pytest.param("RED\tα and β\tg1\t\t g2 \n", id="gaps and spaces"),
        pytest.param("\ufeffRED\tabout\tg1\tg2\n", id="byte order mark"),
        pytest.param('"RED"\t"about"\t"g1"\t"g2"\n', id="R"),
        pytest.param("RED\tabout\tg1\tg2\nRED\tmore\tg1\tg2\n", id="the same set twice"),
        pytest.param("RED\tRED\tg1\tg2\n", id="the name again in place of a description"),
    ],
)
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_gmt_file_is_read_in_the_forms_it_comes_in(tmp_path, content, packed):
    path = tmp_path / "sets.gmt"
    path.write_bytes(packed(content.encode()))
    assert read_gmt(path, known_genes=["g1", "g2", "RED"]) == {"RED": ["g1", "g2"]}


@pytest.mark.parametrize(
    ("content", "known", "sets"),
    [
        pytest.param("RED\tg1\tg2\n", ["g1"], {"RED": ["g1", "g2"]}, id="a gene of adata"),
        pytest.param(
            "RED\tg1\tg2\nBLUE\tg2\tg3\tg1\nGREY\tg9\tg1\n",
            [],
            {"RED": ["g1", "g2"], "BLUE": ["g2", "g3", "g1"], "GREY": ["g9", "g1"]},
            id="genes of other sets",
        ),
        pytest.param("RED\tg1\n", ["g1"], {"RED": ["g1"]}, id="one gene"),
        pytest.param("RED\tg1,1.0\tg2,0.5\n", ["g1"], {"RED": ["g1", "g2"]}, id="weights"),
    ],
)
def test_a_file_without_descriptions_keeps_its_first_genes(tmp_path, content, known, sets):
    (tmp_path / "sets.gmt").write_text(content)
    with pytest.warns(UserWarning, match=r"sets.gmt' has no descriptions: in .* is a gene"):
        assert read_gmt(tmp_path / "sets.gmt", known) == sets


def test_genes_of_adata_tell_that_a_file_has_no_descriptions(adata, tmp_path):
    (tmp_path / "sets.gmt").write_text("RED\tg1\tg2\n")
    with pytest.warns(UserWarning, match="no descriptions") as warned:
        sp.pp.gene_set(adata, tmp_path / "sets.gmt")
    assert list(adata.var_names[adata.var["gene_set"]]) == ["g1", "g2"]
    assert warned[0].filename == __file__


@pytest.mark.parametrize("name", ["sets.txt", "sets.gmt.gz", "sets.GMT", "sets"])
def test_a_file_of_any_name_is_a_file(adata, tmp_path, name):
    content = b"RED\tabout\tg1\tg2\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    sp.pp.gene_set(adata, str(tmp_path / name))
    assert list(adata.var_names[adata.var["gene_set"]]) == ["g1", "g2"]


@pytest.mark.parametrize("file", REAL_FILES)
def test_real_files_hold_what_a_plain_reading_finds(shared_data, file):
    path = shared_data / "gene_sets" / file
    assert {name: set(genes) for name, genes in read_gmt(path).items()} == parse(path)


def test_real_hallmark_genes_are_counted_as_by_set_calculation(hallmark, caplog):
    genes = set.union(*parse(hallmark).values())
    there = sorted(genes)[::7]
    adata = genes_adata([*there, "not a gene", "nor this"])
    sp.pp.gene_set(adata, str(hallmark))
    assert list(adata.var_names[adata.var["gene_set"]]) == there
    assert f"{len(there)} of 4,384 genes found" in caplog.text


def test_real_hallmark_sets_by_name_are_united(hallmark):
    sets = parse(hallmark)
    adata = genes_adata(sorted(set.union(*sets.values())))
    names = ["HALLMARK_HYPOXIA", "HALLMARK_GLYCOLYSIS"]
    sp.pp.gene_set(adata, names, gmt=hallmark)
    expected = sets[names[0]] | sets[names[1]]
    assert set(adata.var_names[adata.var["gene_set"]]) == expected


@pytest.fixture
def msigdb(tmp_path):
    """A cache that holds a collection already."""
    folder = tmp_path / "msigdb"
    folder.mkdir()
    write_gmt(folder / "c.all.v1.Hs.symbols.gmt")
    sp.settings.dataset_dir = tmp_path


def test_all_sets_of_a_collection_are_united(adata, msigdb):
    sp.pp.gene_set(adata, "c.all", version="1.Hs")
    assert list(adata.var_names[adata.var["gene_set"]]) == ["g1", "g2", "g3", "g5"]


def test_sets_are_taken_from_a_collection_by_name(adata, msigdb):
    sp.pp.gene_set(adata, ["RED", "GREY"], gmt="c.all", version="1.Hs")
    assert list(adata.var_names[adata.var["gene_set"]]) == ["g1", "g2", "g5"]


def test_a_version_without_a_collection_is_an_error(adata):
    with pytest.raises(ValueError, match="needs the name of a collection"):
        sp.pp.gene_set(adata, ["RED"], version="1.Hs")


def test_ensembl_ids_against_symbols_are_recognised():
    adata = genes_adata([f"ENSG{i:011d}" for i in range(4)])
    with pytest.raises(ValueError, match="genes of adata look like Ensembl ids"):
        sp.pp.gene_set(adata, ["TP53", "LYZ"])
