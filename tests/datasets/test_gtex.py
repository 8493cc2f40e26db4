from __future__ import annotations

import gzip
import math

import h5py
import numpy as np
import pytest

import scgan_perturb as sp
from scgan_perturb.datasets import _gtex

from .conftest import make_gct

SAMPLES = [
    "GTEX-1117F-0226-SM-5GZZ7",
    "GTEX-1117F-0426-SM-5EGHI",
    "GTEX-111CU-1826-SM-5GZYN",
]
TISSUES = ["Adipose - Subcutaneous", "Muscle - Skeletal", "Whole Blood"]
ORGANS = ["Adipose Tissue", "Muscle", "Blood"]
GENES = [
    ("ENSG00000223972.4", "DDX11L1"),
    ("ENSG00000227232.4", "WASH7P"),
    ("ENSG00000252830.1", "Y_RNA"),
    ("ENSG00000252956.1", "Y_RNA"),
    ("ENSG00000136997.10", "MYC"),
]
EXPRESSION, ATTRIBUTES = _gtex.EXPRESSION["v7"], _gtex.ATTRIBUTES["v7"]
EXPRESSION_PATH = f"portal/bulk-gex/v7/rna-seq/{EXPRESSION}"
ATTRIBUTES_PATH = f"portal/annotations/v7/metadata-files/{ATTRIBUTES}"


def make_attributes(samples=SAMPLES) -> bytes:
    rows = [["SAMPID", "SMATSSCR", "SMTS", "SMPTHNTS", "SMTSD"]]
    described = dict(zip(SAMPLES, zip(ORGANS, TISSUES, strict=True), strict=True))
    rows += [[name, "", described[name][0], '2 "pieces', described[name][1]] for name in samples]
    rows.append(["GTEX-NOT-MEASURED", "1", "Lung", "", "Lung"])
    return "".join("\t".join(row) + "\n" for row in rows[:1] + rows[:0:-1]).encode()


@pytest.fixture
def tpm() -> np.ndarray:
    tpm = np.random.default_rng(0).exponential(20, size=(len(GENES), len(SAMPLES))).round(3)
    tpm[0, 1] = 0
    return tpm


@pytest.fixture
def v7(store, tpm):
    """GTEx v7 in small."""
    store.add(EXPRESSION_PATH, gzip.compress(make_gct(tpm, SAMPLES, GENES)), md5=True)
    store.add(ATTRIBUTES_PATH, make_attributes(), md5=True)
    return store


@pytest.fixture
def cache(v7, tmp_path):
    return tmp_path / "data" / "gtex"


def test_values_are_log2_of_tpm_plus_1(v7, tpm):
    adata = sp.datasets.gtex("v7")
    expected = [[math.log2(value + 1) for value in sample] for sample in tpm.T]
    np.testing.assert_allclose(adata.X, expected, rtol=1e-5)
    assert adata.X.dtype == np.float32


def test_samples_have_their_own_tissue_organ_and_donor(v7):
    obs = sp.datasets.gtex("v7").obs
    assert list(obs.index) == SAMPLES
    assert list(obs["tissue"]) == TISSUES
    assert list(obs["organ"]) == ORGANS
    assert list(obs["donor"]) == ["GTEX-1117F", "GTEX-1117F", "GTEX-111CU"]
    assert all(dtype == "category" for dtype in obs.dtypes)


def test_samples_that_were_not_measured_are_no_category(v7):
    assert "Lung" not in sp.datasets.gtex("v7").obs["tissue"].cat.categories


def test_genes_go_by_symbol_or_by_id(v7):
    by_symbol = sp.datasets.gtex("v7")
    by_id = sp.datasets.gtex("v7", var_names="gene_id")
    assert list(by_symbol.var_names) == ["DDX11L1", "WASH7P", "Y_RNA", GENES[3][0], "MYC"]
    assert list(by_id.var_names) == list(by_symbol.var["gene_id"]) == [gene for gene, _ in GENES]
    assert list(by_id.var["symbol"]) == [symbol for _, symbol in GENES]


def test_the_second_call_needs_no_server(v7, cache):
    first = sp.datasets.gtex("v7")
    assert [name for name, _ in v7.asked] == [ATTRIBUTES, EXPRESSION]
    v7.served.clear()
    np.testing.assert_array_equal(sp.datasets.gtex("v7").X, first.X)
    assert len(v7.asked) == 2
    assert {path.name for path in cache.iterdir()} == {"v7.h5ad", ATTRIBUTES, EXPRESSION}


