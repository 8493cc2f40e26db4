from __future__ import annotations

import base64
import gzip
import hashlib
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp
from scgan_perturb.datasets import _gtex, _rnaseqdb, _tcga

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    address: str = ""
    asked: list[str] = field(default_factory=list)
    bytes_held_back: int = 0
    stop: Callable[[], None] = lambda: None


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


@contextmanager
def _running(served: Source | Store, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    """Serve at this machine's own address, until the end or a call of `served.stop`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    os.environ["no_proxy"] = "127.0.0.1"
    served.address, served.stop = f"http://127.0.0.1:{server.server_port}/", stop
    thread.start()
    yield
    stop()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The folder that `rnaseqdb` keeps its files in; not there at first."""
    sp.settings.dataset_dir = tmp_path / "data"
    return tmp_path / "data" / "rnaseqdb"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Source]:
    tables = {name: _table(name, seed) for seed, name in enumerate(CONTENT)}
    source = Source(tables, {name: _pack(table) for name, table in tables.items()})
    hashes = {name: hashlib.sha256(body).hexdigest() for name, body in source.served.items()}
    tissues = {"kidney": "Kidney", "kich": "Kidney", "luad": "Lung"}
    with _running(source, _handler(source)):
        small = {"BASE_URL": source.address, "SHA256": hashes, "TISSUES": tissues}
        for name, value in small.items():
            monkeypatch.setattr(_rnaseqdb, name, value)
        yield source


@dataclass
class Store:
    """Files as a cloud storage serves them: with ETag and Range, and a hash where it is told to."""

    address: str = ""
    served: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    cut_after: dict[str, int] = field(default_factory=dict)
    md5: dict[str, bytes] = field(default_factory=dict)
    strong_etags: bool = True
    ranges: bool = True
    stop: Callable[[], None] = lambda: None

    def add(self, path: str, body: bytes, *, md5: bool = False) -> None:
        self.served[path] = body
        if md5:
            self.md5[path] = hashlib.md5(body).digest()

    def etag(self, path: str) -> str:
        tag = f'"{hashlib.sha256(self.served[path]).hexdigest()}"'
        return tag if self.strong_etags else "W/" + tag


def _store_handler(store: Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = self.path.removeprefix("/"), self.headers.get("Range")
            store.asked.append((path.rpartition("/")[2], wanted))
            if path not in store.served:
                self.send_error(404)
                return
            body, start = store.served[path], 0
            etag = store.etag(path)
            if wanted and store.ranges and self.headers.get("If-Range") == etag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("ETag", etag)
            if path in store.md5:
                md5 = base64.b64encode(store.md5[path]).decode()
                self.send_header("x-goog-hash", f"crc32c=AAAAAA==, md5={md5}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start : store.cut_after.get(path, len(body))])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """An empty storage at this machine's own address, which GTEx and TCGA are fetched from."""
    store = Store()
    sp.settings.dataset_dir = tmp_path / "data"
    with _running(store, _store_handler(store)):
        hubs = (store.address + "hub/", store.address + "second/")
        for module, name, value in (
            (_gtex, "PORTAL", store.address + "portal/"),
            (_gtex, "FORMER", store.address + "former_{version}/"),
            (_tcga, "HUBS", hubs),
        ):
            monkeypatch.setattr(module, name, value)
        yield store


def make_gct(tpm: np.ndarray, samples: list[str], genes: list[tuple[str, str]]) -> bytes:
    """A GCT file, uncompressed, of genes × samples."""
    lines = ["#1.2", f"{len(genes)}\t{len(samples)}", "\t".join(["Name", "Description", *samples])]
    lines += [
        "\t".join([*gene, *(f"{value:.6g}" for value in row)])
        for gene, row in zip(genes, tpm, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()
