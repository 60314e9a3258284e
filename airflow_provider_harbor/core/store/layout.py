"""The format of a store: what is where. This is format version 1.

Words. A *store* is a directory, or a prefix of an object storage, that keeps the backups of one
Harbor. A *run* is one attempt to back up everything. The *pool* is all content, each digest once.
An *inventory* is what a project of Harbor held, and its *contents* say for each manifest of it that
is in the pool of what it is made. A *result* is how a project ended in a run. A *snapshot* is a run
that has come to its end.

Layout, `/` below the root of the store:

    store.json                              whose backups these are: written once
    blobs/<algorithm>/<hex>                 the pool: every manifest, config and layer, once
    inventories/<project>/<sha256>.jsonl.gz what a project held
    contents/<project>/<sha256>.jsonl.gz    for each manifest of it: media type, size, blobs
    snapshots/<run>/projects/<project>.json the result of a project
    snapshots/<run>/snapshot.json           the run is complete: everything is protected
    snapshots/<run>/partial.json            the run has ended, and something is not protected
    snapshots/<run>/settings.json           which settings of Harbor a run has
    settings/<sha256>.json                  Harbor's settings: of the system, or of a project
    settings-vault.json                     how secrets in them are sealed: written once
    made/<host>/<project>.json              a project that an import of settings made, and has not
                                            finished
    made-robots/<host>/<sha256>.json        a robot that an import made, and whose secret it has not
                                            told yet; the hash is that of what the secret is called
    restores/<run>/projects/<project>.json  the result of a project that was brought back
    reports/<run>.json, <run>.html          how a run ended, for programs and for people; of a
                                            verification it ends in .verify, of a drill in .drill
    reports/<run>.told.json                 that people were told how a run ended: may be lost
    plans/<run>/<project>.jsonl.gz          what a dry run would have copied
    latest/<project>.json                   the newest contents of a project: may be lost
    known/<host>/<project>.json.gz          what a registry is known to hold: may be lost
    uploads/<host>/<sha256>.json            how far a large upload to a registry has come: may be
                                            lost; the hash is that of repository and digest
    unfinished/<algorithm>/<hex>            what has come of a large blob, in a directory; in a
                                            bucket of S3 where its upload goes on: may be lost
    listed/<project>.json.gz                what was listed, and when: may be lost
    nights.jsonl.gz                         all snapshots in short, see `nights`: may be lost
    leases/<place>.json                     which run writes, see `leases`: may be lost
    prune/state.json                        the last sweep, see `sweeps`
    prune/marks/<sha256>.jsonl.gz           what nothing names, and since when
    check.json                              that a check could write: may be lost

`<project>` is Harbor's name of it, `<host>` and `<place>` the address of a registry, or `store`.
`<run>` begins with the time of the run, so that names sort as nights do. One that ends in
`.settings` only kept settings, and has no end. Parts longer than 200
characters are cut, and end in a hash of the whole.

Shapes. Every JSON file is one object, UTF-8, with `format_version` first. A reader refuses a
version that is newer than its own, and ignores fields that it does not know. Results and snapshots
end in a checksum, see `seals`. Files that end in
`.jsonl.gz` have one object a line, the first one with `format_version` and `kind`; they are sorted
by repository, then digest. Their name is the SHA-256 of what `zcat` shows of them, so that equal
content is one file, and `zcat FILE | sha256sum` verifies it.

    store.json     {"format_version": 1, "harbor_url": "https://harbor.example.com",
                    "created": "2026-11-25T01:00:00+00:00"}
    an inventory   see `harbor.records`
    contents       {"repository": "library/nginx", "digest": "sha256:...", "media_type": "...",
                    "size_bytes": 1234, "blobs": [{"digest": "sha256:...", "size_bytes": 99}],
                    "foreign": ["sha256:..."]}; `foreign` are blobs that the source does not hold
    result         {"run", "project", "ok", "inventory": {"sha256", "counts", ...}, "contents":
                    "<sha256>", ...}, see `jobs.results`
    snapshot.json, partial.json
                   {"run", "complete", "harbor_url", "destination", "started_at", "ended_at",
                    "limited_to": ["team-*"], "lacking": ["team-b"],
                    "projects": {"library": {"inventory": "<sha256>", "contents": "<sha256>",
                                             "ok": true, "digests": 12, "size_bytes": 3456}}}
                   `lacking` are projects that were to be in it and are not; it is not there where
                   it is not known which these are. And "settings": {"system": "<sha256>",
                    "projects": {"library": "<sha256>"},
                    "read_at": "...", "limited": false, "unread": [...]}, where it has any; in
                    settings.json is the same, with "run" and "sweep"
    settings       see `settings_files`: one line, whose SHA-256 is the name
    latest         {"inventory": "<sha256>", "contents": "<sha256>", "run": "..."}
    made           {"harbor_url": "...", "project": "team", "project_id": 7}; null until it is made
    made-robots    {"harbor_url": "...", "robot": "team/robots/ci", "robot_id": 7}; null until it is
                    made; never its secret
    an upload      {"repository": "team/app", "digest": "sha256:...", "offset": 67108864,
                    "location": "/v2/team/app/blobs/uploads/...",
                    "kept_at": "2026-11-25T01:00:00+00:00"}; never an address on another host, nor
                    one that is as good as a login; removed when the upload is done
    unfinished     {"digest": "sha256:...", "size_bytes": 1073741824, "upload": "<its id>",
                    "part_bytes": 5242880, "etags": ["..."], "sha256_state": "<64 hex>",
                    "tries": 0, "process": "...", "kept_at": "2026-11-25T01:00:00+00:00"}; the parts
                    that have arrived, and how far their SHA-256 has come; in a bucket only
    listed         {"harbor_url": "...", "inventory": "<sha256>",
                    "repositories": {"library/nginx": see `harbor.earlier.Seen`}}
    state.json     {"sweep": "<id>", "is_going_on": false, "host": "...", "process": "...",
                    "announced_at": "2026-11-25T01:00:00+00:00", "marks": "<sha256>"}
    marks          {"path": "blobs/sha256/...", "since": "2026-11-25T01:00:00+00:00",
                    "is_doomed": false}, sorted by path; doomed is what the sweep may delete

Writing. A file is visible only when it is whole. Content is hashed on its way, and never becomes
visible under a name that it is not. Written once, and never changed, are: store.json, the pool,
inventories, contents, settings. Replaced are: a result and a plan, when the project is run again in
the same run, and likewise which settings a run has; the end of a run that is ended again with the
same lists of what was protected, and the same settings (snapshot.json by another snapshot.json
only; else it is a snapshot of its own, `<time>.again.<run>`); pointers, leases and caches. Nothing
has to be deleted for a backup.

Commit. A result is written after everything that it names, and snapshot.json or partial.json after
all results. On a local disk the file system is synced before each of them, and after the
last. A run that has neither was cut short, and claims nothing.

Deleting. A snapshot never names what is not there, whoever deletes beside a backup:
- Everything that snapshots (of both kinds), results and pointers name is *reached*; and each of
  them counts as long as it is there. Only what is not reached is marked, and only what has been
  marked for the grace, and was not written since, is deleted.
- Who deletes first *announces* it: state.json gets a new id of a sweep, and the marks say what it
  may delete (the doomed). After that it reads all over again what is reached, leaves that out, and
  deletes the rest; then it says that the sweep has ended.
- Who writes a result reads state.json first, before it believes of anything that it is there, and
  again after the result is written, see `claims`. Where a sweep was announced in between it waits
  until that one has ended or dooms nothing of it, looks at all that the result names, and writes
  what is missing again. The result says before which sweep it was begun (`sweep`); who writes a
  snapshot does the same for all results of whose sweep it cannot be sure.
So either the sweep sees the result, or the writer of the result sees the sweep; clocks do not
matter to that. Forgotten is a run by deleting its partial.json and snapshot.json, then its results.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone

from airflow_provider_harbor.core.oci.names import parse_digest, parse_project

FORMAT_VERSION = 1
STORE = "store.json"
VAULT = "settings-vault.json"
SETTINGS = "settings"
CHECK = "check.json"
NIGHTS = "nights.jsonl.gz"
PRUNE_STATE = "prune/state.json"
MARKS = "prune/marks"
POOL = "blobs"
SNAPSHOTS = "snapshots"
RESTORES = "restores"
REPORTS = "reports"
OF_TOLD = ".told"
UPLOADS = "uploads"
UNFINISHED = "unfinished"

_LONGEST_PART = 200
_OF_SETTINGS = ".settings"


def run_name(moment: datetime) -> str:
    """Return what a run of its own is called, by when it began, with a time zone; sorts as time."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H-%M-%S.%fZ}"


