"""Download a large file: resumed where it broke off, checked where its server names a hash."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from .._settings import DATASET_DIR_VARIABLE, settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHUNK = 1 << 20
TIMEOUT = 60


def download(addresses: Sequence[str], path: Path) -> Path:
    """The file at `path`, downloaded where it is not there yet.

    What has arrived is kept under a name that ends in `.part`, and gets its own name once the file
    is whole. A later call asks the server for the rest only, if the file there is still the same.

    Parameters
    ----------
    addresses
        Addresses of the file, tried in turn.
    path
        Where the file is to be.

    Raises
    ------
    ConnectionError
        If no address can be read to the end.
    ValueError
        If what was downloaded does not have the MD5 that its server names.
    OSError
        If the folder cannot be read or written.
    """
    import requests  # noqa: PLC0415 (slow, and not needed for data in the cache)
    import urllib3  # noqa: PLC0415

    failures = []
    try:
        if path.is_file():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        for address in addresses:
            try:
                return _fetch(address, path)
            except requests.exceptions.RequestException as error:
                failures.append(f"{address} ({_reason(error)})")
            except urllib3.exceptions.HTTPError as error:  # it broke off: go on here, next time
                failures.append(f"{address} ({_reason(error)})")
                break
    except OSError as error:
        msg = (
            f"{path.parent} cannot be read or written ({error.strerror or type(error).__name__}). "
            f"Set sp.settings.dataset_dir or {DATASET_DIR_VARIABLE} to a folder that can."
        )
        raise OSError(msg) from error
    msg = (
        f"{path.name} could not be downloaded from {' nor from '.join(failures)}. Is there a "
        f"network? Call again to go on from where it stopped, or put the file into {path.parent} "
        f"yourself."
    )
    raise ConnectionError(msg)


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return type(error).__name__ + (f" {status}" if status else "")


def _fetch(address: str, path: Path) -> Path:
    """Download from one address, going on from what is there."""
    import requests  # noqa: PLC0415

    part, tag = (path.with_name(path.name + suffix) for suffix in (".part", ".part.etag"))
    have = part.stat().st_size if part.is_file() and tag.is_file() else 0
    # The bytes are wanted as they are stored: gzip would otherwise be taken off on the way.
    headers = {"Accept-Encoding": "gzip"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text(encoding="utf-8")}
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if have and _misses(response, have):
            part.unlink()
            return _fetch(address, path)
        response.raise_for_status()
        if response.status_code != requests.codes.partial:
            have = 0
            tag.unlink(missing_ok=True)
        etag = response.headers.get("ETag", "")
        if etag.startswith('"'):  # a weak one does not promise the same bytes
            tag.write_text(etag, encoding="utf-8")
        _receive(response, part, have)
    expected = _md5(response)
    if expected and _md5_of(part) != expected:
        part.unlink()
        tag.unlink(missing_ok=True)
        msg = f"{path.name} from {address} is damaged: it has another MD5 than its server names. Nothing was kept; call again."
        raise ValueError(msg)
    part.replace(path)
    tag.unlink(missing_ok=True)
    return path


def _misses(response: Any, have: int) -> bool:
    """Whether a server that was asked for the bytes from `have` on has none, or sends others."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return response.status_code == 416 or (response.status_code == 206 and not begins)


def _receive(response: Any, part: Path, have: int) -> None:
    from tqdm import tqdm  # noqa: PLC0415

    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
    name = part.name.removesuffix(".part")
    with (
        part.open("ab" if have else "wb") as file,
        tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=name,
            disable=not settings.progress_bar,
        ) as bar,
    ):
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            file.write(chunk)
            bar.update(len(chunk))


def _md5(response: Any) -> str | None:
    """MD5 of the whole file, where the server names one, as Google's storage does."""
    found = re.search(r"md5=([A-Za-z0-9+/]+=*)", response.headers.get("x-goog-hash", ""))
    return base64.b64decode(found[1]).hex() if found else None


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
