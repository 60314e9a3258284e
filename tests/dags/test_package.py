"""The DAGs as the installed package has them, for a file of one's own in the DAGs folder."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import DAGS, errors_in
from tests.double import HarborDouble

ONE_LINE = "from airflow_provider_harbor.dags import {0}; {0}()\n"
Read = Callable[[str], dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Put a text into a DAGs folder, and return the DAGs that Airflow finds there."""
    from airflow.dag_processing.dagbag import DagBag

    def read(text: str) -> dict[str, Any]:
        (tmp_path / "mine.py").write_text(text)
        # As Airflow does by default: only files that look like a DAG are read.
        bag = DagBag(tmp_path, safe_mode=True)
        assert bag.import_errors == {}
        return dict(bag.dags)

    return read


@pytest.mark.parametrize("name", [path.stem for path in sorted(DAGS.glob("*.py"))])
def test_a_file_of_one_line_has_the_dag(name: str, read: Read, tmp_path: Path) -> None:
    (dag,) = read(ONE_LINE.format(name)).values()

    assert dag.dag_id == name
    # Airflow's view of the code shows the file that made the call, and runs that.
    assert dag.fileloc == str(tmp_path / "mine.py")


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_the_examples_set_what_holds_without_them(path: Path, read: Read) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    def essence(dags: dict[str, Any]) -> Any:
        (dag,) = dags.values()
        found = DagSerialization.to_dict(dag)["dag"]
        return {key: value for key, value in found.items() if "fileloc" not in key}

    assert essence(read(path.read_text())) == essence(read(ONE_LINE.format(path.stem)))


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_the_examples_are_one_call(path: Path) -> None:
    kinds = [type(node) for node in ast.parse(path.read_text()).body]

    assert kinds == [ast.Expr, ast.ImportFrom, ast.ImportFrom, ast.Expr]


def test_two_harbors_are_two_calls(read: Read) -> None:
    dags = read(
        "from airflow_provider_harbor.dags import harbor_backup\n"
        "harbor_backup(store='/backup/main')\n"
        "harbor_backup('harbor_backup_lab', source='harbor_lab', store='/backup/lab')\n"
    )

    assert {
        dag_id: (
            dag.params["source"],
            dag.params["store"],
            [asset.name for asset in dag.task_dict["snapshot"].outlets],
        )
        for dag_id, dag in dags.items()
    } == {
        "harbor_backup": ("harbor_default", "/backup/main", ["harbor_backup"]),
        "harbor_backup_lab": ("harbor_lab", "/backup/lab", ["harbor_backup_lab"]),
    }


def test_what_a_call_says_is_in_the_form_and_the_tasks(read: Read) -> None:
    (dag,) = read(
        "from airflow_provider_harbor.dags import harbor_backup\n"
        "harbor_backup(schedule='0 22 * * *', time_zone='Europe/Berlin', mirror='there',\n"
        "    projects=['team-*'], exclude=['team-x'], workers=7, limit_mb=2.5,\n"
        "    projects_at_once=2, retention={'keep_last': 3}, retention_connection='deleting',\n"
        "    configurations_connection='admin', passphrase_connection='sealing',\n"
        "    default_args={'pool': 'harbor', 'retries': 5}, tags=['mine'], max_active_tasks=9)\n"
    ).values()

    assert (dag.timetable.expression, str(dag.timezone)) == ("0 22 * * *", "Europe/Berlin")
    assert (dag.tags, dag.max_active_tasks, dag.max_active_runs) == ({"mine"}, 9, 1)
    assert {name: dag.params[name] for name in dag.params if name != "store"} == {
        "source": "harbor_default",
        "projects": ["team-*"],
        "exclude": ["team-x"],
        "mirror": "there",
        "dry_run": False,
        "workers": 7,
        "limit_mb": 2.5,
    }
    dag.params.validate()
    tasks = dag.task_dict
    assert {(task.pool, task.retries, task.owner) for task in dag.tasks} == {
        ("harbor", 5, "registry")
    }
    assert tasks["backup.copy"].max_active_tis_per_dagrun == tasks["backup.copy"].limit_shares == 2
    forget = tasks["retention.forget"]
    assert (forget.keep_last, forget.keep_daily, forget.keep_yearly) == (3, 0, 0)
    assert (forget.time_zone, forget.delete_conn_id) == ("Europe/Berlin", "deleting")
    assert tasks["settings"].configurations_conn_id == "admin"
    assert tasks["settings"].passphrase_conn_id == "sealing"