def settings_run_name(moment: datetime) -> str:
    """Return what a run is called that only keeps settings, by when it began."""
    return f"{run_name(moment)}{_OF_SETTINGS}"


def is_of_settings(key: str) -> bool:
    """Tell whether a run only keeps settings, so that it never has an end."""
    return key.endswith(_OF_SETTINGS)


def run_key(run: str) -> str:
    """Return a run's name as a part of a path: other characters than A-Z a-z 0-9 . _ - as _.

    Never empty, never hidden, at most 200 characters, and the key of a key is the key itself.
    """
    key = re.sub(r"[^A-Za-z0-9._-]", "_", run) or "_"
    return _shorten("_" + key[1:] if key.startswith(".") else key)


def blob(digest: str) -> str:
    """Return where the content of a digest is.

    Raises:
        HarborProtocolError: It is no digest.
    """
    algorithm, _, encoded = parse_digest(digest).partition(":")
    return f"{POOL}/{algorithm}/{encoded}"


def inventory(project: str, sha256: str) -> str:
    """Return where an inventory is."""
    return f"inventories/{_project(project)}/{sha256}.jsonl.gz"


def contents(project: str, sha256: str) -> str:
    """Return where the contents of an inventory are."""
    return f"contents/{_project(project)}/{sha256}.jsonl.gz"


