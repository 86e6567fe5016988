"""Files under addresses that change with their content, and figures as they read."""

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from penstock.console import formats
from penstock.console.assets import FOLDER, Assets


def client(assets: Assets) -> TestClient:
    return TestClient(Starlette(routes=assets.routes()))


def test_files_may_be_kept_for_good_and_are_not_sent_twice() -> None:
    assets = Assets(FOLDER)
    first = client(assets).get(assets.address("css/base.css"))
    assert first.status_code == 200
    assert first.headers["content-type"].startswith("text/css")
    assert "immutable" in first.headers["cache-control"]
    again = client(assets).get(assets.address("css/base.css"), headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_a_change_gives_every_file_a_new_address_and_old_pages_still_work(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("export const a = 1;")
    (tmp_path / "b.js").write_text("import './a.js';")
    before = Assets(tmp_path).address("b.js")
    (tmp_path / "a.js").write_text("export const a = 2;")
    after = Assets(tmp_path)
    assert after.address("b.js") != before
    old = client(after).get(before)
    assert old.status_code == 200
    assert old.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "name", ["../routes.py", "css/../../routes.py", "%2e%2e/routes.py", "vendor/README.md", ""]
)
def test_nothing_else_is_served(name: str) -> None:
    assets = Assets(FOLDER)
    assert client(assets).get(f"/static/{assets.version}/{name}").status_code == 404


def test_no_file_names_an_address_elsewhere_and_no_template_has_inline_code() -> None:
    for path in [*FOLDER.rglob("*"), *(FOLDER.parent / "templates").rglob("*")]:
        if path.suffix not in (".js", ".css", ".svg", ".html") or "vendor" in path.parts:
            continue
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), path
        assert not re.search(r"\sstyle=|<style|\son\w+=\"|<script(?![^>]*src=)|\|\s*safe|innerHTML\s*=", text), path


def test_htmx_is_the_version_that_its_notice_names() -> None:
    notice = (FOLDER / "vendor" / "README.md").read_text()
    library = (FOLDER / "vendor" / "htmx-2.0.11.min.js").read_text()
    assert "| htmx 2.0.11 | 0BSD" in notice
    assert 'version:"2.0.11"' in library


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (None, "–"),
        (0, "0 µs"),
        (949, "949 µs"),
        (9_940, "9.9 ms"),
        (42_300, "42 ms"),
        (949_999, "950 ms"),
        (1_300_000, "1.3 s"),
        (59_990_000, "1 min 0 s"),
        (125_000_000, "2 min 5 s"),
    ],
)
def test_durations(microseconds: int | None, text: str) -> None:
    assert formats.duration(microseconds) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (999, "999 B"), (3_400, "3.4 KB"), (12_000_000, "12 MB"), (2_500_000_000, "2.5 GB")],
)
def test_sizes(octets: int, text: str) -> None:
    assert formats.size(octets) == text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(None, "–"), (0, "$0.00"), (1_200, "$0.000001"), (12_500_000, "$0.0125"), (3_100_000_000, "$3.10")],
)
def test_costs(nanos: int | None, text: str) -> None:
    assert formats.cost(nanos) == text


def test_uplot_is_the_version_that_its_notice_names() -> None:
    notice = (FOLDER / "vendor" / "README.md").read_text()
    library = (FOLDER / "vendor" / "uplot-1.6.32.iife.min.js").read_text()
    assert "| uPlot 1.6.32 | MIT" in notice
    assert "(v1.6.32)" in library[:100]
