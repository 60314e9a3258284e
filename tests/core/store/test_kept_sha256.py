"""SHA-256 that is put away, and gone on with."""

from __future__ import annotations

import hashlib
import itertools
import os

import pytest

from airflow_provider_harbor.core.store import kept_sha256
from airflow_provider_harbor.core.store.kept_sha256 import KeptSha256


def test_this_python_can_keep_it() -> None:
    assert kept_sha256.is_available()


@pytest.mark.parametrize("sizes", [(0,), (1,), (63, 1, 64), (64, 0, 1), (55, 56, 1000, 4096)])
def test_it_says_what_hashlib_says(sizes: tuple[int, ...]) -> None:
    ours, theirs = KeptSha256(), hashlib.sha256()
    for size in sizes:
        block = os.urandom(size)
        ours.update(block)
        theirs.update(block)
        assert ours.hexdigest() == theirs.hexdigest()
    assert ours.passed_bytes == sum(sizes)


def test_it_goes_on_behind_any_multiple_of_64_bytes() -> None:
    content = os.urandom(64 * 5 + 7)
    for first, second in itertools.combinations(range(0, 64 * 5 + 1, 64), 2):
        passed = KeptSha256()
        for start, end in ((0, first), (first, second)):
            passed.update(content[start:end])
            passed = KeptSha256(passed.passed_bytes, passed.state)
        passed.update(content[second:])
        assert passed.hexdigest() == hashlib.sha256(content).hexdigest()


def test_what_cannot_be_kept_has_no_state() -> None:
    passed = KeptSha256()
    passed.update(b"x" * 65)
    assert passed.state == ""
    passed.update(b"x" * 63)
    assert len(passed.state) == 64


def test_behind_so_much_that_its_bits_need_two_words() -> None:
    block, number = bytes(1024 * 1024), 513
    ours, theirs = KeptSha256(), hashlib.sha256()
    for at in range(number):
        if at in (512, 200):
            ours = KeptSha256(ours.passed_bytes, ours.state)
        ours.update(block)
        theirs.update(block)
    assert KeptSha256(ours.passed_bytes, ours.state).hexdigest() == theirs.hexdigest()


@pytest.mark.parametrize(
    ("passed_bytes", "state"),
    [(64, ""), (64, "0" * 63), (64, "G" * 64), (63, "0" * 64), (-64, "0" * 64), (64, "0" * 65)],
)
def test_what_is_no_state_is_refused(passed_bytes: int, state: str) -> None:
    with pytest.raises(ValueError, match="no state"):
        KeptSha256(passed_bytes, state)
