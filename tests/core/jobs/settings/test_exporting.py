"""Settings in a store: kept once, named by the night, sealed, verified, pruned, compared."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, IntegrityError
from airflow_provider_harbor.core.jobs.backup import finish_run
from airflow_provider_harbor.core.jobs.forget import forget
from airflow_provider_harbor.core.jobs.prune import prune
from airflow_provider_harbor.core.jobs.report_page import render_page
from airflow_provider_harbor.core.jobs.settings.compare import describe_changes, summarise
from airflow_provider_harbor.core.jobs.settings.exporting import SettingsExport, export_settings
from airflow_provider_harbor.core.jobs.settings.hiding import HiddenSecrets
from airflow_provider_harbor.core.jobs.settings.nights import find_night, read_documents
from airflow_provider_harbor.core.jobs.settings.report import compare_nights, report_settings
from airflow_provider_harbor.core.jobs.verification.verify import Verification, verify
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.settings.secret_values import iter_secrets
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.retention import Policy
from airflow_provider_harbor.core.store.settings_files import decode, encode
from airflow_provider_harbor.core.store.vault import WrongPassphraseError
from tests.core.rig import Backup, login, registry_login
from tests.core.settings_rig import SECRETS, Api, seed, services
from tests.double import HarborDouble
from tests.double.faults import Fault

PASSPHRASE = "a long enough passphrase"
Keep = Callable[..., SettingsExport]


@pytest.fixture(scope="module")
def seeded() -> Iterator[HarborDouble]:
    with services() as service, HarborDouble() as harbor:
        seed(harbor, service.url)
        yield harbor


@pytest.fixture
def keep(seeded: HarborDouble, store: BackupStore) -> Keep:
    """Keep the settings for a run."""
    store.begin_for(seeded.url)

    def keep(run: str, **options: Any) -> SettingsExport:
        with login(seeded) as client:
            return export_settings(client, store, run, **options)

    return keep


def files_of(store: BackupStore, under: str = "") -> dict[str, bytes]:
    root = Path(store.url.removeprefix("file://"))
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in (root / under).rglob("*")
        if path.is_file()
    }


def assert_no_secrets(store: BackupStore) -> None:
    for path, content in files_of(store).items():
        for name, secret in SECRETS.items():
            assert secret.encode() not in content, f"{name} is in {path}"


def test_equal_nights_are_one_file_and_write_nothing_but_names(
    store: BackupStore, keep: Keep
) -> None:
    one = keep("night-1")
    before = files_of(store, "settings")
    other = keep("night-2")
    assert files_of(store, "settings") == before
    assert len(before) == 7
    assert (one.night.system, one.night.projects) == (other.night.system, other.night.projects)
    assert_no_secrets(store)


def test_a_bucket_keeps_them_as_a_directory_does(
    seeded: HarborDouble, any_store: BackupStore
) -> None:
    any_store.begin_for(seeded.url)
    with login(seeded) as client:
        for run in ("night-1", "night-2"):
            options = {"include": ["team"], "passphrase": PASSPHRASE}
            night = export_settings(client, any_store, run, **options).night
    found = [entry.path for entry in any_store.files.iter_files("settings")]
    assert sorted(found) == sorted(night.paths)
    assert find_night(any_store).key == "night-2"
    documents = read_documents(any_store, night, ("team",))
    assert documents["team"].opened(PASSPHRASE).values["quota"] == {"storage": 10_000_000_000}


def test_a_secret_is_left_out_and_that_it_is_there_is_kept(store: BackupStore, keep: Keep) -> None:
    night = keep("night-1").night
    documents = read_documents(store, night, (SYSTEM, "team"))
    assert {
        path: (secret.text, secret.sealed)
        for document in documents.values()
        for path, secret in iter_secrets(dict(document.values))
    } == dict.fromkeys(
        (
            "configurations/uaa_client_secret",
            "registries/1/credential/access_secret",
            "scanners/1/access_credential",
            "preheat-instances/0/auth_info",
            "webhooks/0/targets/0/auth_header",
        ),
        ("", ""),
    )


def test_sealed_secrets_come_back_and_are_nowhere_in_clear(store: BackupStore, keep: Keep) -> None:
    night = keep("night-1", passphrase=PASSPHRASE).night
    assert_no_secrets(store)
    documents = read_documents(store, night, (SYSTEM, "team"))
    assert (
        documents[SYSTEM].opened(PASSPHRASE).values["configurations"]["uaa_client_secret"].text
        == (SECRETS["uaa"])
    )
    (webhook, _) = documents["team"].opened(PASSPHRASE).values["webhooks"]
    assert webhook["targets"][0]["auth_header"].text == SECRETS["webhook"]
    assert SECRETS["webhook"] not in repr(webhook)


def test_sealed_nights_that_are_equal_are_one_file_too(store: BackupStore, keep: Keep) -> None:
    keep("night-1", passphrase=PASSPHRASE)
    before = files_of(store, "settings")
    keep("night-2", passphrase=PASSPHRASE)
    assert files_of(store, "settings") == before


def test_a_wrong_passphrase_is_told_from_damage(store: BackupStore, keep: Keep) -> None:
    night = keep("night-1", passphrase=PASSPHRASE).night
    document = store.settings.read(night.projects["team"])
    with pytest.raises(WrongPassphraseError, match="not the one"):
        document.opened("another long passphrase")


@pytest.mark.parametrize(
    ("passphrase", "why"),
    [("another long passphrase", "not that of the nights before"), ("short", "fewer than 12")],
)
def test_a_wrong_passphrase_keeps_all_but_the_secrets_and_fails(
    store: BackupStore, keep: Keep, passphrase: str, why: str
) -> None:
    before = keep("night-1", passphrase=PASSPHRASE).night
    made = keep("night-2", passphrase=passphrase)
    (failure,) = made.failures
    assert failure.startswith("secrets: only that they are there is kept")
    assert why in failure
    assert not made.with_secrets
    assert_no_secrets(store)
    assert compare_nights(store, before, made.night)[0] == []
    # It is the latest: secrets can be given.
    assert find_night(store).key == "night-2"
    report = report_settings(store, "night-2")
    assert report is not None
    assert report.failures() == [f"settings: {failure}"]


def test_a_damaged_vault_keeps_all_but_the_secrets_and_fails(
    store: BackupStore, keep: Keep
) -> None:
    keep("night-1", passphrase=PASSPHRASE)
    store.files.write(layout.VAULT, b"{}")
    (failure,) = keep("night-2", passphrase=PASSPHRASE).failures
    assert "is damaged" in failure
    assert len(find_night(store).settings.projects) == 6


def test_a_sealed_secret_is_not_opened_at_another_place(store: BackupStore, keep: Keep) -> None:
    night = keep("night-1", passphrase=PASSPHRASE).night
    document = store.settings.read(night.projects["team"])
    content = encode(document).decode()  # as it was read: sealed secrets are not sealed again
    assert "all events" in content
    path = Path(store.url.removeprefix("file://")) / f"settings/{night.projects['team']}.json"
    moved = decode(path.read_bytes().replace(b'"all events"', b'"other name"'))
    with pytest.raises(WrongPassphraseError):
        moved.opened(PASSPHRASE)


def test_a_url_with_a_login_is_kept_without_its_password_or_sealed(
    harbor: HarborDouble, store: BackupStore
) -> None:
    url = "http://user:In-a-url-1@hooks.example.com/x"
    targets = [{"type": "http", "address": url, "skip_cert_verify": True}]
    api = Api(harbor)
    path = "/projects/library/webhook/policies"
    number = api.post(path, name="h", event_types=["PUSH_ARTIFACT"], targets=targets)
    store.begin_for(harbor.url)
    nights = []
    with login(harbor) as client:
        for run, passphrase in (("night-1", ""), ("night-2", PASSPHRASE)):
            nights.append(export_settings(client, store, run, passphrase=passphrase).night)
        changed = [{**targets[0], "address": url.replace("hooks", "other")}]
        hook = {"name": "h", "event_types": ["PUSH_ARTIFACT"], "targets": changed}
        api.put(f"{path}/{number}", **hook)
        nights.append(export_settings(client, store, "night-3").night)
    for name, content in files_of(store).items():
        assert b"In-a-url-1" not in content, name
    left_out, sealed = (read_documents(store, n, ("library",))["library"] for n in nights[:2])
    (hook,) = left_out.values["webhooks"]
    assert hook["targets"][0]["address"] == replace(
        hook["targets"][0]["address"], text="", around="http://user:*****@hooks.example.com/x"
    )
    (hook,) = sealed.opened(PASSPHRASE).values["webhooks"]
    assert hook["targets"][0]["address"].text == url
    assert compare_nights(store, *nights[:2])[0] == []
    assert describe_changes(compare_nights(store, *nights[1:])[0]) == [
        "project library",
        "  ~ webhook h",
        "      targets.address: http://user:*****@hooks.example.com/x -> "
        "http://user:*****@other.example.com/x",
    ]


def test_a_sealed_secret_is_not_opened_for_another_address(store: BackupStore, keep: Keep) -> None:
    night = keep("night-1", passphrase=PASSPHRASE).night
    root = Path(store.url.removeprefix("file://"))
    for sha256, old, new in (
        (night.projects["team"], b"https://hooks.example.com/", b"https://elsewhere.example/"),
        (night.system, b'"uaa_endpoint":""', b'"uaa_endpoint":"https://elsewhere.example/"'),
    ):
        content = (root / f"settings/{sha256}.json").read_bytes()
        assert old in content
        decode(content).opened(PASSPHRASE)
        with pytest.raises(WrongPassphraseError):
            decode(content.replace(old, new)).opened(PASSPHRASE)


def test_a_secret_that_moves_to_another_address_is_not_said_to_be_another_one(
    seeded: HarborDouble, store: BackupStore, keep: Keep
) -> None:
    before = keep("night-1", passphrase=PASSPHRASE).night
    api = Api(seeded)
    hooks = api.get("/projects/team/webhook/policies")
    hook = next(each for each in hooks if each["name"] == "all events")
    (target,) = hook["targets"]
    moved = {**hook, "targets": [{**target, "address": "https://new.example.com"}]}
    api.put(f"/projects/team/webhook/policies/{hook['id']}", **moved)
    after = keep("night-2", passphrase=PASSPHRASE).night
    api.put(f"/projects/team/webhook/policies/{hook['id']}", **hook)
    assert describe_changes(compare_nights(store, before, after)[0]) == [
        "project team",
        "  ~ webhook all events",
        "      targets.address: https://hooks.example.com/harbor -> https://new.example.com",
        "      targets.auth_header: a secret that cannot be compared: "
        "sealed with another key, or for another address",
    ]


def test_the_snapshot_names_the_settings_and_the_report_says_what_changed(
    seeded: HarborDouble, tmp_path: Path
) -> None:
    api = Api(seeded)
    with login(seeded) as client, registry_login(seeded) as registry:
        backup = Backup(client, registry, tmp_path / "other")
        backup.store.begin_for(seeded.url)
        export_settings(client, backup.store, "night-1")
        first = backup.run(backup.itself)
        api.put("/configurations", token_expiration=77)
        export_settings(client, backup.store, "night-2")
        second = backup.run(backup.itself)
        api.put("/configurations", token_expiration=45)
    assert first.complete
    assert first.settings is not None
    assert first.settings.compared_to == ""
    snapshot = backup.store.snapshots.read("night-2")
    assert snapshot is not None
    assert snapshot.settings is not None
    assert sorted(snapshot.settings.projects) == sorted(snapshot.projects)
    assert second.settings is not None
    assert second.settings.change_lines() == [
        "system", "  ~ configuration", "      token_expiration: 45 -> 77",
    ]  # fmt: skip
    assert "token_expiration: 45 -> 77" in second.to_text()
    assert "token_expiration: 45 -&gt; 77" in render_page(second)
    assert second.to_json()["settings"]["compared_to"] == "night-1"
    assert not second.failures()


def test_a_run_without_settings_reports_none(seeded: HarborDouble, tmp_path: Path) -> None:
    store = BackupStore(tmp_path / "empty")
    store.begin_for(seeded.url)
    assert report_settings(store, "night-1") is None


def test_what_failed_fails_the_run_and_what_is_denied_does_not(
    seeded: HarborDouble, store: BackupStore, keep: Keep
) -> None:
    seeded.faults.add(Fault(path="/api/v2.0/scanners", times=None, status=500))
    made = keep("night-1")
    seeded.faults.clear()
    assert [line.partition(":")[0] for line in made.failures] == ["scanners"]
    assert made.is_passing
    report = report_settings(store, "night-1")
    assert report is not None
    assert [line.partition(":")[0] for line in report.failures()] == ["settings"]
    assert "; not read, or not whole: scanners" in report.summary_line()
    assert report.unread_lines() == made.failures


def test_prune_keeps_what_nights_name_and_deletes_the_rest(
    seeded: HarborDouble, store: BackupStore, keep: Keep
) -> None:
    keep("night-1", include=["team"])
    Api(seeded).put("/configurations", token_expiration=99)
    kept = keep("night-2", include=["team"]).night
    Api(seeded).put("/configurations", token_expiration=45)
    pruned = prune(store, "p", grace=timedelta(0))
    assert pruned.total("deleted").files == 0
    store.files.delete(["snapshots/night-1/settings.json"])
    pruned = prune(store, "p", grace=timedelta(0))
    assert pruned.tallies["settings"].deleted.files == 1
    assert sorted(files_of(store, "settings")) == sorted(kept.paths)


def test_exports_alone_are_kept_by_the_rules_among_themselves(
    store: BackupStore, keep: Keep
) -> None:
    names = [f"2026-11-2{day}T01-00-00.000000Z.settings" for day in range(3)]
    for name in names:
        keep(name, include=["bare"])
    later = datetime.now(timezone.utc) + timedelta(days=60)
    forgotten = forget(store, Policy(keep_last=2), now=later)
    assert {d.key: d.state for d in forgotten.decisions if not d.is_kept} == {
        names[0]: "settings, limited"
    }
    assert find_night(store).key == names[2]
    with pytest.raises(HarborConfigurationError, match="no settings of"):
        find_night(store, names[0])


def test_a_night_that_is_ended_again_with_other_settings_is_another_snapshot(
    seeded: HarborDouble, tmp_path: Path
) -> None:
    with login(seeded) as client, registry_login(seeded) as registry:
        backup = Backup(client, registry, tmp_path / "other")
        backup.store.begin_for(seeded.url)
        first = export_settings(client, backup.store, "night-1", include=["team"]).night
        assert backup.run(backup.itself).complete
        Api(seeded).put("/configurations", token_expiration=78)
        second = export_settings(client, backup.store, "night-1", include=["team"]).night
        Api(seeded).put("/configurations", token_expiration=45)
        names = [project.name for project in client.iter_projects()]
        again = finish_run(
            backup.store, "night-1", names, harbor_url=seeded.url,
            destination=backup.store.url, started_at=datetime.now(timezone.utc),
        )  # fmt: skip
    assert again.run != "night-1"
    kept = {s.key: s.settings.system for s in backup.store.snapshots.read_all() if s.settings}
    assert kept == {"night-1": first.system, run_key(again.run): second.system}


def test_verify_finds_settings_that_are_damaged_or_gone(store: BackupStore, keep: Keep) -> None:
    night = keep("2026-11-26T01-00-00.000000Z.settings", include=["team", "bare"]).night
    assert not verify(Verification(store=store, run="v")).damages
    root = Path(store.url.removeprefix("file://"))
    (root / f"settings/{night.projects['bare']}.json").unlink()
    path = root / f"settings/{night.projects['team']}.json"
    path.write_bytes(path.read_bytes().replace(b"maintainer", b"projectAdmin"))
    damages = {
        damage.thing: damage for damage in verify(Verification(store=store, run="v")).damages
    }
    assert sorted(damages) == sorted(
        f"settings/{night.projects[name]}.json" for name in ("bare", "team")
    )
    team = damages[f"settings/{night.projects['team']}.json"]
    assert "something else than its name says" in team.message
    assert [use.repository for use in team.uses] == ["team"]
    with pytest.raises(IntegrityError):
        store.settings.read(night.projects["team"])


def test_the_next_night_mends_a_damaged_document(store: BackupStore, keep: Keep) -> None:
    night = keep("night-1", include=["team"]).night
    path = Path(store.url.removeprefix("file://")) / f"settings/{night.system}.json"
    path.write_bytes(b"{}")
    keep("night-2", include=["team"])
    assert store.settings.read(night.system).values["scan-all"]["type"] == "Custom"


def test_nights_of_some_projects_are_compared_in_what_both_have(
    store: BackupStore, keep: Keep
) -> None:
    whole, some = keep("night-1").night, keep("night-2", include=["team"]).night
    assert compare_nights(store, whole, some)[0] == []


def test_a_night_is_found_by_its_name_its_date_or_as_the_newest(
    store: BackupStore, keep: Keep
) -> None:
    with pytest.raises(HarborConfigurationError, match="no settings of Harbor yet"):
        find_night(store)
    for day in ("24", "25"):
        keep(f"2026-11-{day}T01-00-00.000000Z", include=["bare"])
    assert find_night(store).key.startswith("2026-11-25")
    assert find_night(store, "2026-11-24").key.startswith("2026-11-24")
    with pytest.raises(HarborConfigurationError, match="no settings of '2026-11-23'"):
        find_night(store, "2026-11-23")


def test_the_differences_of_two_nights_read_as_sentences(
    seeded: HarborDouble, store: BackupStore, keep: Keep
) -> None:
    before = keep("night-1", passphrase=PASSPHRASE).night
    api = Api(seeded)
    hooks = api.get("/projects/team/webhook/policies")
    hook = next(each for each in hooks if each["name"] == "all events")
    changed = json.loads(json.dumps(hook))
    changed["targets"][0]["auth_header"] = "Bearer another"
    api.put(f"/projects/team/webhook/policies/{hook['id']}", **changed)
    api.post("/labels", name="new one", scope="g", color="#000000")
    api.post("/projects", project_name="fresh")
    after = keep("night-2", passphrase=PASSPHRASE).night
    assert describe_changes(compare_nights(store, before, after)[0]) == [
        "system",
        "  + label new one",
        "      color: #000000",
        "project fresh",
        "  + the whole project",
        "project team",
        "  ~ webhook all events",
        "      targets.auth_header: another secret",
    ]
    back = describe_changes(compare_nights(store, after, before)[0])
    assert "  - the whole project" in back
    api.put(f"/projects/team/webhook/policies/{hook['id']}", **hook)
    api.delete("/projects/fresh")
    assert_no_secrets(store)


def test_secrets_that_are_sealed_with_another_key_are_not_said_to_be_other_ones(
    store: BackupStore, keep: Keep
) -> None:
    before = keep("night-1", passphrase=PASSPHRASE).night
    store.files.delete([layout.VAULT])
    after = keep("night-2", passphrase="another long passphrase").night
    changes = compare_nights(store, before, after)[0]
    assert describe_changes(changes) == [
        "system",
        "  ? configuration",
        "      uaa_client_secret: a secret that cannot be compared: "
        "sealed with another key, or for another address",
        "project team",
        "  ? webhook all events",
        "      targets.auth_header: a secret that cannot be compared: "
        "sealed with another key, or for another address",
    ]
    assert summarise(changes) == "2 not compared"
    assert [change.to_json()["change"] for change in changes] == ["not compared"] * 2


def test_only_the_owner_may_read_settings_in_a_directory(store: BackupStore, keep: Keep) -> None:
    before = os.umask(0o002)
    try:
        night = keep("night-1", passphrase=PASSPHRASE).night
    finally:
        os.umask(before)
    for path in (*night.paths, layout.VAULT):
        file = store.files.local_path(path)
        assert file is not None
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, path
    assert len(night.paths) == 7
    # Nothing else is left beside them, and a second passphrase meets the first one.
    assert list(store.files.iter_leftovers()) == []
    (failure,) = keep("night-2", passphrase="another long passphrase").failures
    assert "not that of the nights before" in failure


def test_a_document_of_another_project_is_not_taken_for_that_of_this_one(
    store: BackupStore, keep: Keep
) -> None:
    night = keep("night-1").night
    for wrong in ({"team": night.projects["bare"]}, {"team": night.system}):
        swapped = replace(night, projects={**night.projects, **wrong})
        store.settings.write_night("night-2", swapped)
        with pytest.raises(IntegrityError, match="is named as those of project team"):
            read_documents(store, swapped, ("team",))
        with pytest.raises(IntegrityError, match="is named as those of project team"):
            compare_nights(store, night, swapped)
        (damage,) = verify(Verification(store=store, run="v")).damages
        assert damage.thing == "snapshots/night-2/settings.json"
        assert damage.message.endswith("and is named as those of project team")
        assert [use.repository for use in damage.uses] == ["team"]
    no_system = replace(night, system=night.projects["team"])
    with pytest.raises(IntegrityError, match="project team, and is named as those of the system"):
        read_documents(store, no_system, (SYSTEM,))


def test_the_password_of_a_url_is_hidden_also_where_it_stands_alone() -> None:
    hidden = HiddenSecrets(["http://user:In-a-url-1@hooks.example.com/x"])
    assert hidden.hide("no login user/In-a-url-1 there") == "no login user/*** there"


def test_an_administrator_of_another_harbor_fails_when_all_else_is_kept(
    seeded: HarborDouble, other_harbor: HarborDouble, store: BackupStore, keep: Keep
) -> None:
    with login(other_harbor) as other:
        made = keep("night-1", include=["team"], configurations=other)
    assert any(other_harbor.url in failure for failure in made.failures)
    assert read_documents(store, made.night, ("team",))["team"].values["members"]
