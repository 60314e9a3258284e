from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_harbor.get_provider_info import get_provider_info
from airflow_provider_harbor.hooks.harbor import HarborHook


def test_provider_info_imports_nothing_else() -> None:
    code = (
        "import json, sys; from airflow_provider_harbor.get_provider_info import *; "
        "get_provider_info(); print(json.dumps(sorted(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    modules = set(json.loads(out))

    assert not modules & {"airflow", "requests", "pendulum", "airflow_provider_harbor.core"}
    assert not any(name.startswith("airflow_provider_harbor.hooks") for name in modules)


def test_every_module_named_is_there() -> None:
    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for name in entry["python-modules"]:
                assert importlib.import_module(name).__name__ == name


def test_every_module_with_operators_is_named() -> None:
    from airflow.sdk import BaseOperator

    import airflow_provider_harbor.operators as package

    (named,) = get_provider_info()["operators"]
    there = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
    assert set(named["python-modules"]) == {
        name
        for name in there
        if any(
            inspect.isclass(value) and issubclass(value, BaseOperator)
            for value in vars(importlib.import_module(name)).values()
        )
    }


def test_its_description_ends_with_its_only_link() -> None:
    from airflow.api_fastapi.core_api.services.public.providers import _remove_rst_syntax

    # As Airflow's page of providers shows it: a link in the middle takes in the word behind it.
    words = _remove_rst_syntax(get_provider_info()["description"]).split(" ")
    assert [word for word in words if "://" in word] == ["https://goharbor.io"] == words[-1:]


def test_provider_is_valid_and_found_by_airflow() -> None:
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    assert "airflow-provider-harbor" in ProvidersManager().providers
    hook = ProvidersManagerTaskRuntime().hooks["harbor"]
    assert hook is not None
    assert hook.hook_name == HarborHook.hook_name
    assert hook.connection_type == HarborHook.conn_type
    assert hook.connection_id_attribute_name == HarborHook.conn_name_attr


@pytest.fixture
def form() -> Any:
    """The connection form, as the UI gets it."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (found,) = [m for m in HookMetaService.hook_meta_data() if m.connection_type == "harbor"]
    return found


def test_form_has_the_fields_that_the_hook_reads(form: Any) -> None:
    assert set(form.extra_fields) == {"verify_tls", "ca_file", "timeout_seconds"}
    assert form.extra_fields["verify_tls"]["value"] is True
    assert form.extra_fields["timeout_seconds"]["value"] == 60
    assert form.extra_fields["timeout_seconds"]["schema"]["minimum"] == 1


def test_form_names_the_standard_fields(form: Any) -> None:
    fields = form.standard_fields.model_dump(by_alias=True)

    assert fields["login"]["title"] == "User or robot"
    assert fields["password"]["title"] == "Password or robot secret"
    assert fields["host"]["placeholder"] == "harbor.example.com"
    assert not any(field and field.get("hidden") for field in fields.values())


def test_store_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.configuration import conf

    assert conf.get("harbor", "store").endswith("/harbor-backup")
    monkeypatch.setenv("AIRFLOW__HARBOR__STORE", "/backup")
    assert conf.get("harbor", "store") == "/backup"
