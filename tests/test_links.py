"""Links: internal ones lead to pages and headings, external ones are whole. `make linkcheck` opens the latter."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from test_docs import DOCS, PROSE, ROOT, name

SOURCES = [
    path
    for folder, kinds in (
        (DOCS, ("*.md", "*.py")),
        (ROOT / "src", ("*.py", "*.bib", "*.html")),
        (ROOT / "benchmarks", ("*.py",)),
    )
    for kind in kinds
    for path in sorted(folder.rglob(kind))
    if "reference/api" not in str(path)
]
TEXTS = {path: path.read_text(encoding="utf-8") for path in (*SOURCES, *PROSE)}
EXTERNAL = re.compile(r"https?://[^\s<>\"'`)\]}|]+")
ARXIV = re.compile(r"\barXiv:([^\s<]+?)(?=[\s;,)\]`\"<]|\.(?:\s|$)|$)", re.I)
PAPER = re.compile(r"(\d{2})(\d{2})\.(\d{4,5})(v\d+)?|astro-ph/(\d{2})(\d{2})(\d{3})")


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    outside = re.sub(r"^`{3}.*?^`{3}$", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", outside, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PROSE, ids=name)
def test_internal_links_lead_to_a_page_and_a_heading(path):
    text = re.sub(r"^`{3}.*?^`{3}$", "", TEXTS[path], flags=re.M | re.S)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        generated = page.is_relative_to(DOCS) and str(page.relative_to(DOCS)).startswith(
            ("reference/", "validation/bars", "tutorials/")
        )
        assert page.exists() or generated, target
        if anchor and page.exists():
            assert anchor in slugs(page.read_text(encoding="utf-8")), target


def test_external_links_are_whole():
    for path, text in TEXTS.items():
        for link in EXTERNAL.findall(text):
            parts = urlsplit(link)
            assert parts.scheme == "https" or parts.hostname == "127.0.0.1" or "w3.org" in link, (
                f"{path}: {link}"
            )
            assert re.fullmatch(r"[\w.-]+\.[a-z]{2,}|127\.0\.0\.1", parts.hostname or ""), f"{path}: {link}"
            assert not link.endswith((".", ",", ";")), f"{path}: {link}"


def test_papers_have_possible_numbers():
    """Year and month of an arXiv number, and the form of a DOI."""
    for path, text in TEXTS.items():
        for number in ARXIV.findall(text):
            match = PAPER.fullmatch(number.strip("{}.,"))
            assert match, f"{path}: arXiv:{number}"
            month = int(match[2] or match[6])
            assert 1 <= month <= 12, f"{path}: arXiv:{number}"
        for doi in re.findall(r"\bdoi(?:\.org/|\s*=\s*\{|:)(\S+?)(?=[}\s,;)\]\"]*(?:[\s}]|$))", text):
            assert re.match(r"10\.\d{4,9}/\S+", doi), f"{path}: {doi}"


def test_every_paper_is_on_the_page_of_papers():
    """The numbers in docstrings, pages and BibTeX, of arXiv or else of a DOI."""
    listed = (DOCS / "papers.md").read_text(encoding="utf-8")
    for path, text in TEXTS.items():
        if path.is_relative_to(ROOT / "src") or path.is_relative_to(DOCS):
            numbers = [number.strip("{}.,") for number in ARXIV.findall(text)]
            numbers += re.findall(r"\beprint = \{(\S+?)\}", text)
            numbers += re.findall(r"\bdoi:(10\.\S+?)\)", text)
            assert not [number for number in numbers if number not in listed], path


def test_a_wrong_anchor_is_noticed():
    assert slugs("# A page: `x`, and more\n\n```\n# no heading\n```\n") == {"a-page-x-and-more"}
