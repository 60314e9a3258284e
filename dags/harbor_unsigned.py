"""An example of another use of the hook: count what nobody has signed, once a week."""

from __future__ import annotations

from airflow_provider_harbor.dags import harbor_unsigned

harbor_unsigned(schedule="@weekly", source="harbor_default")
