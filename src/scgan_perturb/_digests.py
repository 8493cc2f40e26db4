"""Hashes of data, to detect changes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def digest(*parts: str | bytes | np.ndarray, size: int = 16, separator: bytes = b"\0") -> str:
    """A hash of texts, bytes and arrays of numbers, in order: `size` bytes as hexadecimal text.

    The separator follows each part. Without one, the hash is that of the joined bytes.
    """
    total = hashlib.blake2b(digest_size=size)
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode())
        elif isinstance(part, bytes):
            total.update(part)
        else:
            total.update(part.tobytes())
        total.update(separator)
    return total.hexdigest()
