"""A checksum in the last field of a JSON file: no bit of it changes unseen.

    head -n -2 FILE | sha256sum      is what its last but one line says

Results and snapshots have one. Inventories, contents and the pool need none: their names tell what
they are. A file without one can be read; only verifying asks for it.
"""

from __future__ import annotations

import hashlib
import re

_END = b"\n}\n"
_SEAL = re.compile(rb'  "sha256": "([0-9a-f]{64})"\n}\n')
_SEAL_BYTES = len('  "sha256": ""') + 64 + len(_END)


def seal(document: bytes) -> bytes:
    """Return a document with its checksum.

    Args:
        document: As `documents.dump` made it.
    """
    body = document.removesuffix(_END) + b",\n"
    return body + f'  "sha256": "{hashlib.sha256(body).hexdigest()}"'.encode() + _END


def is_sealed(content: bytes) -> bool:
    """Tell whether a file has a checksum, be it right or not."""
    return _SEAL.fullmatch(content[-_SEAL_BYTES:]) is not None


def is_intact(content: bytes) -> bool:
    """Tell whether a file has a checksum, and is what was written."""
    found = _SEAL.fullmatch(content[-_SEAL_BYTES:])
    body = content[:-_SEAL_BYTES]
    return found is not None and found[1] == hashlib.sha256(body).hexdigest().encode()