def settings(sha256: str) -> str:
    """Return where settings are.

    Raises:
        ValueError: It is no SHA-256 (hex).
    """
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"{sha256[:80]!r} is no SHA-256")
    return f"{SETTINGS}/{sha256}.json"


def night_settings(run: str) -> str:
    """Return where it is said which settings a run has."""
    return f"{SNAPSHOTS}/{run_key(run)}/settings.json"


def results(kind: str, run: str) -> str:
    """Return the directory of a run's results; `kind` is SNAPSHOTS or RESTORES."""
    return f"{kind}/{run_key(run)}/projects"


def result(kind: str, run: str, project: str) -> str:
    """Return where the result of a project is."""
    return f"{results(kind, run)}/{_project(project)}.json"


def snapshot(run: str) -> str:
    """Return where the commit of a complete run is."""
    return f"{SNAPSHOTS}/{run_key(run)}/snapshot.json"


def partial(run: str) -> str:
    """Return where the end of a run is that is not complete."""
    return f"{SNAPSHOTS}/{run_key(run)}/partial.json"


def report(run: str, ending: str) -> str:
    """Return where a run's report is, as `json` or as `html`."""
    return f"{REPORTS}/{run_key(run)}.{ending}"


def told(run: str) -> str:
    """Return where it is kept that people were told how a run ended."""
    return f"{REPORTS}/{run_key(run)}{OF_TOLD}.json"


def plans(run: str) -> str:
    """Return the directory of a dry run's plans."""
    return f"plans/{run_key(run)}"


def plan(run: str, project: str) -> str:
    """Return where a dry run's plan of a project is."""
    return f"{plans(run)}/{_project(project)}.jsonl.gz"


def latest(project: str) -> str:
    """Return where the pointer to a project's newest contents is."""
    return f"latest/{_project(project)}.json"


def known(place: str, project: str) -> str:
    """Return where it is remembered what a registry holds of a project."""
    return f"known/{place_key(place)}/{_project(project)}.json.gz"


def made(place: str, project: str) -> str:
    """Return where it is remembered that an import made a project, and has not ended."""
    return f"made/{place_key(place)}/{_project(project)}.json"


def made_robots(place: str) -> str:
    """Return below what it is remembered which robots were made, and not told of."""
    return f"made-robots/{place_key(place)}"


def made_robot(place: str, key: str) -> str:
    """Return where it is remembered that an import made a robot, and has not told its secret."""
    name = hashlib.sha256(key.encode(errors="backslashreplace")).hexdigest()
    return f"{made_robots(place)}/{name}.json"


def listed(project: str) -> str:
    """Return where it is remembered what was listed of a project, and when."""
    return f"listed/{_project(project)}.json.gz"


def lease(place: str) -> str:
    """Return where the lease on a place is."""
    return f"leases/{place_key(place)}.json"


def upload(place: str, repository: str, digest: str) -> str:
    """Return where it is remembered how far an upload has come."""
    name = hashlib.sha256(f"{repository}@{digest}".encode()).hexdigest()
    return f"{UPLOADS}/{place_key(place)}/{name}.json"


def unfinished(digest: str) -> str:
    """Return where a large blob is put together, or in a bucket where it is said how far it is.

    Raises:
        HarborProtocolError: It is no digest.
    """
    algorithm, _, encoded = parse_digest(digest).partition(":")
    return f"{UNFINISHED}/{algorithm}/{encoded}"


def marks(sha256: str) -> str:
    """Return where marks are."""
    return f"{MARKS}/{sha256}.jsonl.gz"


def place_key(url: str) -> str:
    """Return a place's address as a part of a path."""
    return run_key(url.partition("://")[2] or url)


def _project(name: str) -> str:
    return _shorten(parse_project(name))


def _shorten(part: str) -> str:
    """Return a part of a path so that its name, an ending included, fits into 255 bytes."""
    if len(part) <= _LONGEST_PART:
        return part
    mark = hashlib.sha256(part.encode()).hexdigest()[:16]
    return f"{part[: _LONGEST_PART - 17]}-{mark}"