def test_files_put_into_the_cache_by_hand_need_no_server(v7, cache):
    cache.mkdir(parents=True)
    (cache / EXPRESSION).write_bytes(v7.served[EXPRESSION_PATH])
    (cache / ATTRIBUTES).write_bytes(v7.served[ATTRIBUTES_PATH])
    assert sp.datasets.gtex("v7").shape == (3, 5)
    assert v7.asked == []


def test_the_expression_can_stay_on_disk(v7):
    adata = sp.datasets.gtex("v7", backed=True)
    assert adata.isbacked
    np.testing.assert_array_equal(adata[:2].X[:], sp.datasets.gtex("v7").X[:2])
    adata.file.close()


def test_the_cached_file_is_compressed_and_chunked_for_both_directions(v7, cache):
    sp.datasets.gtex("v7")
    with h5py.File(cache / "v7.h5ad") as file:
        assert file["X"].compression == "gzip"
        assert file["X"].chunks == (3, 256)
        assert file["X"].shape == (3, 5)


def test_a_former_address_is_tried_where_the_portal_has_the_file_no_more(v7):
    for path, former in [(EXPRESSION_PATH, "rna_seq_data"), (ATTRIBUTES_PATH, "annotations")]:
        v7.add(f"former_v7/{former}/{path.rpartition('/')[2]}",
               v7.served.pop(path))  # fmt: skip
    assert sp.datasets.gtex("v7").shape == (3, 5)
    assert [name for name, _ in v7.asked] == [ATTRIBUTES] * 2 + [EXPRESSION] * 2


def test_a_download_that_broke_off_is_resumed(v7, cache):
    v7.cut_after[EXPRESSION_PATH] = 100
    with pytest.raises(ConnectionError, match=f"{EXPRESSION} could not.*Call again to resume"):
        sp.datasets.gtex("v7")
    assert not (cache / EXPRESSION).exists()
    v7.cut_after.clear()
    v7.asked.clear()
    assert sp.datasets.gtex("v7").shape == (3, 5)
    assert v7.asked == [(EXPRESSION, "bytes=100-")]
    assert (cache / EXPRESSION).read_bytes() == v7.served[EXPRESSION_PATH]
    assert list(cache.glob("*.part*")) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda store: setattr(store, "ranges", False), id="no ranges"),
        pytest.param(lambda store: setattr(store, "strong_etags", False), id="weak etag"),
        pytest.param(
            lambda store: store.add(
                EXPRESSION_PATH, gzip.compress(make_gct(np.ones((1, 1)), SAMPLES[:1], GENES[:1]))
            ),
            id="another file",
        ),
    ],
)
def test_a_download_that_cannot_be_resumed_begins_again(v7, cache, change):
    v7.cut_after[EXPRESSION_PATH] = 100
    with pytest.raises(ConnectionError):
        sp.datasets.gtex("v7")
    v7.cut_after.clear()
    v7.md5.clear()
    change(v7)
    sp.datasets.gtex("v7")
    assert (cache / EXPRESSION).read_bytes() == v7.served[EXPRESSION_PATH]


def test_a_part_longer_than_the_file_begins_again(v7, cache):
    cache.mkdir(parents=True)
    (cache / f"{EXPRESSION}.part").write_bytes(b"x" * 10_000)
    (cache / f"{EXPRESSION}.part.etag").write_text(v7.etag(EXPRESSION_PATH))
    assert sp.datasets.gtex("v7").shape == (3, 5)


def test_a_part_of_unknown_origin_is_not_trusted(v7, cache):
    cache.mkdir(parents=True)
    (cache / f"{EXPRESSION}.part").write_bytes(b"x" * 10)
    assert sp.datasets.gtex("v7").shape == (3, 5)
    assert (EXPRESSION, None) in v7.asked


