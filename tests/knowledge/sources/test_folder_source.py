"""Which files are found: patterns, hidden and linked ones, and listings that fail."""

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import ManualClock
from penstock.errors import ConfigError
from penstock.knowledge.sources.base import Listing, SourceRules
from penstock.knowledge.sources.folder import FolderSource, list_folder, nothing_to_read
from penstock.knowledge.sources.patterns import literal_folder, matcher
from penstock.knowledge.sources.uploads import UploadsSource, write
from penstock.knowledge.values import Sources


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def paths(listing: Listing) -> list[str]:
    return [item.key for item in listing.items]


def test_readable_files_of_all_depths_are_found_and_hidden_ones_are_not(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b/c/d.txt", "README", "b/e.PDF", ".hidden.md", ".git/x.md", ".penstock/x.md")
    make(
        tmp_path,
        "node_modules/m/x.md",
        "__pycache__/x.txt",
        "~$a.docx",
        ".venv/x.txt",
        "env/x.txt",
        "env/pyvenv.cfg",
    )
    assert paths(list_folder(Sources(tmp_path))) == ["README", "a.md", "b/c/d.txt", "b/e.PDF"]


def test_what_cannot_be_read_is_named_with_its_reason(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b/photo.jpeg", "data")
    problems = {problem.path: problem for problem in list_folder(Sources(tmp_path)).problems}
    assert problems.keys() == {"b/photo.jpeg", "data"}
    assert problems["b/photo.jpeg"].status == "unsupported"
    assert problems["b/photo.jpeg"].reason.startswith("'.jpeg' files cannot be read. Save it as one of: text (.txt")


def test_patterns_match_names_however_their_accents_are_written(tmp_path: Path) -> None:
    apart, whole = "cafe\u0301", "caf\u00e9"
    make(tmp_path, f"{apart}/a.md", f"{apart}/{apart}.txt", "b.md")
    assert paths(list_folder(Sources(tmp_path, (f"{whole}/**/*",)))) == [f"{apart}/a.md", f"{apart}/{apart}.txt"]
    assert paths(list_folder(Sources(tmp_path, ("**/*",), (f"{whole}.txt",)))) == ["b.md", f"{apart}/a.md"]


def test_names_that_are_not_utf8_are_told_as_text(tmp_path: Path) -> None:
    for name in (b"caf\xe9.md", b"scan.\xe9"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("text")
    listing = list_folder(Sources(tmp_path))
    assert paths(listing) == ["caf\\xe9.md"]
    assert listing.items[0].location.endswith(b"/caf\xe9.md")
    [problem] = listing.problems
    assert problem.reason.startswith("'.\\xe9' files cannot be read.")
    msgspec.json.encode(problem)


@pytest.mark.parametrize(("error", "kept"), [(errno.ESTALE, True), (errno.EACCES, True), (errno.ENOENT, False)])
def test_a_link_to_what_cannot_be_reached_now_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, kept: bool
) -> None:
    make(tmp_path, "share/a.md", "docs/b.md")
    (tmp_path / "docs" / "share").symlink_to(tmp_path / "share")
    docs = tmp_path / "docs"
    assert paths(list_folder(Sources(docs))) == ["b.md", "share/a.md"]
    real = os.stat

    def stat(path: str, **options: Any) -> os.stat_result:
        if str(path) == str(docs / "share"):
            raise OSError(error, os.strerror(error))
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    listing = list_folder(Sources(docs))
    assert paths(listing) == ["b.md"]
    assert listing.gone(["b.md", "share/a.md"]) == (set() if kept else {"share/a.md"})


def test_patterns_choose_and_exclude(tmp_path: Path) -> None:
    make(tmp_path, "docs/a.md", "docs/drafts/b.md", "docs/sub/c.md", "docs/sub/d.txt", "other/e.md", "f.md")
    assert paths(list_folder(Sources(tmp_path, ("docs/**/*",)))) == [
        "docs/a.md",
        "docs/drafts/b.md",
        "docs/sub/c.md",
        "docs/sub/d.txt",
    ]
    assert paths(list_folder(Sources(tmp_path, ("docs/**/*.md",), ("drafts",)))) == ["docs/a.md", "docs/sub/c.md"]
    assert paths(list_folder(Sources(tmp_path, ("*.txt", "other/*.md")))) == ["docs/sub/d.txt", "other/e.md"]
    assert paths(list_folder(Sources(tmp_path, ("docs/*.md",)))) == ["docs/a.md"]


def test_a_suffix_that_is_asked_for_is_read_as_text(tmp_path: Path) -> None:
    make(tmp_path, "a.note", "b.note", "c.sheet")
    listing = list_folder(Sources(tmp_path, ("**/*.note",)))
    assert [(item.key, item.kind) for item in listing.items] == [("a.note", "text"), ("b.note", "text")]
    assert listing.problems == ()


def test_a_single_file_is_found_whatever_its_name(tmp_path: Path) -> None:
    make(tmp_path, "notes.xyz")
    [item] = list_folder(Sources(tmp_path / "notes.xyz")).items
    assert (item.key, item.kind) == ("notes.xyz", "text")


@pytest.mark.parametrize(
    "name", ["two words.md", 'it\'s "quoted".md', "港の規則.md", "новый\nстрока.md", "-rf *.md", "%d{x}.md"]
)
def test_names_of_all_kinds(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    [item] = list_folder(Sources(tmp_path)).items
    assert item.key == name
    assert Path(os.fsdecode(item.location)).read_text() == "text"


def test_a_name_that_is_no_text_is_shown_with_its_bytes(tmp_path: Path) -> None:
    location = os.fsencode(tmp_path) + b"/caf\xe9.md"
    try:
        Path(os.fsdecode(location)).write_text("text")
    except OSError:
        pytest.skip("this file system keeps only names that are UTF-8")
    [item] = list_folder(Sources(tmp_path)).items
    assert (item.key, item.location) == ("caf\\xe9.md", location)


def test_links_are_followed_but_nothing_is_found_twice(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    root = tmp_path / "root"
    make(outside, "o.md", "deep/p.md")
    make(root, "a.md", "sub/b.md")
    (root / "loop").symlink_to(root)
    (root / "sub" / "up").symlink_to("..")
    (root / "again.md").symlink_to(root / "a.md")
    (root / "linked").symlink_to(outside)
    (root / "linked2").symlink_to(outside)
    (root / "lonely.md").symlink_to(outside / "nothing.md")
    (outside / "back").symlink_to(root)
    assert paths(list_folder(Sources(root))) == ["a.md", "linked/deep/p.md", "linked/o.md", "sub/b.md"]


def test_a_mounted_configuration_is_found_through_its_links(tmp_path: Path) -> None:
    """Kubernetes mounts files as links to links into a hidden folder."""
    make(tmp_path, "..2026_01/rules.md")
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "rules.md").symlink_to("..data/rules.md")
    assert paths(list_folder(Sources(tmp_path))) == ["rules.md"]


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.md", "failing/b.md")
    scandir = os.scandir

    def failing(path: str) -> object:
        if str(path).endswith("failing"):
            raise OSError(errno.EIO, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    listing = list_folder(Sources(tmp_path))
    assert paths(listing) == ["a.md"]
    assert listing.unlisted == ("failing",)
    assert not listing.covers("failing/b.md")
    assert listing.covers("failing.md")
    assert listing.problems[0].reason.startswith("It could not be listed: Input/output error.")


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/nowhere cannot be read: No such file or directory\. Name a folder"):
        list_folder(Sources(tmp_path / "nowhere"))


def test_nothing_to_read_says_what_could_be(tmp_path: Path) -> None:
    empty = nothing_to_read(Sources(tmp_path), list_folder(Sources(tmp_path)))
    assert f"There are no documents in {tmp_path} (it is empty" in str(empty)
    make(tmp_path, "a.jpeg", "b.zip")
    useless = str(nothing_to_read(Sources(tmp_path), list_folder(Sources(tmp_path))))
    assert "Of the 2 files in it none can be read." in useless
    assert "reStructuredText (.rst), HTML, PDF, Word (.docx)" in useless


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("docs/**/*", ["docs/a", "docs/b/c"], ["docs", "a/docs/b", "docsx/a"]),
        ("**/x.md", ["x.md", "a/x.md", "a/b/x.md"], ["ax.md"]),
        ("*.md", ["x.md", "a/x.md"], ["x.mdx"]),
        ("./a?.[mt]d", ["ab.md", "ab.td"], ["a/.md", "ab.xd"]),
        ("[!a].md", ["b.md"], ["a.md"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a/c"]),
        ("drafts/", ["drafts/a", "x/drafts/a/b"], ["drafts"]),
        ("a+(b).md", ["a+(b).md"], ["aab.md"]),
        ("a/**/b/*.md", ["a/b/x.md", "a/c/d/b/x.md"], ["a/x.md"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    matches = matcher([pattern])
    assert [path for path in matching if not matches(path)] == []
    assert [path for path in others if matches(path)] == []


@given(st.text(alphabet="ab/*?[]!.\\^-\n", max_size=12), st.text(alphabet="ab/.\n", max_size=8))
def test_any_pattern_can_be_tried_on_any_path(pattern: str, path: str) -> None:
    assert matcher([pattern])(path) in (True, False)


@given(st.lists(st.text(alphabet="ab.+\n(", min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_pattern_without_wildcards_matches_itself(names: list[str]) -> None:
    path = "/".join(names)
    if not path.startswith("./"):
        assert matcher([path])(path)
        assert path.startswith(literal_folder(path))


async def test_a_root_that_cannot_be_listed_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.md", "b/c.md")
    source = FolderSource(Sources(tmp_path))
    known = [item.key for item in (await source.list(b"")).items]

    def failing(path: str) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", failing)
    listing = await source.list(b"")
    assert listing.items == () and listing.gone(known) == frozenset()
    assert [problem.reason for problem in listing.problems] == [
        "It could not be listed: Permission denied. What was taken in from it before is kept."
    ]


async def test_a_folder_that_cannot_be_entered_keeps_what_is_known_of_it_and_deleted_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.md", "b.md", "closed/c.md", "closed/deep/d.md")
    source = FolderSource(Sources(tmp_path))
    known = [item.key for item in (await source.list(b"")).items]
    (tmp_path / "b.md").unlink()
    scandir = os.scandir

    def failing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert (await source.list(b"")).gone(known) == {"b.md"}


async def test_a_version_is_trusted_only_once_the_file_has_settled(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    written_us = (tmp_path / "a.md").stat().st_mtime_ns // 1000
    clock = ManualClock(written_us + 1_000_000)
    source = FolderSource(Sources(tmp_path), clock=clock)
    [item] = (await source.list(b"")).items
    assert item.version == ""
    clock.advance(2)
    [item] = (await source.list(b"")).items
    status = (tmp_path / "a.md").stat()
    assert item.version == f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
    assert await source.fetch(item, tmp_path) == tmp_path / "a.md"


async def test_what_the_source_says_of_all_documents_is_on_each(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    rules = SourceRules(metadata={"team": "hr"}, readers=("group:hr",), max_delete=0.5)
    source = FolderSource(Sources(tmp_path), rules)
    [item] = (await source.list(b"")).items
    assert (item.metadata, item.readers, source.max_delete) == ({"team": "hr"}, ("group:hr",), 0.5)


async def test_there_may_be_no_uploads_yet(tmp_path: Path) -> None:
    source = UploadsSource(tmp_path / "uploads")
    assert await source.list(b"") == Listing(items=())
    write(tmp_path / "uploads", "a.md", b"text")
    [item] = (await source.list(b"")).items
    assert (item.key, (await source.fetch(item, tmp_path)).read_bytes()) == ("a.md", b"text")
