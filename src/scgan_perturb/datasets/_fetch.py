"""Fetch a file once, checked by its hash."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from .._settings import DATASET_DIR_VARIABLE, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def fetch_files(
    names: Iterable[str], *, folder: str, base_url: str, sha256: Mapping[str, str]
) -> list[Path]:
    """Paths of the named files in the cache folder, downloaded where they are not there yet.

    Parameters
    ----------
    names
        File names.
    folder
        Folder below `settings.dataset_dir`.
    base_url
        Address that the names are appended to.
    sha256
        Hash of each file. A file in the cache with another hash is downloaded anew.

    Raises
    ------
    ConnectionError
        If a file cannot be downloaded.
    ValueError
        If a downloaded file has another hash, as one that was cut off or changed.
    OSError
        If the cache folder cannot be read or written.
    """
    import requests  # noqa: PLC0415 (slow, and not needed to use other data)
    from tqdm import TqdmWarning  # noqa: PLC0415

    with warnings.catch_warnings():
        # In a notebook without widgets the plain progress bar will do.
        warnings.simplefilter("ignore", TqdmWarning)
        import pooch  # noqa: PLC0415

    cache = pooch.create(
        path=Path(settings.dataset_dir) / folder, base_url=base_url, registry=sha256
    )
    downloader = pooch.HTTPDownloader(progressbar=settings.progress_bar, timeout=60)
    paths = []
    for name in names:
        try:
            paths.append(Path(cache.fetch(name, downloader=downloader)))
        except requests.exceptions.RequestException as error:
            msg = (
                f"{name} could not be downloaded from {base_url} ({type(error).__name__}). Is there "
                f"a network? You can put the file (SHA-256 {sha256[name]}) into {cache.abspath} "
                f"yourself, or set sp.settings.dataset_dir or {DATASET_DIR_VARIABLE} to the folder "
                f"that holds {folder}/{name}."
            )
            raise ConnectionError(msg) from error
        except ValueError as error:
            msg = f"{name} from {base_url} is damaged or was changed; nothing was kept. {error}"
            raise ValueError(msg) from error
        except OSError as error:
            msg = (
                f"{cache.abspath} cannot be read or written "
                f"({error.strerror or type(error).__name__}). Set "
                f"sp.settings.dataset_dir or {DATASET_DIR_VARIABLE} to a folder that can."
            )
            raise OSError(msg) from error
    return paths