def test_a_file_with_another_hash_than_its_server_names_is_refused_and_not_kept(v7, cache):
    v7.md5[EXPRESSION_PATH] = b"\0" * 16
    with pytest.raises(ValueError, match=f"{EXPRESSION} from http.*damaged.*another MD5"):
        sp.datasets.gtex("v7")
    assert [path.name for path in cache.iterdir()] == [ATTRIBUTES]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(lambda body: body[:-20], "cut off or damaged", id="cut off"),
        pytest.param(lambda body: b"<html>", "not a GCT file", id="a page"),
        pytest.param(
            lambda body: gzip.compress(gzip.decompress(body).replace(b"5\t3\n", b"9\t3\n")),
            "announces 9 genes and has 5",
            id="shape",
        ),
    ],
)
def test_a_damaged_file_is_deleted_leaves_nothing_half_made_and_is_downloaded_again(
    v7, cache, tpm, change, match
):
    whole = v7.served[EXPRESSION_PATH]
    v7.add(EXPRESSION_PATH, change(whole), md5=True)
    with pytest.raises(ValueError, match=f"{EXPRESSION}.*{match}.*next call downloads it again"):
        sp.datasets.gtex("v7")
    assert [path.name for path in cache.iterdir()] == [ATTRIBUTES]
    v7.add(EXPRESSION_PATH, whole, md5=True)
    np.testing.assert_allclose(sp.datasets.gtex("v7").X, np.log2(tpm.T + 1), rtol=1e-5)


@pytest.mark.parametrize("name", [ATTRIBUTES, EXPRESSION])
@pytest.mark.parametrize(
    "body", [b"<html>", gzip.compress(b"<html>" * 100)[:-9]], ids=["a page", "cut off"]
)
def test_a_file_that_was_put_there_by_hand_is_named_and_left(v7, cache, name, body):
    cache.mkdir(parents=True)
    (cache / name).write_bytes(body)
    with pytest.raises(ValueError, match=f"{name}.* left as it is; replace it, or delete it"):
        sp.datasets.gtex("v7")
    assert (cache / name).read_bytes() == body
    (cache / name).unlink()
    assert sp.datasets.gtex("v7").shape == (3, 5)


def test_an_interrupted_conversion_leaves_nothing_half_made(v7, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_gtex, "describe_genes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sp.datasets.gtex("v7")
    assert {path.name for path in cache.iterdir()} == {ATTRIBUTES, EXPRESSION}
    assert sp.datasets.gtex("v7").shape == (3, 5)


def test_a_sample_without_attributes_is_named(v7):
    v7.add(ATTRIBUTES_PATH, make_attributes(SAMPLES[:2]), md5=True)
    with pytest.raises(ValueError, match=f"does not describe 1 of the 3 samples .'{SAMPLES[2]}'"):
        sp.datasets.gtex("v7")


def test_attributes_without_a_tissue_are_refused_and_not_kept(v7, cache):
    v7.add(ATTRIBUTES_PATH, make_attributes().replace(b"SMTSD", b"OTHER"), md5=True)
    with pytest.raises(ValueError, match=f"{ATTRIBUTES} has no column 'SMTSD'"):
        sp.datasets.gtex("v7")
    assert not (cache / ATTRIBUTES).exists()


def test_without_a_network_the_error_says_how_to_go_on(v7, cache):
    v7.stop()
    with pytest.raises(
        ConnectionError, match=rf"{ATTRIBUTES} could not.*Is there a network.*{cache}"
    ):
        sp.datasets.gtex("v7")


def test_a_file_no_address_has_is_an_error_with_the_status(v7):
    v7.served.clear()
    with pytest.raises(ConnectionError, match="HTTPError 404.*nor from.*HTTPError 404"):
        sp.datasets.gtex("v7")


def test_a_file_in_place_of_the_cache_folder_is_a_clear_error(v7, cache):
    cache.parent.mkdir()
    cache.touch()
    with pytest.raises(OSError, match=r"gtex cannot be read or written \(.*Set sp.settings"):
        sp.datasets.gtex("v7")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        pytest.param(
            {"version": "v6"}, "version must be one of 'v7', 'v8', 'v10', not 'v6'", id="version"
        ),
        pytest.param({"var_names": "entrez"}, "not 'entrez'", id="var_names"),
    ],
)
def test_an_unknown_argument_is_refused_before_anything_is_downloaded(v7, arguments, match):
    with pytest.raises(ValueError, match=match):
        sp.datasets.gtex(**arguments)
    assert v7.asked == []


@pytest.mark.parametrize("wanted", [True, False])
def test_progress_is_shown_where_wanted(v7, capfd, wanted):
    sp.settings.progress_bar = wanted
    sp.datasets.gtex("v7")
    shown = capfd.readouterr().err
    assert (EXPRESSION in shown and "v7.h5ad" in shown) == wanted


def test_every_version_has_an_address_for_both_files():
    for version in _gtex.EXPRESSION:
        for names in (_gtex.EXPRESSION, _gtex.ATTRIBUTES):
            for address in _gtex._addresses(version, names, "a/{}/", "b/"):
                assert address.startswith("https://storage.googleapis.com/")
                assert version in address
