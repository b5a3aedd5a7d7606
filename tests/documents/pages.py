"""The documents of the project, and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("data_manifests", "device", "export", "speechtl", "tests", "training")
GUIDES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("README.md") if "node_modules" not in path.parts)
DOCUMENTS = [ROOT / "README.md", *GUIDES]


def blocks(document: Path, language: str) -> list[str]:
    """The contents of all fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.S | re.M)
