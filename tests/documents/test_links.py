"""Links between the documents lead to files and headings that exist."""

import re

import pytest

from tests.documents.pages import DOCUMENTS, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors of all headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    headings = re.findall(r"^#+ (.*)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        assert page.exists(), target
        if anchor:
            assert anchor in anchors(page.read_text(encoding="utf-8")), target


def test_every_document_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop().resolve()
        if document not in reached:
            reached.add(document)
            links = (target.partition("#")[0] for target in LINK.findall(document.read_text(encoding="utf-8")))
            waiting += [document.parent / link for link in links if link.endswith(".md") and not link.startswith("http")]
    assert set(DOCUMENTS) <= reached
