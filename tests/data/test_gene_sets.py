from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pandas as pd
import pytest
from gseapy import Msigdb

import scgan_perturb as sp
from scgan_perturb.data._gene_sets import (
    enrichr_library,
    msigdb_collection,
    name_kind_hint,
    read_gmt,
    write_gmt,
)

NOBODY = "http://127.0.0.1:9"  # a proxy that is not there
SETS = {"HALLMARK_A": ["TP53", "LYZ"], "HALLMARK_B": ["CD4"]}
IDS = ["ENSG00000141510", "ENSG00000090382", "ENSMUSG00000020167"]


@pytest.fixture
def server(monkeypatch, tmp_path):
    """MSigDB at this machine's own address: pages by name, and a list of what was asked."""
    asked, pages = [], {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            page = pages.get(self.path.rpartition("/")[2])
            self.send_response(404 if page is None else 200)
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *_):
            """Say nothing."""

    sp.settings.dataset_dir = tmp_path / "cache"
    lines = ["\t".join([term, "http://about", *genes]) for term, genes in SETS.items()]
    pages["h.all.v2023.1.Hs.symbols.gmt"] = "\n".join(lines) + "\n"
    os.environ["no_proxy"] = "127.0.0.1"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        monkeypatch.setattr(Msigdb, "url", f"http://127.0.0.1:{http.server_port}")
        Thread(target=http.serve_forever, args=(0.01,)).start()
        yield pages, asked
        http.shutdown()


def test_a_collection_is_downloaded_once(server):
    _, asked = server
    assert msigdb_collection("h.all", "2023.1.Hs") == SETS
    assert msigdb_collection("h.all", "2023.1.Hs") == SETS
    assert len(asked) == 1


def test_it_is_kept_under_the_name_msigdb_gives_it(server, tmp_path):
    msigdb_collection("h.all", "2023.1.Hs")
    folder = tmp_path / "cache" / "msigdb"
    assert [file.name for file in folder.iterdir()] == ["h.all.v2023.1.Hs.symbols.gmt"]


def test_a_file_put_there_by_hand_needs_no_network(server, tmp_path):
    _, asked = server
    write_gmt(tmp_path / "cache" / "msigdb" / "c1.all.v7.0.symbols.gmt", SETS)
    assert msigdb_collection("c1.all", "7.0") == SETS
    assert asked == []


@pytest.mark.parametrize("page", ["<html>\nlog in first\n</html>", ""], ids=["html", "nothing"])
def test_a_page_that_is_no_gmt_is_not_kept(server, tmp_path, page):
    pages, _ = server
    pages["h.all.v2023.1.Hs.symbols.gmt"] = page
    with pytest.raises(ValueError, match="sent no gene sets"):
        msigdb_collection("h.all", "2023.1.Hs")
    assert not (tmp_path / "cache").exists()


def test_an_unknown_collection_is_named(server):
    with pytest.raises(ValueError, match=r"'h.al' of version '2023.1.Hs' is not .* like 'h.all'"):
        msigdb_collection("h.al", "2023.1.Hs")


def test_no_network_is_said_with_what_to_do(tmp_path):
    os.environ |= {"HTTPS_PROXY": NOBODY, "https_proxy": NOBODY}
    sp.settings.dataset_dir = tmp_path
    with pytest.raises(ConnectionError, match=r"path of a .gmt file .* put it at .*h\.all\.v2023"):
        msigdb_collection("h.all", "2023.1.Hs")


def test_names_lead_to_no_other_folder(server, tmp_path):
    pages, _ = server
    pages["x.v1.symbols.gmt"] = "A\tb\tC\n"
    msigdb_collection("../../x", "1")
    assert [file.parent.name for file in tmp_path.rglob("*.gmt")] == ["msigdb"]


def test_an_unknown_library_of_enrichr_is_named(enrichr):
    with pytest.raises(ValueError, match="library 'KEG' is not there. gseapy.get_library_name"):
        enrichr_library("KEG")


def test_written_sets_are_read_as_they_were(tmp_path):
    write_gmt(tmp_path / "deep" / "a.gmt", SETS)
    assert read_gmt(tmp_path / "deep" / "a.gmt") == SETS
    assert len(list((tmp_path / "deep").iterdir())) == 1


@pytest.mark.parametrize(
    ("genes", "var_names", "hint"),
    [
        pytest.param(["TP53"], IDS, "genes of adata look like Ensembl", id="adata"),
        pytest.param(["TP53"], [f"{i}.12" for i in IDS], "of adata look like", id="versioned"),
        pytest.param(IDS, ["TP53", "LYZ"], "gene set looks like Ensembl", id="set"),
        pytest.param(IDS, [f"{i}.3" for i in IDS], "drop their versions", id="versions differ"),
        pytest.param(["Tp53"], ["TP53"], "same species", id="species"),
        pytest.param([], [], "same species", id="nothing"),
    ],
)
def test_ids_against_symbols_are_recognised(genes, var_names, hint):
    assert hint in name_kind_hint(genes, pd.Index(var_names))
