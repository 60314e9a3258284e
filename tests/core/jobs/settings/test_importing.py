"""Settings brought back: to an empty Harbor, to another one, with and without secrets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.jobs.settings.importing import import_settings
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport, State
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets
from airflow_provider_harbor.core.jobs.settings.steps import Stage
from airflow_provider_harbor.core.jobs.settings.wanted import SettingsImport
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.vault import WrongPassphraseError
from tests.contract.settings_replay import Service
from tests.core.rig import Backup, login, registry_login
from tests.core.settings_rig import (
    SECRETS,
    Api,
    given,
    grants,
    kept_settings,
    robot,
    seed,
    titles,
    written,
)
from tests.double import HarborDouble, Image
from tests.double.faults import Fault

PASSPHRASE = "a long enough passphrase"
BOTH = tuple(Stage)


@pytest.fixture(scope="module")
def kept(service: Service, tmp_path_factory: pytest.TempPathFactory) -> BackupStore:
    """A night of a Harbor that has settings of every kind, and is gone."""
    with HarborDouble() as harbor:
        seed(harbor, service.url)
        with login(harbor) as client, registry_login(harbor) as registry:
            backup = Backup(client, registry, tmp_path_factory.mktemp("kept") / "store")
            backup.store.begin_for(harbor.url)
            export_settings(client, backup.store, "night-1", passphrase=PASSPHRASE)
            assert backup.run(backup.itself).complete
    return backup.store


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    """An empty Harbor."""
    with HarborDouble() as harbor:
        yield harbor


Bring = Callable[..., ImportReport]


@pytest.fixture
def bring(kept: BackupStore, new: HarborDouble) -> Bring:
    """Bring settings back to the new Harbor, with all secrets."""

    def bring(
        *stages: Stage,
        harbor: HarborDouble = new,
        secrets: dict[str, Any] | None = None,
        who: Sequence[str] = (),
        on_secret: Callable[[str, str], object] = lambda key, secret: None,
        dry_run: bool = False,
        **options: Any,
    ) -> ImportReport:
        store = options.pop("store", kept)
        wanted = SettingsImport(
            store=store,
            night=options.pop("night", None) or find_night(store),
            given=GivenSecrets(given() if secrets is None else secrets),
            stages=stages or BOTH,
            **options,
        )
        with login(harbor, *who) as client:
            harbor.requests.reset()
            return import_settings(client, wanted, on_secret=on_secret, dry_run=dry_run)

    return bring


def documents_of(harbor: HarborDouble, directory: Path) -> tuple[str, dict[str, str]]:
    store = BackupStore(directory)
    store.begin_for(harbor.url)
    with login(harbor) as client:
        night = export_settings(client, store, "again", passphrase="").night
    return night.system, dict(night.projects)


def failures(report: ImportReport) -> list[str]:
    """Return the failures but for the labels of artifacts, which are not there in most tests."""
    return [line for line in report.failures() if "on artifacts" not in line]


def test_all_comes_back_byte_for_byte_with_the_artifacts_in_between(
    kept: BackupStore, new: HarborDouble, bring: Bring, tmp_path: Path
) -> None:
    assert bring(Stage.BEFORE).failures() == []
    image = new.push("team/deep/app", Image("app"), "1.0", "latest")
    assert bring(Stage.AFTER).failures() == []
    # The same settings, kept once more with only the presence of secrets.
    before = find_night(kept).settings
    opened = {
        scope: kept.settings.read(before.sha256_of(scope)).opened(PASSPHRASE)
        for scope in ("", *before.projects)
    }
    plain = BackupStore(tmp_path / "plain")
    names = {scope: plain.settings.write(document) for scope, document in opened.items()}
    assert documents_of(new, tmp_path / "after") == (names.pop(""), names)
    labels = Api(new).get(
        f"/projects/team/repositories/deep%252Fapp/artifacts/{image.digest}?with_label=true"
    )["labels"]
    assert sorted((label["scope"], label["name"]) for label in labels) == [
        ("g", "zeta"), ("p", "project only"),
    ]  # fmt: skip


def test_a_second_import_sends_nothing_that_writes(new: HarborDouble, bring: Bring) -> None:
    bring(Stage.BEFORE)
    new.push("team/deep/app", Image("app"), "1.0", "latest")
    bring(Stage.AFTER)
    # With them it would write those again that nobody can compare.
    again = bring(secrets={})
    assert written(new) == []
    assert again.failures() == []
    assert {result.state for result in again.results} == {State.LEFT}


def test_a_dry_run_tells_what_would_be_done_and_sends_nothing(
    new: HarborDouble, bring: Bring
) -> None:
    plan = bring(dry_run=True)
    assert written(new) == []
    done = bring(Stage.BEFORE)
    planned = [r.step.title for r in plan.results if r.state is State.PLANNED]
    assert [r.step.title for r in done.results if r.state is State.DONE] == [
        title
        for title in planned
        if title in {r.step.title for r in plan.results if r.step.stage is Stage.BEFORE}
    ][: sum(r.state is State.DONE for r in done.results)]
    shown = "\n".join(plan.lines()) + json.dumps(plan.to_json())
    assert not [name for name, secret in SECRETS.items() if secret in shown]
    assert "token_expiration: 30 -> 45" in shown
    assert 'uaa_client_secret: "" -> a secret' in shown
    assert "2 labels on artifacts" in shown


def test_secrets_that_are_given_work_again(new: HarborDouble, bring: Bring) -> None:
    bring()
    users = new.state.users
    assert {users[name].password for name in ("ann", "bob", "chief")} == {SECRETS["user"]}
    assert {r.secret for r in new.state.robots.values()} == {SECRETS["robot"]}
    (upstream,) = [r for r in new.state.registries if r["name"] == "upstream"]
    assert upstream["credential"]["access_secret"] == SECRETS["registry"]
    (second,) = [s for s in new.state.scanners if s["name"] == "second"]
    assert second["access_credential"] == SECRETS["scanner"]
    (swarm,) = list(new.state.preheat_instances)
    assert swarm["auth_info"] == {"username": "swarm", "password": SECRETS["preheat"]}


def test_sealed_secrets_are_brought_back_by_the_passphrase(new: HarborDouble, bring: Bring) -> None:
    secrets = {k: v for k, v in given().items() if not k.startswith(("team/web", "configurations"))}
    report = bring(secrets=secrets, passphrase=PASSPHRASE)
    assert report.needs == []
    assert new.state.configuration["uaa_client_secret"] == SECRETS["uaa"]
    hooks = {row["name"]: row for row in new.state.webhooks}
    assert hooks["all events"]["targets"][0]["auth_header"] == SECRETS["webhook"]


def test_without_secrets_it_goes_as_far_as_it_can_and_says_what_it_needs(
    new: HarborDouble, bring: Bring
) -> None:
    made: dict[str, str] = {}
    report = bring(secrets={}, on_secret=made.__setitem__)
    assert set(report.needs) == set(given())
    cannot = titles(report, State.CANNOT)
    assert "registries/upstream, which is not given" in cannot["registry upstream"]
    assert "scanners/second" in cannot["scanner second"]
    for hanging in ("cache project cache", "replication policy pull nightly"):
        assert "hangs on the registry upstream" in cannot[hanging]
    assert "Give the secret users/ann, or name a file" in cannot["user ann"]
    assert cannot["team member user ann"] == "the user ann is not there, and cannot be made"
    assert titles(report, State.FAILED) == {}
    # New robots have a secret of their own, which is handed out once.
    assert set(made) == {
        "robots/all",
        "robots/some",
        "robots/off",
        "team/robots/ci",
        "12345/robots/ci",
    }
    assert set(made.values()) == {r.secret for r in new.state.robots.values()}
    hooks = {row["name"]: row for row in new.state.webhooks}
    assert "auth_header" not in hooks["all events"]["targets"][0]
    assert not [text for text in made.values() if text in json.dumps(report.to_json())]
    # And again: what needs a secret is not written over and over.
    again = bring(secrets={})
    assert written(new) == []
    assert "team/webhooks/all events" in again.needs


def test_a_mask_is_never_sent_back(new: HarborDouble, bring: Bring) -> None:
    bring()
    Api(new).put("/registries/2", description="changed there")
    report = bring(secrets={})
    assert "registry upstream" in titles(report, State.DONE)
    (upstream,) = [r for r in new.state.registries if r["name"] == "upstream"]
    assert upstream["credential"]["access_secret"] == SECRETS["registry"]
    assert upstream["description"] == "caches"
    with pytest.raises(HarborConfigurationError, match="a mask"):
        GivenSecrets({"registries/upstream": "*****"})


def test_a_webhook_that_is_changed_keeps_its_header(new: HarborDouble, bring: Bring) -> None:
    bring()
    api = Api(new)
    hook = next(h for h in api.get("/projects/team/webhook/policies") if h["name"] == "all events")
    api.put(f"/projects/team/webhook/policies/{hook['id']}", **{**hook, "enabled": False})
    bring(secrets={}, kinds=["webhooks"])
    hooks = {row["name"]: row for row in new.state.webhooks}
    assert hooks["all events"]["enabled"]
    assert hooks["all events"]["targets"][0]["auth_header"] == SECRETS["webhook"]


def test_what_is_there_is_made_what_it_was_and_nothing_is_deleted(
    new: HarborDouble, bring: Bring
) -> None:
    bring()
    api = Api(new)
    api.put("/configurations", token_expiration=1)
    label = next(each for each in api.get("/labels?scope=g") if each["name"] == "zeta")
    api.put(f"/labels/{label['id']}", name="zeta", color="#111111")
    api.post("/labels", name="surplus", scope="g", color="#222222")
    hooks = {each["name"]: each["id"] for each in api.get("/projects/team/webhook/policies")}
    api.delete(f"/projects/team/webhook/policies/{hooks['all events']}")
    report = bring(secrets={"team/webhooks/all events": SECRETS["webhook"]})
    assert failures(report) == []
    assert sorted(titles(report, State.DONE)) == [
        "configuration", "label zeta", "team webhook all events",
    ]  # fmt: skip
    assert report.surplus == {"labels": 1}
    report = bring(secrets={}, delete_surplus=True)
    assert list(titles(report, State.DONE)) == ["label surplus"]
    assert "surplus" not in [each["name"] for each in api.get("/labels?scope=g")]


def test_a_surplus_of_every_kind_is_deleted_when_asked(
    new: HarborDouble, bring: Bring, tmp_path: Path, service: Service
) -> None:
    seed(new, service.url)
    system: dict[str, Any] = {
        kind: [] for kind in ("users", "groups", "labels", "robots", "scanners", "replications")
    }
    system |= {"preheat-instances": [], "garbage-collection": None, "purge-audit": None}
    team = dict.fromkeys(("labels", "robots", "immutability", "webhooks", "preheat-policies"), ())
    made = kept_settings(
        tmp_path,
        system=system,
        team={**{k: [] for k in team}, "retention": None, "members": [
            {"type": "user", "name": "admin", "role": "projectAdmin"}
        ]},
    )  # fmt: skip
    report = bring(secrets={}, delete_surplus=True, **made)
    assert report.failures() == []
    assert list(new.state.users) == ["admin"]
    assert not [r for r in new.state.robots.values() if r.project_id in (0, 2)]
    for table in (new.state.groups, new.state.replications, new.state.preheat_instances):
        assert list(table) == []
    assert written(new)
    assert bring(secrets={}, delete_surplus=True, **made).writes == 0


def test_a_project_comes_back_under_another_name(new: HarborDouble, bring: Bring) -> None:
    report = bring(renames=["team=crew"], projects=["team"], secrets={})
    team = new.state.project("crew")
    assert team is not None
    assert new.state.project("team") is None
    (ci,) = new.state.robots.values()
    assert ci.permissions[0]["namespace"] == "crew"
    # Users are of the system.
    why = titles(report, State.CANNOT)["crew member user ann"]
    assert why == "the user ann is not there. Make it first"
    assert [row["name"] for row in new.state.webhooks] == ["all events", "chat"]


def test_only_some_kinds_are_brought_back(new: HarborDouble, bring: Bring) -> None:
    bring(kinds=["labels"])
    assert {path for _, path, _ in written(new)} == {"/api/v2.0/labels"}
    with pytest.raises(HarborConfigurationError, match="no kind of settings 'label'"):
        bring(kinds=["label"])
    with pytest.raises(HarborConfigurationError, match="no such project"):
        bring(projects=["nobody*"])


def test_a_harbor_in_read_only_mode_is_left_alone(new: HarborDouble, bring: Bring) -> None:
    Api(new).put("/configurations", read_only=True)
    assert any("read-only mode" in line for line in bring(dry_run=True).lines())
    with pytest.raises(HarborConfigurationError, match="read-only mode"):
        bring()
    assert written(new) == []


def test_read_only_comes_last(new: HarborDouble, bring: Bring, tmp_path: Path) -> None:
    made = kept_settings(
        tmp_path,
        system={
            "configurations": {"read_only": True, "token_expiration": 33},
            "labels": [{"name": "a"}],
            "garbage-collection": {"type": "Daily", "cron": "0 0 0 * * *"},
        },
    )
    assert bring(**made).failures() == []
    last = written(new)[-1]
    assert last == ("PUT", "/api/v2.0/configurations", 200)
    assert new.state.configuration["read_only"] is True
    assert new.state.configuration["token_expiration"] == 33
    # There is nothing left to do that this mode would refuse.
    again = bring(**made)
    assert again.failures() == []
    assert written(new) == []


def test_a_harbor_is_not_made_read_only_before_all_else_is_there(
    new: HarborDouble, bring: Bring, tmp_path: Path
) -> None:
    made = kept_settings(
        tmp_path, system={"configurations": {"read_only": True}, "labels": [{"name": "a"}]}
    )
    refused = new.faults.add(Fault(method="POST", path="/labels", status=500))
    failed = bring(**made).failures()
    assert refused.hits == 1
    assert len(failed) == 2
    assert "not done yet, since something else failed" in failed[1]
    assert new.state.configuration.get("read_only") is not True
    assert bring(**made).failures() == []
    assert new.state.configuration["read_only"] is True


def test_users_do_not_come_back_where_others_log_people_in(new: HarborDouble, bring: Bring) -> None:
    Api(new).put("/configurations", auth_mode="oidc_auth")
    api = Api(new)
    new.state.create_user("dora", "Dora-1234", email="dora@example.com", realname="Dora")
    report = bring()
    cannot = titles(report, State.CANNOT)
    assert "while there is no user" in cannot["configuration auth_mode"]
    assert "they come back when they log in" in cannot["user ann"]
    assert "not found" in titles(report, State.FAILED)["team member user ann"]
    # One bad setting is one finding: the others are there.
    assert api.get("/projects/team/webhook/policies")
    assert new.state.configuration["token_expiration"] == 45


def test_an_email_address_of_somebody_else_is_one_finding(new: HarborDouble, bring: Bring) -> None:
    new.state.create_user("other", "Other-1234", email="ann@example.com", realname="Other")
    new.state.create_user("bob", "Bobby-1234", email="old@example.com", realname="Bob")
    report = bring(kinds=["users"])
    assert titles(report, State.CANNOT) == {
        "user ann": "its e-mail address ann@example.com is that of other there"
    }
    assert new.state.users["bob"].email == "bob@example.com"
    assert new.state.users["bob"].password == "Bobby-1234"  # it keeps its own
    assert "chief" in new.state.users


def test_robots_are_found_under_another_prefix(new: HarborDouble, bring: Bring) -> None:
    bring()
    Api(new).put("/configurations", robot_name_prefix="r2-")
    Api(new).delete("/robots/1")
    report = bring(kinds=["robots"], secrets={"robots/all": SECRETS["robot"]})
    assert failures(report) == []
    assert list(titles(report, State.DONE)) == ["robot all"]
    # And all are renamed back.
    assert failures(bring()) == []
    assert {r.name for r in new.state.robots.values()} >= {"bot_all", "bot_some", "bot_team+ci"}


def test_registries_that_are_down_are_findings_with_what_hangs_on_them(
    bring: Bring, new: HarborDouble, tmp_path: Path
) -> None:
    registry = {"name": "down", "type": "docker-registry", "url": "http://127.0.0.1:9"}
    made = kept_settings(
        tmp_path,
        system={
            "registries": [registry],
            "replications": [{"name": "push", "dest_registry": "down",
                              "dest_namespace_replace_count": -1, "trigger": {"type": "manual"}}],
            "scanners": [{"name": "ill", "url": "http://127.0.0.1:9"}],
            "labels": [{"name": "good"}],
        },
        proxy={"project": {"metadata": {"public": "true"}, "registry": "down"}, "labels": []},
    )  # fmt: skip
    failed = titles(bring(**made), State.FAILED)
    assert "the registry is unhealthy" in failed["registry down"]
    assert "not there. Make that first" in failed["proxy project proxy"]
    assert "replication policy push" in failed
    assert "scanner ill" in failed
    assert [row["name"] for row in new.state.labels] == ["good"]


def test_odd_items_of_a_document_are_one_finding_each(
    bring: Bring, new: HarborDouble, tmp_path: Path
) -> None:
    made = kept_settings(
        tmp_path,
        system={
            "labels": [{"color": "#000000"}, {"name": "good"}],
            "groups": [{"name": "twice", "type": "http"}],
            "robots": [
                {"name": "old", "editable": "no", "permissions": grants(project="repository:pull")},
                {"name": "bare"},
                {"name": "lost", "duration": -1,
                 "permissions": grants("user:list", "repository:pull", "gone")},
            ],
            "configurations": {"token_expiration": 0, "session_timeout": 61,
                               "from_harbor_3": "x", "ldap_url": ""},
            "scan-all": {"type": "Daily", "cron": "0 0 0 * * *"},
        },
        library={
            "members": [{"type": "user", "name": "admin", "role": 9}],
            "webhooks": [{"name": "w", "enabled": True, "event_types": ["PUSH_ARTIFACT", "FUTURE"],
                          "targets": [{"type": "http", "address": "https://example.com"}]}],
            "quota": {"storage": 5},
        },
    )  # fmt: skip
    Api(new).post("/usergroups", group_name="twice", group_type=3)
    report = bring(secrets={"robots/lost": SECRETS["robot"]}, **made)
    assert titles(report, State.CANNOT) == {
        "group http twice": "the name is that of a group of the type oidc there",
        "robot bare": "it has no permissions, and Harbor makes none without",
        "robot old": "it is of Harbor 1, and cannot be made again",
        "configuration from_harbor_3": "this Harbor has no such configuration",
        "library member user admin": "its role 9 is none that Harbor has",
    }
    failed = titles(report, State.FAILED)
    assert sorted(failed) == ["configuration", "schedule of scanning all"]
    assert "token_expiration is refused" in failed["configuration"]
    assert "no scanner" in failed["schedule of scanning all"]
    assert new.state.configuration["session_timeout"] == 61
    assert sorted(row["name"] for row in new.state.labels) == ["", "good"]
    (lost,) = new.state.robots.values()
    assert [row["kind"] for row in lost.permissions] == ["system"]
    (hook,) = list(new.state.webhooks)
    assert hook["event_types"] == ["PUSH_ARTIFACT"]
    shown = "\n".join(report.lines())
    assert "without those on the project gone, which is not there" in shown
    assert "without the events FUTURE, which this Harbor has not" in shown
    # What was left out is not tried again and again.
    before = written(new)
    again = bring(**made)
    assert len(before) > len(written(new))
    assert not [path for _, path, _ in written(new) if "robots" in path or "webhook" in path]
    assert "library webhook w" not in titles(again, State.DONE, State.FAILED)


def test_an_older_harbor_takes_what_it_knows_and_the_rest_is_told(bring: Bring) -> None:
    with HarborDouble(version="v2.10.0") as old:
        report = bring(harbor=old)
        failed, cannot = titles(report, State.FAILED), titles(report, State.CANNOT)
        again = bring(harbor=old, secrets={})
        assert written(old) == []
    # It would ignore metadata that it does not know, and say 200.
    for name, key in (("team", "auto_sbom_generation"), ("cache", "proxy_speed_kb")):
        why = f"this Harbor has no {key}, which the project was set to"
        assert cannot[f"{name} project {name}"] == why
    assert not titles(again, State.FAILED)
    shown = "\n".join(report.lines())
    assert "robot all: without" in shown
    assert "user:list, which this Harbor has not" in shown
    assert not [title for title in (*failed, *cannot) if "webhook" in title or "robot" in title]


def test_a_robot_writes_what_it_may_and_the_rest_is_told(new: HarborDouble, bring: Bring) -> None:
    everything = [
        (kind, f"{one['resource']}:{one['action']}")
        for kind, rows in Api(new).get("/permissions").items()
        for one in rows
    ]
    system, project = (
        " ".join(text for kind, text in everything if kind == wanted)
        for wanted in ("system", "project")
    )
    who = robot(new, system.replace("quota:update", ""), project)
    report = bring(who=who)
    cannot, failed = titles(report, State.CANNOT), titles(report, State.FAILED)
    assert "only an administrator" in cannot["configuration"]
    assert "403" in failed["allowlist of the system"]
    assert "403" in failed["team quota"]
    # It can make robots, and give them no secret of old.
    assert "403" in failed["robot all"]
    assert [row["name"] for row in new.state.webhooks] == ["all events", "chat"]
    assert sorted(new.state.users) == ["admin", "ann", "bob", "chief"]


def test_a_harbor_that_goes_away_is_found_half_done_and_gone_on_with(
    new: HarborDouble, bring: Bring
) -> None:
    for path in ("POST /registries", "GET /ping"):
        method, _, path = path.partition(" ")
        new.faults.add(Fault(method=method, path=path, times=None, reset=True))
    report = bring()
    new.faults.clear()
    failed = titles(report, State.FAILED)
    assert failed["team project team"] == "not tried, since Harbor did not answer before"
    assert "user ann" in titles(report, State.DONE)
    assert failures(bring()) == []


@pytest.mark.parametrize(
    "path", ["/users", "/projects$", "/labels", "/members", "/robots", "/retentions", "/webhook"]
)
def test_an_answer_that_is_lost_is_one_finding_and_the_next_import_mends_it(
    kept: BackupStore, new: HarborDouble, bring: Bring, path: str
) -> None:
    new.faults.add(Fault(method="POST", path=path, skip=1, times=1, lose_answer=True))
    found = failures(bring())
    new.faults.clear()
    # A project is looked for, since what Harbor adds to it could not be told later.
    assert len(found) == (0 if path == "/projects$" else 1)
    assert failures(bring()) == []
    # Nothing is there that was not: neither a creator as a member, nor a policy of a proxy cache.
    assert bring().surplus == {}


def test_what_harbor_accepts_and_ignores_is_told(new: HarborDouble, bring: Bring) -> None:
    new.faults.add(Fault(method="PUT", path="/system/gc/schedule", times=1, status=200))
    report = bring()
    new.faults.clear()
    (message,) = titles(report, State.FAILED).values()
    assert "Harbor accepted it, and it is still otherwise" in message


def test_a_wrong_passphrase_ends_it_before_anything_is_written(
    new: HarborDouble, bring: Bring
) -> None:
    with pytest.raises(WrongPassphraseError):
        bring(passphrase="another long passphrase")
    assert written(new) == []


def test_a_project_without_a_quota_is_one_finding(
    bring: Bring, new: HarborDouble, tmp_path: Path
) -> None:
    Api(new).put("/configurations", quota_per_project_enable=False)
    project = {"project": {"metadata": {"public": "true"}}, "quota": {"storage": 7}}
    made = kept_settings(tmp_path, system={}, roomy=project)
    for state in (State.FAILED, State.CANNOT):  # when it is made, and when it is there
        (why,) = titles(bring(**made), state).values()
        assert "quota_per_project_enable" in why


@pytest.mark.parametrize("labels", [7, {"name": "a"}, ["a"], None])
def test_a_document_of_another_form_is_damage(
    bring: Bring, new: HarborDouble, tmp_path: Path, labels: Any
) -> None:
    made = kept_settings(tmp_path, system={"labels": []})
    content = json.dumps(
        {"format_version": 1, "kind": "harbor-settings", "project": None,
         "settings": {"labels": labels}}
    ).encode()  # fmt: skip
    sha256 = hashlib.sha256(content).hexdigest()
    (tmp_path / "made" / f"settings/{sha256}.json").write_bytes(content)
    settings = replace(made["night"].settings, system=sha256)
    made["night"] = replace(made["night"], settings=settings)
    (why,) = titles(bring(**made), State.CANNOT).values()
    assert "labels has another form" in why
    assert written(new) == []


def test_kinds_that_only_a_newer_program_knows_are_left(
    bring: Bring, new: HarborDouble, tmp_path: Path
) -> None:
    made = kept_settings(tmp_path, system={"labels": [{"name": "a"}], "kind_of_harbor_3": 7})
    report = bring(**made)
    assert report.failures() == []
    assert report.lines()[0].endswith("only a newer program knows these kinds: kind_of_harbor_3")
    assert [row["name"] for row in new.state.labels] == ["a"]


def test_an_error_that_repeats_a_secret_does_not_show_it(new: HarborDouble, bring: Bring) -> None:
    body = json.dumps({"errors": [{"code": "X", "message": f"bad {SECRETS['registry']}"}]})
    new.faults.add(
        Fault(method="POST", path="/registries", times=None, status=400, body=body,
              content_type="application/json")
    )  # fmt: skip
    report = bring()
    new.faults.clear()
    shown = json.dumps(report.to_json()) + "\n".join([*report.lines(), *report.failures()])
    assert "bad ***" in shown
    assert not [name for name, secret in SECRETS.items() if secret in shown]


def test_a_project_whose_quota_is_not_brought_back_gets_that_of_all_others(
    new: HarborDouble, bring: Bring, tmp_path: Path
) -> None:
    Api(new).put("/configurations", storage_per_project=5_000_000)
    project = {"project": {"metadata": {"public": "true"}}, "quota": {"storage": 7_000_000}}
    made = kept_settings(tmp_path, system={}, few=project, own=project)
    assert bring(**made, projects=["few"], kinds=["project"]).failures() == []
    assert bring(**made, projects=["own"]).failures() == []
    limits = {
        quota["ref"]["name"]: quota["hard"]["storage"]
        for quota in Api(new).get("/quotas?reference=project")
    }
    assert limits["few"] == 5_000_000
    assert limits["own"] == 7_000_000


@pytest.mark.parametrize(
    "version", ["v2.5.0", "v2.8.0", "v2.12.0", "v2.14.3", "v2.15.0", "v2.16.0"]
)
def test_whatever_the_version_a_second_import_writes_nothing(bring: Bring, version: str) -> None:
    with HarborDouble(version=version) as other:
        report = bring(harbor=other)
        again = bring(harbor=other, secrets={})
        assert not titles(report, State.FAILED)
        assert written(other) == []
        assert again.writes == 0
        assert again.failures() == report.failures()
