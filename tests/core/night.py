"""A night in a store, of a Harbor that is gone since: what exports and `serve` read."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot
from tests.core.rig import Backup, login, registry_login
from tests.double import HarborDouble, Image, multi_arch
from tests.double.content import (
    DOCKER_MANIFEST,
    Content,
    Index,
    cosign_signature,
    helm_chart,
    layer,
    sbom_for,
)

DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
REPOSITORY = "library/deep/app"
OTHER = "team/chart"


@dataclass(frozen=True)
class Night:
    """A store with one snapshot, and what was pushed to the Harbor before it, by name."""

    path: Path
    contents: dict[str, Content]

    @property
    def store(self) -> BackupStore:
        return BackupStore(self.path)

    def file_of(self, digest: str) -> Path:
        """Return where the pool has a digest."""
        return self.path / "blobs" / digest.replace(":", "/")

    def all_of(self, *names: str) -> dict[str, bytes]:
        """Return the manifests of some contents, children included, by digest."""
        return {part.digest: part.manifest for name in names for part in self.contents[name].walk()}


def shared_layer() -> bytes:
    """Return a layer that is in two repositories, and larger than a block."""
    return layer("shared", 3_000_000)


def windows_image() -> Content:
    """Return an image whose layer is to be had from somebody else only, so no registry has it."""
    image = Image("windows", media_type=DOCKER_MANIFEST, layer_type=DOCKER_FOREIGN)
    (layer,) = image.document["layers"]
    document = {**image.document, "layers": [{**layer, "urls": ["https://example.com/layer"]}]}
    config = image.blobs[image.document["config"]["digest"]]
    return Content(DOCKER_MANIFEST, document, blobs=[config])


def make_night(directory: Path) -> Night:
    """Fill a Harbor, back it up, and stop it."""
    with HarborDouble() as harbor:
        contents = _fill(harbor)
        with login(harbor) as client, registry_login(harbor) as registry:
            backup = Backup(client, registry, directory)
            backup.store.begin_for(harbor.url)
            assert backup.run(backup.itself).complete
    return Night(directory, contents)


def _fill(harbor: HarborDouble) -> dict[str, Content]:
    for project in ("team", "empty"):
        harbor.create_project(project)
    image = Image("image", layers=[shared_layer(), 700])
    index = multi_arch("index")
    sbom = sbom_for(index)
    pushed = {
        "image": (REPOSITORY, image, ("1.0", "latest")),
        "untagged": (REPOSITORY, Image("untagged"), ()),
        "docker": (REPOSITORY, Image("docker", media_type=DOCKER_MANIFEST), ("old",)),
        "index": (REPOSITORY, index, ("2.0",)),
        "nested": (REPOSITORY, Index(multi_arch("inner", attested=False)), ("nested",)),
        "signature": (REPOSITORY, cosign_signature(image), ()),
        "sbom": (REPOSITORY, sbom, ()),
        "sbom of sbom": (REPOSITORY, sbom_for(sbom), ()),
        "windows": (REPOSITORY, windows_image(), ("windows",)),
        "chart": (OTHER, helm_chart("chart"), ("1.0.0",)),
        "other": ("team/other", Image("other", layers=[shared_layer()]), ("1",)),
    }
    return {name: harbor.push(where, what, *tags) for name, (where, what, tags) in pushed.items()}


def run_program(arguments: Sequence[object], **environment: str) -> str:
    """Run a program of others, and return what it prints."""
    done = subprocess.run(
        [*map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def layout_entries(directory: Path) -> list[dict[str, Any]]:
    """Return what the index.json of an OCI layout names."""
    return list(json.loads((directory / "index.json").read_text())["manifests"])


def commit_with_contents(
    store: BackupStore, snapshot: Snapshot, project: str, contents: str
) -> None:
    """Let a snapshot name other contents of a project; empty where it has none."""
    changed = replace(snapshot.projects[project], contents=contents)
    projects = {**snapshot.projects, project: changed}
    store.snapshots.commit(replace(snapshot, projects=projects))
