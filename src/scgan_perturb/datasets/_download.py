"""Download a file: resumed where it broke off, and checked by its hash where one is known."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._settings import DATASET_DIR_VARIABLE, settings
from ..data._text_files import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHUNK = 1 << 20
TIMEOUT = 60


def download(addresses: Sequence[str], path: Path, sha256: str | None = None) -> Path:
    """The file at `path`, downloaded unless it is there, from the first address that has it.

    A download that broke off is kept beside `path` under a name that ends in `.part`. The next call
    asks the server for the rest only, if the server still has the same file.

    Raises
    ------
    ConnectionError
        If no address has the file.
    ValueError
        If the SHA-256 of the file is not the given one. A file that was at `path` before stays
        there: the user may have put it there.
    OSError
        If the folder cannot be read or written.
    """
    import requests  # noqa: PLC0415 (slow, and not needed for data in the cache)
    import urllib3  # noqa: PLC0415

    failures = []
    try:
        if path.is_file():
            if sha256 and (found := _hash_of(path, "sha256")) != sha256:
                msg = (
                    f"{path} is not the file that was expected: its SHA-256 is {found}, not "
                    f"{sha256}. It was left as it is; replace it, or delete it to download it."
                )
                raise ValueError(msg)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        for address in addresses:
            try:
                return _fetch(address, path, sha256)
            except requests.exceptions.RequestException as error:
                failures.append(f"{address} ({_reason(error)})")
            except urllib3.exceptions.HTTPError as error:  # broke off: the next call resumes here
                failures.append(f"{address} ({_reason(error)})")
                break
    except OSError as error:
        msg = (
            f"{path.parent} cannot be read or written ({error.strerror or type(error).__name__}). "
            f"Set sp.settings.dataset_dir or {DATASET_DIR_VARIABLE} to a folder that can."
        )
        raise OSError(msg) from error
    known_hash = f" (SHA-256 {sha256})" if sha256 else ""
    msg = (
        f"{path.name} could not be downloaded from {' nor from '.join(failures)}. Is there a "
        f"network? Call again to resume, put the file{known_hash} into {path.parent} yourself, or "
        f"set sp.settings.dataset_dir or {DATASET_DIR_VARIABLE} to the folder that holds "
        f"{path.parent.name}/{path.name}."
    )
    raise ConnectionError(msg)


@contextmanager
def downloaded(addresses: Sequence[str], path: Path) -> Iterator[Path]:
    """A file without a known hash, to be read in the context.

    If reading shows that the file is damaged, it is deleted, unless it was there before.
    """
    was_there = path.is_file()
    download(addresses, path)
    try:
        yield path
    except DamagedError as error:
        if was_there:
            remedy = "It was left as it is; replace it, or delete it to download it."
        else:
            path.unlink(missing_ok=True)
            remedy = "It was deleted: the next call downloads it again."
        msg = f"{error} {remedy}"
        raise ValueError(msg) from error


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return type(error).__name__ + (f" {status}" if status else "")


def _fetch(address: str, path: Path, sha256: str | None) -> Path:
    """Download from one address; resume an earlier download."""
    import requests  # noqa: PLC0415

    part, tag = (path.with_name(path.name + suffix) for suffix in (".part", ".part.etag"))
    size = part.stat().st_size if part.is_file() and tag.is_file() else 0
    # The bytes as they are stored: GitHub compresses and Google's storage decompresses on the way.
    headers = {"Accept-Encoding": "identity" if sha256 else "gzip"}
    if size:
        headers |= {"Range": f"bytes={size}-", "If-Range": tag.read_text(encoding="utf-8")}
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if size and _cannot_resume(response, size):
            part.unlink()
            return _fetch(address, path, sha256)
        response.raise_for_status()
        if response.status_code != requests.codes.partial:
            size = 0
            tag.unlink(missing_ok=True)
        etag = response.headers.get("ETag", "")
        if etag.startswith('"'):  # a weak ETag does not promise the same bytes
            tag.write_text(etag, encoding="utf-8")
        try:
            _receive(response, part, size)
        except BaseException:
            if not tag.is_file():  # no later call could resume
                part.unlink(missing_ok=True)
            raise
    kind, expected = ("SHA-256", sha256) if sha256 else ("MD5", _named_md5(response))
    if expected and _hash_of(part, kind.replace("-", "").lower()) != expected:
        part.unlink()
        tag.unlink(missing_ok=True)
        msg = (
            f"{path.name} from {address} is damaged or was changed: it has another {kind} than "
            f"expected, {expected}. It was deleted; call again to download it again."
        )
        raise ValueError(msg)
    part.replace(path)
    tag.unlink(missing_ok=True)
    return path


def _cannot_resume(response: Any, size: int) -> bool:
    """Whether a server that was asked for the bytes from `size` on has none, or sends others."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
    return response.status_code == 416 or (response.status_code == 206 and not begins)


def _receive(response: Any, part: Path, size: int) -> None:
    from tqdm import tqdm  # noqa: PLC0415

    length = response.headers.get("Content-Length")
    with (
        part.open("ab" if size else "wb") as file,
        tqdm(
            total=size + int(length) if length else None,
            initial=size,
            unit="B",
            unit_scale=True,
            desc=part.name.removesuffix(".part"),
            disable=not settings.progress_bar,
        ) as bar,
    ):
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            file.write(chunk)
            bar.update(len(chunk))


def _named_md5(response: Any) -> str | None:
    """MD5 of the whole file, where the server names it, as Google's storage does."""
    found = re.search(r"md5=([A-Za-z0-9+/]+=*)", response.headers.get("x-goog-hash", ""))
    return base64.b64decode(found[1]).hex() if found else None


def _hash_of(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()