def test_without_a_policy_nothing_is_ever_deleted(read: Read) -> None:
    (dag,) = read(
        "from airflow_provider_harbor.dags import harbor_backup\nharbor_backup(retention=None)\n"
    ).values()

    assert dag.task_dict["snapshot"].downstream_task_ids == set()
    assert not [task for task in dag.task_ids if task.startswith("retention")]


def test_restore_and_verify_take_what_a_call_says(read: Read) -> None:
    dags = read(
        "from airflow_provider_harbor.dags import harbor_restore, harbor_verify\n"
        "from airflow.sdk import Asset\n"
        "harbor_restore('back_lab', target='lab', store='/lab', passphrase_connection='seal')\n"
        "harbor_verify('proof_lab', schedule=[Asset('harbor_backup_lab')], source='lab',\n"
        "    store='/lab', parts=7, drill_target='scratch', drill_day=2, drill_sample=9)\n"
    )
    back, proof = dags["back_lab"], dags["proof_lab"]

    assert (back.params["target"], back.params["store"]) == ("lab", "/lab")
    assert back.task_dict["settings_before"].passphrase_conn_id == "seal"
    assert (proof.params["source"], proof.params["store"]) == ("lab", "/lab")
    assert (proof.params["drill_target"], proof.params["drill_sample"]) == ("scratch", 9)
    assert "7" in proof.params.get_param("part").schema["description_md"]
    assert (proof.task_dict["verify"].parts, proof.task_dict["drill"].weekday) == (7, 2)
    assert [asset.name for asset in proof.timetable.asset_condition.objects] == [
        "harbor_backup_lab"
    ]


@pytest.mark.airflow
def test_a_notifier_is_called_once_a_run(
    airflow_db: None,
    harbor: HarborDouble,
    connect: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    connect("harbor_default", harbor)
    told = tmp_path / "told"
    (tmp_path / "mine.py").write_text(
        # A function, since `dag.test` of Airflow 3.3.2 cannot call its own notifiers.
        "from airflow_provider_harbor.dags import harbor_backup\n"
        "def tell(context):\n"
        f"    with open({str(told)!r}, 'a') as file:\n"
        "        said = context['harbor']\n"
        "        print(context['run_id'], said.verdict, said.headline, file=file)\n"
        "harbor_backup('telling', notifiers=[tell], tell_always=True)\n"
        "harbor_backup('blind', notifiers=[tell], configurations_connection='nowhere')\n"
    )

    def run(dag_id: str = "telling", **conf: Any) -> Any:
        bag = DagBag(tmp_path / "mine.py")
        with create_session() as session:
            session.merge(DagBundleModel(name="dags-folder"))
        sync_bag_to_db(bag, "dags-folder", None)
        return bag.dags[dag_id].test(run_conf={"store": str(tmp_path / "store"), **conf})

    green = run()
    assert str(green.state) == "success"
    failed = run(projects=["no-such-project"])
    assert str(failed.state) == "failed"
    # Also in `airflow dags test`, where nobody answers for an XCom: what the run has left is found.
    blind = run("blind")
    assert str(blind.state) == "failed"
    first, second, third = told.read_text().splitlines()
    assert first.startswith(f"{green.run_id} complete Everything is protected: ")
    assert second.startswith(f"{failed.run_id} failed NOTHING was backed up")
    said = "All artifacts are protected, but the run failed: task settings failed"
    assert third == f"{blind.run_id} partial {said}"
    assert said in errors_in(capsys.readouterr().out)
