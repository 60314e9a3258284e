"""`python -m airflow_provider_harbor.core.cli` is the command `harbor-backup`."""

from __future__ import annotations

import sys

from airflow_provider_harbor.core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
