import base64
import dataclasses
import errno
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from zeldo.errors import InputError, ZeldoError
from zeldo.files.atomic import write_text
from zeldo.report import html, slices
from zeldo.report.files import write_json
from zeldo.report.html import machine_line, write_report
from zeldo.report.labels import at_k, labels
from zeldo.statistics.comparison import K_SHOWN

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Keeps the tags, insists that they nest, and collects what the page would load and say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.loads, self.tags, self.said = [], [], set(), []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loads += [
            value for name, value in attributes if name in {"src", "href", "srcset", "data", "action"}
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture
def report(comparisons, snapshot, tmp_path):
    reference = snapshot()
    snapshots = [snapshot(one.engine, 1.0 + i, seed=i) for i, one in enumerate(comparisons)]
    title = "Fast engines & <N-body>"
    return write_report(
        comparisons,
        [reference, *snapshots],
        reference,
        tmp_path / "new" / "out",
        title=title,
        command="zeldo compare --engine cola > log",
    )


def test_the_report_says_how_the_universe_was_drawn(comparisons, snapshot, tmp_path):
    drawn = {"fixed": True, "flip": False, "phases": "ngenic", "power": "eisenstein-hu"}
    reference = dataclasses.replace(snapshot(seed=5), **drawn)
    page = write_report(comparisons, [], reference, tmp_path, title="drawn", command="")
    text = page.read_text(encoding="utf-8")
    for fact in ("<dt>fixed</dt><dd>on<", "<dt>phases</dt><dd>ngenic<", "<dt>power</dt><dd>eisenstein-hu<"):
        assert fact in text
    assert "<dt>flip</dt>" not in text and "To make this again" not in text  # no command was given
    universe = json.loads((tmp_path / "comparison.json").read_text())["universe"]
    assert universe == {"cosmology": reference.cosmology.to_dict(), "seed": 5, **drawn}


def test_the_page_is_whole_and_needs_nothing_else(report, comparisons):
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads and all(value.startswith("data:image/") for value in page.loads)
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?://|@import|url\(", re.sub(r'"data:[^"]*"', "", text))
    for image in page.loads:
        kind, _, data = image.partition(";base64,")
        content = base64.b64decode(data)
        if kind == "data:image/png":
            assert content.startswith(b"\x89PNG")
        else:
            links = re.findall(rb'href="([^"]*)"', content)
            assert content.rstrip().endswith(b"</svg>") and all(link.startswith(b"#") for link in links)
    said = " ".join(page.said)
    for name in labels(comparisons):
        assert name in said
    for words in (
        "Fast engines & <N-body>",
        "a k below the first bin or beyond the last",
        "zeldo compare --engine cola > log",
        "100 Mpc/h",
        "16³",
        "N-body",
    ):
        assert words in said
    assert "Not available for net" in said
    assert f"{at_k(comparisons[0], 'density', 'transfer', 0.5):.4f}" in said
    assert len(page.loads) == 2 + 1 + 9  # cost, slices, three quantities of three fields
    assert sorted(path.name for path in report.parent.iterdir()) == ["comparison.json", "index.html"]


def test_json_gives_back_the_numbers(comparisons, tmp_path):
    path = write_json(comparisons, tmp_path / "comparison.json", title="t")
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["title"] == "t"
    assert [one["engine"] for one in content["comparisons"]] == ["zeldovich", "cola", "cola", "net"]
    for one, stored in zip(comparisons, content["comparisons"], strict=True):
        assert stored["wall_seconds"] == one.wall_seconds and stored["settings"] == one.settings
        assert set(stored["fields"]) == set(one.fields)
        for name, field in one.fields.items():
            for key, values in stored["fields"][name].items():
                np.testing.assert_array_equal(np.array(values, dtype=float), getattr(field, key))


def stub_pictures(monkeypatch):
    monkeypatch.setattr(html, "svg_uri", lambda figure: "data:image/svg+xml;base64,")
    monkeypatch.setattr(html, "png_uri", lambda figure: "data:image/png;base64,")


def test_each_redshift_has_its_section_and_reference(comparisons, snapshot, tmp_path, monkeypatch):
    stub_pictures(monkeypatch)
    later = comparisons[:2]
    earlier = [dataclasses.replace(one, redshift=1.0) for one in later]
    references = [snapshot(), snapshot(redshift=1.0)]
    predictions = [snapshot(one.engine, redshift=one.redshift) for one in (*earlier, *later)]
    sliced = []
    monkeypatch.setattr(
        slices, "slice_figure", lambda shown, names, reference: sliced.append((shown, names, reference))
    )
    page = write_report([*earlier, *later], predictions, references, tmp_path, title="t", command="c")
    assert sliced == [
        ([references[0], *predictions[2:]], ["N-body", "zeldovich", "cola"], True),
        ([references[1], *predictions[:2]], ["N-body", "zeldovich", "cola"], True),
    ]
    said = " ".join(Page(page.read_text(encoding="utf-8")).said)
    assert said.index("Against N-body at z = 0") < said.index("Against N-body at z = 1")
    with pytest.raises(InputError, match="no reference was given at z = 1"):
        write_report(earlier, [], references[0], tmp_path, title="t", command="c")


def test_pictures_name_engines_as_the_tables_do_where_some_are_left_out(
    comparisons, snapshot, tmp_path, monkeypatch
):
    """The legend of the first two was "cola", which the third one is as well."""
    stub_pictures(monkeypatch)
    monkeypatch.setattr(html, "MANY", 2)
    figures = []
    monkeypatch.setattr(html, "svg_uri", lambda figure: figures.append(figure) or "data:,")
    write_report(comparisons, [], snapshot(), tmp_path, title="t", command="c")
    *drawn, memory = figures
    assert [text.get_text() for text in memory.axes[0].get_yticklabels()] == labels(comparisons)[:1]
    for figure in drawn:
        assert labels(comparisons)[1] in [text.get_text() for text in figure.legends[0].texts]


def test_the_words_below_the_costs_speak_of_what_is_drawn(comparisons, snapshot, tmp_path, monkeypatch):
    stub_pictures(monkeypatch)
    untimed = [dataclasses.replace(one, wall_seconds=None, fields={}) for one in comparisons]
    for shown, axes in ((comparisons, True), (untimed, False)):
        page = write_report(shown[1:], [], snapshot(), tmp_path, title="t", command="c")
        text = page.read_text(encoding="utf-8")
        assert ("on logarithmic axes" in text) is axes and "Memory is the most" in text


def test_the_best_of_each_column_is_marked(comparisons, snapshot, tmp_path, monkeypatch):
    stub_pictures(monkeypatch)
    page = write_report(comparisons, [], snapshot(), tmp_path, title="t", command="c")
    marked = re.findall(r'<td class="best">([^<]*)</td>', page.read_text(encoding="utf-8"))
    for k in K_SHOWN:
        assert f"{at_k(comparisons[2], 'density', 'transfer', k):.4f}" in marked
        assert f"{at_k(comparisons[0], 'density', 'transfer', k):.4f}" not in marked
    assert "0.012" in marked and "0.250" in marked


def test_a_report_of_nothing_or_of_other_snapshots_is_refused(comparisons, snapshot, tmp_path):
    with pytest.raises(InputError, match="no comparisons"):
        write_report([], [], snapshot(), tmp_path, title="t", command="c")
    with pytest.raises(InputError, match="1 snapshots for 4 comparisons"):
        write_report(comparisons, [snapshot("a")], snapshot(), tmp_path, title="t", command="c")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write_report(comparisons, [], snapshot(), tmp_path / "file", title="t", command="c")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_no_file_and_the_old_one_whole(tmp_path, monkeypatch, comparisons, failing):
    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    write_text(tmp_path / "old.html", "whole")
    monkeypatch.setattr(os, failing, fail)
    for name in ("old.html", "new.html"):
        with pytest.raises(ZeldoError, match="no space left"):
            write_text(tmp_path / name, "half")
    with pytest.raises(ZeldoError, match="no space left"):
        write_json(comparisons, tmp_path / "comparison.json")
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    assert (tmp_path / "old.html").read_text() == "whole"


def test_the_machine_is_named_in_one_line():
    line = machine_line()
    assert "\n" not in line and "Python 3." in line and "numpy" in line and "cores" in line
