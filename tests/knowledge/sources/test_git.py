"""Git repositories: the newest commit whole or nothing, and nothing of a repository is run."""

import subprocess
from pathlib import Path

import pytest

from penstock.errors import BodyTooLarge, NotFound, Unavailable, UpstreamFailed
from penstock.knowledge.sources.base import SourceRules
from penstock.knowledge.sources.git import MOST_PACKS, GitOptions, GitSource, Repository, environment, packs

RULES = SourceRules(metadata={"team": "hr"}, readers=("group:hr",))
WHO = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")


class Origin:
    """A repository to fetch from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main", ".")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *WHO, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, **files: str | None) -> str:
        """Writes or deletes files (`__` is a slash, and names end in `.md`)."""
        for name, text in files.items():
            path = self.folder / f"{name.replace('__', '/')}.md"
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


def source_of(origin: Origin, tmp_path: Path, branch: str = "", **options: object) -> GitSource:
    repository = Repository(address=str(origin.folder), branch=branch)
    return GitSource("handbook", repository, GitOptions(**options), RULES, tmp_path / "data")  # type: ignore[arg-type]


async def test_files_of_the_newest_commit_with_versions_by_content(origin: Origin, tmp_path: Path) -> None:
    commit = origin.commit(a="one", docs__b="two", docs__c="three")
    source = source_of(origin, tmp_path, link="https://example.com/blob/main/{key}")
    first = await source.list(b"")
    assert [item.key for item in first.items] == ["a.md", "docs/b.md", "docs/c.md"]
    assert first.cursor.decode() == commit
    item = first.items[1]
    assert (item.kind, item.size, item.url) == ("markdown", 3, "https://example.com/blob/main/docs/b.md")
    assert (item.metadata, item.readers) == ({"team": "hr"}, ("group:hr",))
    assert [(await source.fetch(item, tmp_path)).read_text() for item in first.items] == ["one", "two", "three"]
    origin.commit(a="changed", docs__b=None, new="four")
    origin.git("mv", "docs/c.md", "docs/renamed.md")
    origin.commit()
    second = await source.list(first.cursor)
    versions = {item.key: item.version for item in first.items}
    assert {item.key: item.version == versions.get(item.key) for item in second.items} == {
        "a.md": False,
        "docs/renamed.md": False,
        "new.md": False,
    }
    assert second.items[1].version == versions["docs/c.md"], "its content is what it was"
    assert second.gone(versions) == {"docs/b.md", "docs/c.md"}
    assert (await source.fetch(second.items[0], tmp_path)).read_text() == "changed"
    await source.close()


async def test_a_history_that_was_written_anew_is_no_trouble(origin: Origin, tmp_path: Path) -> None:
    origin.commit(a="one")
    origin.commit(b="two")
    source = source_of(origin, tmp_path)
    await source.list(b"")
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    origin.commit(c="three")
    assert [item.key for item in (await source.list(b"")).items] == ["a.md", "c.md"]


async def test_a_fetch_that_fails_raises_and_says_why(origin: Origin, tmp_path: Path) -> None:
    origin.commit(a="one")
    source = source_of(origin, tmp_path)
    await source.list(b"")
    origin.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(UpstreamFailed, match=r"git\.handbook: .*/origin cannot be fetched: .*What was taken in"):
        await source.list(b"")
    (tmp_path / "elsewhere").rename(origin.folder)
    with pytest.raises(UpstreamFailed, match="couldn't find remote ref nowhere"):
        await source_of(origin, tmp_path, branch="nowhere").list(b"")
    web = GitSource(
        "web", Repository(address="https://127.0.0.1:9/a.git", token="t0ken"), GitOptions(), RULES, tmp_path
    )
    with pytest.raises(UpstreamFailed, match=r"https://127\.0\.0\.1:9/a\.git cannot be fetched") as caught:
        await web.list(b"")
    assert "t0ken" not in str(caught.value)


async def test_branches_and_tags_and_patterns(origin: Origin, tmp_path: Path) -> None:
    origin.commit(a="one", docs__b="two", docs__drafts__c="three")
    origin.git("tag", "v1")
    origin.git("checkout", "--quiet", "-b", "next")
    origin.commit(docs__d="four")
    origin.git("checkout", "--quiet", "main")
    options = {"include": ("docs/**",), "exclude": ("drafts/",)}
    for branch, keys in (("", ["docs/b.md"]), ("v1", ["docs/b.md"]), ("next", ["docs/b.md", "docs/d.md"])):
        source = source_of(origin, tmp_path, branch=branch, **options)
        assert [item.key for item in (await source.list(b"")).items] == keys


async def test_what_is_no_document(origin: Origin, tmp_path: Path) -> None:
    (origin.folder / "link.md").symlink_to("/etc/passwd")
    (origin.folder / ".github").mkdir()
    (origin.folder / ".github" / "x.md").write_text("x")
    (origin.folder / "photo.jpeg").write_text("x")
    origin.commit(a="one")
    listing = await source_of(origin, tmp_path).list(b"")
    assert [item.key for item in listing.items] == ["a.md"]
    assert [(problem.path, problem.status) for problem in listing.problems] == [("photo.jpeg", "unsupported")]


async def test_names_of_all_kinds(origin: Origin, tmp_path: Path) -> None:
    names = ["two words.md", 'it\'s "quoted".md', "港の規則.md", "новый\nстрока.md", "-rf *.md", "tab\there.md"]
    for name in names:
        (origin.folder / name).write_text(name)
    origin.commit()
    source = source_of(origin, tmp_path)
    listing = await source.list(b"")
    assert {item.key for item in listing.items} == set(names)
    for item in listing.items:
        assert (await source.fetch(item, tmp_path)).read_text() == item.key
    await source.close()


async def test_hooks_and_filters_of_a_repository_do_not_run(origin: Origin, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = f"#!/bin/sh\ntouch {ran}\n"
    for hook in ("post-checkout", "reference-transaction", "post-merge", "pre-auto-gc"):
        path = origin.folder / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    (origin.folder / ".gitattributes").write_text("*.md filter=evil\n")
    origin.git("config", "filter.evil.smudge", f"touch {ran}")
    origin.commit(a="one")
    ran.unlink(missing_ok=True)
    source = source_of(origin, tmp_path)
    own = tmp_path / "data" / "git.handbook.git" / "hooks"
    [item] = (await source.list(b"")).items
    own.mkdir(exist_ok=True)
    for hook in ("reference-transaction", "post-checkout"):
        (own / hook).write_text(script)
        (own / hook).chmod(0o755)
    await source.list(b"")
    await source.fetch(item, tmp_path)
    assert not ran.exists()
    await source.close()


async def test_large_files_pointers_and_what_is_gone(origin: Origin, tmp_path: Path) -> None:
    origin.commit(big="x" * 300, pointer="version https://git-lfs.github.com/spec/v1\noid sha256:1\n", small="x")
    source = source_of(origin, tmp_path, max_bytes=200)
    big, pointer, small = (await source.list(b"")).items
    with pytest.raises(BodyTooLarge, match=r"big\.md has more than"):
        await source.fetch(big, tmp_path)
    with pytest.raises(Unavailable, match=r"pointer\.md is kept in Git LFS"):
        await source.fetch(pointer, tmp_path)
    gone = type(small)(key="gone.md", version="", kind="markdown", location=b"0" * 40)
    with pytest.raises(NotFound, match=r"gone\.md is no longer in the repository"):
        await source.fetch(gone, tmp_path)
    assert (await source.fetch(small, tmp_path)).read_text() == "x", "the process goes on"
    await source.close()


def test_git_gets_no_variables_that_it_is_not_meant_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    assert {"OPENAI_API_KEY", "GIT_DIR"} & environment("").keys() == set()
    assert environment("Authorization: Basic x")["GIT_CONFIG_VALUE_0"] == "Authorization: Basic x"


def test_a_token_is_not_shown() -> None:
    assert "t0ken" not in repr(Repository(address="https://example.com/a.git", token="t0ken"))


async def test_a_history_that_was_rewritten_is_followed_and_what_is_old_does_not_pile_up(
    origin: Origin, tmp_path: Path
) -> None:
    origin.commit(a="0", b="kept")
    source = source_of(origin, tmp_path)
    first = await source.list(b"")
    listing = first
    for number in range(1, MOST_PACKS + 1):
        (origin.folder / "a.md").write_text(str(number))
        origin.git("commit", "--quiet", "--all", "--amend", "--message=x")
        listing = await source.list(listing.cursor)
    found = {item.key: item for item in listing.items}
    assert (await source.fetch(found["a.md"], tmp_path)).read_text() == str(MOST_PACKS)
    assert (await source.fetch(found["b.md"], tmp_path)).read_text() == "kept"
    assert packs(tmp_path / "data" / "git.handbook.git") == 1
    with pytest.raises(NotFound):
        await source.fetch(first.items[0], tmp_path)
    await source.close()
