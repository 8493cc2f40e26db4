from __future__ import annotations

import gzip
import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp
from scgan_perturb.datasets import _rnaseqdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Genes and number of samples of each file.
CONTENT = {
    "kidney-rsem-fpkm-gtex.txt.gz": ("ABCDE", 3),
    "kich-rsem-fpkm-tcga.txt.gz": ("FECBA", 2),
    "kich-rsem-fpkm-tcga-t.txt.gz": ("CAGEB", 4),
    "luad-rsem-fpkm-tcga.txt.gz": ("EDCBA", 1),
}


@dataclass
class Source:
    """RNAseqDB in small, served at this machine's own address."""

    tables: dict[str, pd.DataFrame]
    served: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    bytes_held_back: int = 0


def _table(name: str, seed: int) -> pd.DataFrame:
    genes, n_samples = CONTENT[name]
    rng = np.random.default_rng(seed)
    fpkm = rng.exponential(20, size=(len(genes), n_samples)).round(2)
    fpkm[0, 0] = 0
    table = pd.DataFrame(
        fpkm, index=list(genes), columns=[f"{name[:6]}{seed}.{i}" for i in range(n_samples)]
    )
    table.insert(0, "Entrez_Gene_Id", [100 + ord(gene) for gene in genes])
    return table


def _pack(table: pd.DataFrame) -> bytes:
    text = table.to_csv(sep="\t", index_label="Hugo_Symbol", lineterminator="\n")
    return gzip.compress(text.encode(), mtime=0)


def _handler(source: Source) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            source.asked.append(name)
            if name not in source.served:
                self.send_error(404)
                return
            body = source.served[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - source.bytes_held_back])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that `rnaseqdb` keeps its files in; not there at first."""
    monkeypatch.setattr(sp.settings, "dataset_dir", tmp_path / "data")
    return tmp_path / "data" / "rnaseqdb"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Source]:
    tables = {name: _table(name, seed) for seed, name in enumerate(CONTENT)}
    source = Source(tables, {name: _pack(table) for name, table in tables.items()})
    hashes = {name: hashlib.sha256(body).hexdigest() for name, body in source.served.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(source))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(_rnaseqdb, "BASE_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(_rnaseqdb, "SHA256", hashes)
    monkeypatch.setattr(
        _rnaseqdb, "TISSUES", {"kidney": "Kidney", "kich": "Kidney", "luad": "Lung"}
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield source
    server.shutdown()
    server.server_close()
    thread.join()
