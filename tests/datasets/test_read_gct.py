from __future__ import annotations

import gzip

import numpy as np
import pytest

import scgan_perturb as sp
from scgan_perturb.datasets import _gene_table

from .conftest import make_gct

SAMPLES = ["a", "b", "c"]
GENES = [("ENSG1.4", "MYC"), ("ENSG2.1", "TP53"), ("ENSG3.2", "Y_RNA"), ("ENSG4.9", "Y_RNA")]


@pytest.fixture
def tpm() -> np.ndarray:
    return np.array([[0, 0.5, 1e-5], [3, 1234567, 0.25], [7, 8, 9], [1e3, 0, 2]])


@pytest.fixture
def path(tmp_path, tpm):
    path = tmp_path / "genes.gct"
    path.write_bytes(make_gct(tpm, SAMPLES, GENES))
    return path


def test_values_are_those_of_the_file_samples_by_genes(path, tpm):
    adata = sp.datasets.read_gct(path)
    np.testing.assert_allclose(adata.X, tpm.T, rtol=1e-5)
    assert adata.X.dtype == np.float32
    assert list(adata.obs_names) == SAMPLES


def test_a_gzip_file_reads_alike_whatever_its_name(path, tmp_path):
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(sp.datasets.read_gct(packed).X, sp.datasets.read_gct(path).X)


@pytest.mark.parametrize("n_genes", [255, 256, 257, 511, 512, 600])  # blocks of 256, and not
def test_many_genes_are_read_block_by_block(tmp_path, n_genes):
    tpm = np.random.default_rng(0).exponential(20, (n_genes, 3))
    path = tmp_path / "many.gct"
    path.write_bytes(make_gct(tpm, SAMPLES, [(f"ENSG{i}.1", f"gene{i}") for i in range(n_genes)]))
    adata = sp.datasets.read_gct(path)
    np.testing.assert_allclose(adata.X, tpm.T, rtol=1e-5)
    assert adata.var_names[-1] == f"gene{n_genes - 1}"


def test_a_shared_symbol_names_its_first_gene_and_the_others_go_by_id(path):
    adata = sp.datasets.read_gct(path)
    assert list(adata.var_names) == ["MYC", "TP53", "Y_RNA", "ENSG4.9"]
    assert list(adata.var["symbol"]) == ["MYC", "TP53", "Y_RNA", "Y_RNA"]


def test_genes_can_go_by_their_id(path):
    adata = sp.datasets.read_gct(path, var_names="gene_id")
    assert list(adata.var_names) == [gene for gene, _ in GENES] == list(adata.var["gene_id"])


def test_a_symbol_that_is_another_genes_id_does_not_make_names_collide(tmp_path):
    path = tmp_path / "genes.gct"
    path.write_bytes(make_gct(np.ones((3, 1)), ["a"], [("G1", "G2"), ("G2", "S"), ("G3", "S")]))
    assert list(sp.datasets.read_gct(path).var_names) == ["G1", "S", "G3"]


def test_windows_line_ends_and_a_blank_last_line_are_read(path, tpm):
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    np.testing.assert_allclose(sp.datasets.read_gct(path).X, tpm.T, rtol=1e-5)


def with_tabs(body: bytes) -> bytes:
    return body.replace(b"\n", b"\t\t\n")


def with_ids(body: bytes) -> bytes:
    """As GTEx's files of single tissues are."""
    first, shape, header, *genes, _ = body.split(b"\n")
    numbered = [b"%d\t%s" % (i, gene) for i, gene in enumerate(genes)]
    return b"\n".join([first, shape, b"id\t" + header, *numbered, b""])


def quoted(body: bytes) -> bytes:
    """As R's write.table writes it."""
    first, shape, *lines = body.decode().split("\n")[:-1]
    fields = [line.split("\t") for line in lines]
    names = [[f'"{field}"' for field in row] for row in (fields[0], *(r[:2] for r in fields[1:]))]
    rows = [names[0]] + [n + r[2:] for n, r in zip(names[1:], fields[1:], strict=True)]
    return "\n".join([first, shape, *("\t".join(row) for row in rows), ""]).encode()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(with_tabs, id="tabs at the ends"),
        pytest.param(lambda body: body + b"\n\n", id="blank lines"),
        pytest.param(with_ids, id="a column id"),
        pytest.param(lambda body: with_tabs(with_ids(body)), id="a column id and tabs"),
        pytest.param(quoted, id="R"),
        pytest.param(lambda body: b"\xef\xbb\xbf" + body, id="byte order mark"),
        pytest.param(lambda body: gzip.compress(b"\xef\xbb\xbf" + body), id="both in gzip"),
    ],
)
def test_other_writers_files_read_alike(path, change):
    expected = sp.datasets.read_gct(path)
    path.write_bytes(change(path.read_bytes()))
    found = sp.datasets.read_gct(path)
    np.testing.assert_array_equal(found.X, expected.X)
    assert list(found.obs_names) == SAMPLES
    assert found.var.equals(expected.var)


def test_a_quote_in_a_name_is_only_a_quote(tmp_path):
    path = tmp_path / "genes.gct"
    path.write_bytes(make_gct(np.array([[1], [2]]), ['"a'], [("G1", '5"'), ("G2", "'")]))
    adata = sp.datasets.read_gct(path)
    assert (list(adata.obs_names), list(adata.var_names)) == (['"a'], ['5"', "'"])


