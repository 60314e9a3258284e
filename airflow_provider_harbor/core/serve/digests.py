"""Many packed digests in little memory: 40 bytes each, where a dictionary takes about 250."""

from __future__ import annotations

import bisect
import sys
from array import array
from collections.abc import Mapping


class DigestTable:
    """Numbers by digests; made once, and never changed.

    Args:
        numbers: What it holds, by packed digests; numbers from 0 to 2^64 - 1.
    """

    __slots__ = ("_sections",)

    def __init__(self, numbers: Mapping[bytes, int]) -> None:
        self._sections: dict[int, tuple[bytes, array[int]]] = {}
        for width in {len(digest) for digest in numbers}:
            digests = sorted(digest for digest in numbers if len(digest) == width)
            values = array("Q", map(numbers.__getitem__, digests))
            self._sections[width] = (b"".join(digests), values)

    def __len__(self) -> int:
        return sum(len(values) for _, values in self._sections.values())

    def get(self, digest: bytes) -> int | None:
        """Return the number of a packed digest; None where it has none."""
        width = len(digest)
        if width not in self._sections:
            return None
        digests, values = self._sections[width]
        at = bisect.bisect_left(
            range(len(values)), digest, key=lambda i: digests[i * width : (i + 1) * width]
        )
        if digests[at * width : (at + 1) * width] != digest:
            return None
        return values[at]

    @property
    def memory_bytes(self) -> int:
        """How much memory it takes."""
        return sum(sys.getsizeof(part) for section in self._sections.values() for part in section)
