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


EXAMPLES = [(document, block) for document in DOCUMENTS for block in blocks(document, "python")]


def run(part: str, **names) -> dict:
    """Run the one block of Python that contains a text."""
    ((document, block),) = [(document, block) for document, block in EXAMPLES if part in block]
    names = {"__name__": "example", **names}
    exec(compile(block, str(document), "exec"), names)
    return names
