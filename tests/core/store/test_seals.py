from __future__ import annotations

import hashlib
import json

import pytest

from airflow_provider_harbor.core.exceptions import IntegrityError
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import dump, read_object
from airflow_provider_harbor.core.store.seals import is_intact, is_sealed, seal

DOCUMENT = dump({"a": "größe", "nested": {"sha256": "not this one"}})


def test_a_sealed_document_is_json_with_one_more_field() -> None:
    sealed = seal(DOCUMENT)
    data = json.loads(sealed)
    assert data.pop("sha256")
    assert data == json.loads(DOCUMENT)
    assert is_sealed(sealed)
    assert is_intact(sealed)
    assert not is_sealed(DOCUMENT)


def test_the_checksum_is_that_of_all_lines_but_the_last_two() -> None:
    lines = seal(DOCUMENT).splitlines(keepends=True)
    assert json.loads(seal(DOCUMENT))["sha256"] == hashlib.sha256(b"".join(lines[:-2])).hexdigest()


def test_every_flipped_bit_is_seen() -> None:
    sealed = seal(DOCUMENT)
    for at in range(len(sealed)):
        for bit in range(8):
            changed = sealed[:at] + bytes([sealed[at] ^ (1 << bit)]) + sealed[at + 1 :]
            assert not is_intact(changed)


def test_what_is_read_has_to_be_what_its_checksum_says(store: BackupStore) -> None:
    store.files.write("a.json", seal(DOCUMENT).replace("größe".encode(), b"gr"))
    with pytest.raises(IntegrityError, match="not what its checksum says"):
        read_object(store.files, "a.json")
    store.files.write("a.json", DOCUMENT)  # one without
    assert read_object(store.files, "a.json")