def test_the_result_can_be_written_and_read_again(path, tmp_path):
    import anndata as ad

    adata = sp.datasets.read_gct(path)
    adata.write_h5ad(tmp_path / "genes.h5ad")
    again = ad.read_h5ad(tmp_path / "genes.h5ad")
    assert again.var.to_dict() == adata.var.to_dict()


def swap(old: str, new: str):
    def change(body: bytes) -> bytes:
        changed = body.replace(old.encode(), new.encode())
        assert changed != body
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(swap("#1.2\n", ""), "not a GCT file of version 1.2.*'4.t3'", id="no version"),
        pytest.param(swap("#1.2", "#1.3"), "begins with '#1.3'", id="version 1.3"),
        pytest.param(lambda body: b"", "begins with ''", id="empty"),
        pytest.param(lambda body: bytes(range(256)), "not a GCT file", id="binary"),
        pytest.param(swap("4\t3\n", "four\n"), "second line is not the number", id="shape"),
        pytest.param(swap("Name\tDesc", "Desc\tName"), "third line does not begin", id="columns"),
        pytest.param(swap("4\t3\n", "4\t5\n"), "announces 5 samples and has 3", id="fewer samples"),
        pytest.param(swap("4\t3\n", "6\t3\n"), "announces 6 genes and has 4.*cut off", id="fewer"),
        pytest.param(swap("4\t3\n", "9999999999\t3\n"), "more than it can hold", id="too many"),
        pytest.param(swap("4\t3\n", "9" * 5000 + "\t3\n"), "second line is not", id="digits"),
        pytest.param(swap("4\t3\n", "2\t3\n"), "announces 2 genes and has 4.*damaged", id="more"),
        pytest.param(
            lambda body: body[:-6], "'ENSG4.9' has 1 values for 3 samples", id="cut in a line"
        ),
        pytest.param(lambda body: body[: body.index(b"ENSG4") + 4], "'ENSG' has 0", id="in a name"),
        pytest.param(swap("\t7\t8", "\t7"), "'ENSG3.2' has 2 values", id="a value too few"),
        pytest.param(swap("\t7\t8", "\t7\t\t8"), "'ENSG3.2' has 4 values", id="a value too many"),
        pytest.param(swap("\t7\t8", "\tseven\t8"), "value of 'ENSG3.2' is a finite", id="text"),
        pytest.param(swap("\t7\t8", "\t\t8"), "value of 'ENSG3.2' is a finite", id="empty value"),
        pytest.param(swap("\t7\t8", "\tnan\t8"), "value of 'ENSG3.2' is a finite", id="nan"),
        pytest.param(swap("\t7\t8", "\t1_0\t8"), "value of 'ENSG3.2' is a finite", id="underscore"),
        pytest.param(swap("\t7\t8", "\t\r7\t8"), "value of 'ENSG3.2' is a finite", id="return"),
        pytest.param(swap("\t7\t8", "\tinf\t8"), "value of 'ENSG3.2' is a finite", id="infinity"),
        pytest.param(swap("ENSG3.2", "ENSG2.1"), "genes twice: 'ENSG2.1'", id="a gene twice"),
        pytest.param(swap("a\tb\tc", "a\tb\ta"), "samples twice: 'a'", id="a sample twice"),
        pytest.param(lambda body: body.replace(b"MYC", b"\xff"),
                     "not UTF-8", id="not text"),
        pytest.param(lambda body: gzip.compress(body)[:-12], "cut off or damaged", id="cut gzip"),
        pytest.param(
            lambda body: gzip.compress(body)[:-8] + b"\0" * 8, "cut off or damaged", id="bad gzip"
        ),
        pytest.param(lambda body: b"\x1f\x8b" + body, "cut off or damaged", id="no gzip"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_by_name_and_with_the_reason(path, change, match):
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=f"genes.gct.*{match}"):
        sp.datasets.read_gct(path)


class EndlessLine:
    """As a small gzip file can hold it."""

    def readline(self, size: int = -1) -> bytes:
        assert 0 < size < 1 << 20
        return b"1" * size


@pytest.mark.parametrize(
    ("n_genes", "match"),
    [(None, r"genes.gct: '1+' has 0 values for 1 samples"), (1, "genes.gct announces 1 genes")],
)
def test_a_line_without_end_is_not_read_to_its_end(path, n_genes, match):
    table = _gene_table.GeneTable(path, EndlessLine(), ["a"], 2, n_genes)
    with pytest.raises(ValueError, match=match):
        next(table.blocks())


def test_a_header_without_samples_is_refused(path):
    path.write_bytes(b"#1.2\n1\t0\nName\tDescription\nG\tS\n")
    with pytest.raises(ValueError, match="no samples"):
        sp.datasets.read_gct(path)


def test_an_unknown_kind_of_names_is_refused(path):
    with pytest.raises(ValueError, match="'symbol', 'gene_id', not 'hgnc'"):
        sp.datasets.read_gct(path, var_names="hgnc")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.gct"):
        sp.datasets.read_gct(tmp_path / "none.gct")
