"""SHA-256 of which it can be kept how far it has come, so that a later process goes on with it.

`hashlib` shows its state to nobody. So this calls what `hashlib` itself calls: OpenSSL, in the
library that Python has loaded already. Its `SHA256_CTX` is public (`openssl/sha.h`), and so are
`SHA256_Init`, `SHA256_Update` and `SHA256_Final`; since OpenSSL 3.0 they are deprecated. Where they
are missing, or say anything else than `hashlib` does, `is_available` is False.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
import re
from typing import Any

# After a multiple of so many bytes the state is eight words, and nothing waits beside them.
_BLOCK_BYTES = 64
_STATE = re.compile("[0-9a-f]{64}")


class _Context(ctypes.Structure):
    """`SHA256_CTX` of `openssl/sha.h`; a number of bits is two words, the lower one first."""

    _fields_ = (
        ("words", ctypes.c_uint32 * 8),
        ("low_bits", ctypes.c_uint32),
        ("high_bits", ctypes.c_uint32),
        ("data", ctypes.c_uint32 * 16),
        ("waiting", ctypes.c_uint),
        ("digest_bytes", ctypes.c_uint),
    )


class KeptSha256:
    """A SHA-256 that begins at the start, or behind what an earlier one has hashed.

    Args:
        passed_bytes: How many bytes that was.
        state: Its `state` then.

    Attributes:
        name: Of the algorithm, as in `hashlib`.
        passed_bytes: How many bytes it has hashed.

    Raises:
        ValueError: It is no such state, or no multiple of 64 bytes.
    """

    name = "sha256"

    def __init__(self, passed_bytes: int = 0, state: str = "") -> None:
        self.passed_bytes = passed_bytes
        self._context = _Context()
        _library().SHA256_Init(ctypes.byref(self._context))
        if not passed_bytes:
            return
        if passed_bytes < 0 or passed_bytes % _BLOCK_BYTES or not _STATE.fullmatch(state):
            raise ValueError(f"{state!r} is no state of SHA-256 after {passed_bytes} bytes")
        for number in range(8):
            self._context.words[number] = int(state[8 * number : 8 * number + 8], 16)
        bits = passed_bytes * 8
        self._context.low_bits, self._context.high_bits = bits & 0xFFFFFFFF, bits >> 32

    def update(self, block: bytes) -> None:
        """Hash what comes next."""
        _library().SHA256_Update(ctypes.byref(self._context), block, ctypes.c_size_t(len(block)))
        self.passed_bytes += len(block)

    @property
    def state(self) -> str:
        """How far it has come, as 64 hexadecimal digits; empty where that cannot be kept.

        It can after each multiple of 64 bytes. The digits are the eight words that FIPS 180-4
        calls the hash value, so they mean the same on any machine.
        """
        if self.passed_bytes % _BLOCK_BYTES:
            return ""
        return "".join(f"{word:08x}" for word in self._context.words)

    def hexdigest(self) -> str:
        """Return the digest of all that has passed."""
        copied = _Context.from_buffer_copy(self._context)
        digest = ctypes.create_string_buffer(32)
        _library().SHA256_Final(digest, ctypes.byref(copied))
        return digest.raw.hex()


@functools.cache
def is_available() -> bool:
    """Tell whether SHA-256 can be kept by this Python."""
    first, rest = bytes(range(256)) * 5, b"rest"
    try:
        begun = KeptSha256()
        begun.update(first)
        gone_on = KeptSha256(begun.passed_bytes, begun.state)
        gone_on.update(rest)
        return gone_on.hexdigest() == hashlib.sha256(first + rest).hexdigest()
    except (AttributeError, OSError):
        return False


@functools.cache
def _library() -> Any:
    """Return the library that has the functions.

    Raises:
        AttributeError: There is none.
        OSError: It cannot be loaded.
    """
    import _hashlib

    # By the name of Python's own module its libraries are searched, too.
    for name in (getattr(_hashlib, "__file__", None), ctypes.util.find_library("crypto")):
        if name and hasattr(library := ctypes.CDLL(name), "SHA256_Init"):
            return library
    raise AttributeError("no OpenSSL that shows the state of SHA-256")
