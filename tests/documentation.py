"""What README and docs/ say, for the tests that do it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# All that people read, by its path from the root.
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
}


def page(name: str) -> str:
    """Return a page of docs/."""
    return PAGES[f"docs/{name}.md"]


def code_blocks(text: str, language: str) -> list[str]:
    """Return the blocks of a language, each as it would be pasted."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def robot_body() -> dict[str, Any]:
    """Return what the documented command sends to Harbor to make the robot of a backup."""
    (body,) = re.findall(r"/api/v2\.0/robots .* -d '(\{.*?\})'\n", page("accounts"), re.DOTALL)
    return dict(json.loads(body))


def robot_access(kind: str) -> list[dict[str, str]]:
    """Return its permissions of a kind: `system` or `project`."""
    (found,) = [p["access"] for p in robot_body()["permissions"] if p["kind"] == kind]
    return list(found)
