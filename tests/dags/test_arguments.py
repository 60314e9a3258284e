"""What the DAG functions are given: a list of one where one is meant, or refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG

from airflow_provider_harbor import dags
from airflow_provider_harbor.core.exceptions import HarborConfigurationError

MAIL = SmtpNotifier(to="ops@example.com")


def errors_of(folder: Path, text: str) -> list[str]:
    """Return what Airflow says of a DAG file, which it reads twice, as it does again and again."""
    from airflow.dag_processing.dagbag import DagBag

    (folder / "mine.py").write_text(text)
    first, second = (list(DagBag(folder).import_errors.values()) for _ in range(2))
    assert len(first) == len(second)
    return second


@pytest.mark.parametrize("name", ["harbor_backup", "harbor_restore", "harbor_verify"])
def test_two_calls_of_one_id_in_a_file_are_a_broken_dag(name: str, tmp_path: Path) -> None:
    begin = f"from airflow_provider_harbor.dags import {name}\n"
    (error,) = errors_of(tmp_path, f"{begin}{name}(store='/one')\nkept = {name}(store='/two')\n")

    assert f"two DAGs '{name}' in this file" in error
    assert "a dag_id of its own" in error
    assert errors_of(tmp_path, f"{begin}{name}()\n{name}('another')\n") == []


def test_two_files_are_read_by_themselves(tmp_path: Path) -> None:
    text = "from airflow_provider_harbor.dags import harbor_unsigned\nharbor_unsigned('{}')\n"
    (tmp_path / "a.py").write_text(text.format("a"))
    assert errors_of(tmp_path, text.format("b")) == []


def test_one_alone_is_a_list_of_one() -> None:
    dag: Any = dags.harbor_backup("x", projects="library", exclude="test-*", notifiers=MAIL)

    assert (dag.params["projects"], dag.params["exclude"]) == (["library"], ["test-*"])
    assert dag.on_failure_callback.notifiers == (MAIL,)
    assert dags.harbor_restore("y", notifiers=MAIL).on_failure_callback == [MAIL]


def test_what_is_left_out_is_no_error() -> None:
    dag: DAG = dags.harbor_backup(
        "x", projects=[], notifiers=None, retention={}, store=Path("/backup/x")
    )

    assert (dag.params["projects"], dag.params["store"]) == (None, "/backup/x")
    assert not dag.on_failure_callback
    assert dags.harbor_verify("y", source=None).params["source"] is None


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("source", ""),
        ("source", None),
        ("store", ""),
        ("store", 5),
        ("projects", [""]),
        ("exclude", [5]),
        ("projects_at_once", 0),
        ("projects_at_once", "4"),
        ("workers", 0),
        ("workers", True),
        ("workers", 257),
        ("limit_mb", 0),
        ("limit_mb", -5),
        ("limit_mb", "fast"),
        ("limit_mb", float("nan")),
        ("retention", {"keep_last": 0}),
        ("retention", {"keep_last": -1}),
        ("retention", {"keep_last": "7"}),
        ("retention", {"keep_daily": 1.5}),
        ("retention", {"keep_hourly": 1}),
        ("retention", 7),
        ("notifiers", [None]),
        ("notifiers", "mail"),
        ("notifiers", [SmtpNotifier]),
        ("deadline_hours", 26),
    ],
)
def test_a_backup_refuses_by_the_name_of_the_argument(argument: str, value: Any) -> None:
    with pytest.raises(HarborConfigurationError, match=argument):
        dags.harbor_backup("x", **{argument: value})


@pytest.mark.parametrize("hours", [0, -1, "26"])
def test_a_deadline_is_some_hours(hours: Any) -> None:
    with pytest.raises(HarborConfigurationError, match="deadline_hours"):
        dags.harbor_backup("x", notifiers=[MAIL], deadline_hours=hours)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("parts", 0),
        ("parts", "28"),
        ("drill_day", 7),
        ("drill_day", "sunday"),
        ("drill_sample", 0),
        ("notifiers", [None]),
        ("source", ""),
    ],
)
def test_a_verification_refuses_by_the_name_of_the_argument(argument: str, value: Any) -> None:
    with pytest.raises(HarborConfigurationError, match=argument):
        dags.harbor_verify("x", **{argument: value})


@pytest.mark.parametrize("address", ["s3://key:hush@bucket/harbor", "s3://key:hu/sh@bucket/harbor"])
@pytest.mark.parametrize("name", ["harbor_backup", "harbor_restore", "harbor_verify"])
def test_a_credential_in_the_address_of_a_store_is_refused_and_not_repeated(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HarborConfigurationError, match=r"^store: leave the credentials") as raised:
        getattr(dags, name)("x", store=address)
    assert "key" not in str(raised.value)

    monkeypatch.setenv("AIRFLOW__HARBOR__STORE", address)
    with pytest.raises(HarborConfigurationError, match=r"^\[harbor\] store: leave the credentials"):
        getattr(dags, name)("x")
    monkeypatch.setenv("AIRFLOW__HARBOR__STORE", "s3://conn@bucket/harbor")
    assert getattr(dags, name)("x").params["store"] == "s3://conn@bucket/harbor"
