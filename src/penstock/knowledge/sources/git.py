"""Files of a Git repository, at the newest commit of a branch.

Fetched shallow into a bare repository of our own, so that nothing is checked out and nothing of the repository
runs: no hooks, no filters, no configuration of this machine, no questions. A file's version is the hash that Git
gives its content, so each listing is whole and costs no reading.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import tempfile
from pathlib import Path

from msgspec import Struct

from penstock.errors import BodyTooLarge, ConfigError, NotFound, PenstockError, Unavailable, UpstreamFailed
from penstock.knowledge.loaders.kinds import kind_of
from penstock.knowledge.sources.base import Item, Listing, SourceRules, linked, shown, unsupported
from penstock.knowledge.sources.patterns import Choice
from penstock.knowledge.values import FileProblem

SECONDS = 900.0
"""The longest time that one call of git may take."""
OPTIONS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.helper=",
    "protocol.ext.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.unpackLimit=1",
    "fetch.recurseSubmodules=false",
    "transfer.bundleURI=false",
)
MOST_PACKS = 10
"""Each fetch of something new leaves one; with more, what no longer belongs to the newest commit is thrown away."""
SSH = "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=20"
KEPT = frozenset(("PATH", "HOME", "USER", "LANG", "SSH_AUTH_SOCK", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"))
"""Variables that git gets of ours."""
POINTER = b"version https://git-lfs.github.com/spec/v1\n"
FILE_MODES = ("100644", "100755")


class Repository(Struct, frozen=True, kw_only=True):
    """What to fetch: an address or a path on this machine. `branch` is "" for that which the repository calls its
    own."""

    address: str
    branch: str = ""
    username: str = "git"
    token: str = ""

    def __repr__(self) -> str:
        return f"Repository({self.address!r}, {self.branch!r})"


class GitOptions(Struct, frozen=True, kw_only=True):
    """Which files are taken, where people open one (an address with `{key}`), and its most bytes."""

    include: tuple[str, ...] = ("**/*",)
    exclude: tuple[str, ...] = ()
    link: str = ""
    max_bytes: int = 50_000_000


class GitSource:
    """Files by their paths; versions are the hashes of their contents."""

    def __init__(
        self, name: str, repository: Repository, options: GitOptions, rules: SourceRules, workspace: Path
    ) -> None:
        """What was fetched stays in a folder of `workspace`, so that the next run fetches only what is new."""
        self.name = f"git.{name}"
        self._repository = repository
        self._options = options
        self._rules = rules
        self._choice = Choice(options.include, options.exclude)
        self._folder = workspace / f"{self.name}.git"
        self._blobs: Blobs | None = None

    @property
    def max_delete(self) -> float:
        return self._rules.max_delete

    async def list(self, cursor: bytes) -> Listing:
        """Every file of the newest commit, which is the cursor. Raises `UpstreamFailed` where it cannot be had."""
        await self.close()
        if not (self._folder / "HEAD").exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            await self._git("init", "--quiet", "--bare", ".")
        ref = self._repository.branch or "HEAD"
        await self._git(
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--force",
            "--end-of-options",
            self._repository.address,
            ref,
        )
        commit = (await self._git("rev-parse", "FETCH_HEAD^{commit}")).strip()
        await self._git("update-ref", "refs/heads/taken", commit.decode())
        if await asyncio.to_thread(packs, self._folder) > MOST_PACKS:
            await self._git("gc", "--quiet", "--prune=now")
        tree = await self._git("ls-tree", "-r", "-z", "-l", "--full-tree", commit.decode())
        items: list[Item] = []
        problems: list[FileProblem] = []
        for line in filter(None, tree.split(b"\0")):
            found = self._item(line)
            if isinstance(found, Item):
                items.append(found)
            elif found is not None:
                problems.append(found)
        return Listing(items=tuple(items), problems=tuple(problems), cursor=commit)

    async def fetch(self, item: Item, folder: Path) -> Path:
        if item.size is not None and item.size > self._options.max_bytes:
            raise BodyTooLarge(
                f"{item.key} has more than {self._options.max_bytes / 1e6:,.0f} MB.",
                hint="Split it, or raise max_file_mb.",
            )
        if self._blobs is None:
            self._blobs = await Blobs.open(self._folder, environment(""))
        data = await self._blobs.read(item.location)
        if data is None:
            raise NotFound(f"{item.key} is no longer in the repository of {self.name}.")
        if data.startswith(POINTER):
            raise Unavailable(
                f"{item.key} is kept in Git LFS, which is not fetched.", hint="Leave it out with exclude."
            )
        return await asyncio.to_thread(write, folder, data)

    async def close(self) -> None:
        if self._blobs is not None:
            await self._blobs.close()
            self._blobs = None

    def _item(self, line: bytes) -> Item | FileProblem | None:
        """What a line of `ls-tree` is to a run; `None` for what is not meant to be a document."""
        head, _, raw = line.partition(b"\t")
        mode, _, blob, size = head.decode().split()
        path = shown(os.fsdecode(raw))
        parts = path.split("/")
        hidden = any(part.startswith(".") for part in parts) or parts[-1].startswith("~$")
        if mode not in FILE_MODES or hidden or not self._choice.takes(path):
            return None
        kind = kind_of(parts[-1])
        if kind is None:
            return unsupported(path)
        return Item(
            key=path,
            version=blob,
            kind=kind,
            location=blob.encode(),
            metadata=self._rules.metadata,
            readers=self._rules.readers,
            url=linked(self._options.link, path),
            size=int(size),
        )

    async def _git(self, *arguments: str) -> bytes:
        """What a command says. Raises `UpstreamFailed` with git's own words, or `ConfigError` without git."""
        options = [part for option in OPTIONS for part in ("-c", option)]
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *options,
                *arguments,
                cwd=self._folder,
                env=environment(self._authorization()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise ConfigError("git is not installed.", hint="Install it, such as by `apt install git`.") from None
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        except BaseException as error:
            await stop(process)
            if isinstance(error, TimeoutError):
                raise self._failed(f"git {arguments[0]} took more than {SECONDS / 60:.0f} minutes") from None
            raise
        if process.returncode:
            raise self._failed(said(err))
        return out

    def _authorization(self) -> str:
        repository = self._repository
        if not repository.token:
            return ""
        both = f"{repository.username}:{repository.token}".encode()
        return f"Authorization: Basic {base64.b64encode(both).decode()}"

    def _failed(self, reason: str) -> PenstockError:
        return UpstreamFailed(
            f"{self.name}: {self._repository.address} cannot be fetched: {reason}.",
            hint="What was taken in before is kept. Try `git ls-remote` with the address.",
        )


class Blobs:
    """`git cat-file --batch`: contents by their hashes, from one process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, folder: Path, variables: dict[str, str]) -> Blobs:
        process = await asyncio.create_subprocess_exec(
            "git",
            "cat-file",
            "--batch",
            cwd=folder,
            env=variables,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls(process)

    async def read(self, blob: bytes) -> bytes | None:
        """The content, `None` where there is no such thing. Raises `Unavailable` where git ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        async with self._turn:
            try:
                stdin.write(blob + b"\n")
                await stdin.drain()
                head = (await stdout.readline()).split()
                if len(head) != 3:
                    if head[-1:] == [b"missing"]:
                        return None
                    raise ConnectionError
                data = await stdout.readexactly(int(head[2]) + 1)
            except (OSError, asyncio.IncompleteReadError):
                raise Unavailable("git ended while a file was read.") from None
        return data[:-1]

    async def close(self) -> None:
        await stop(self._process)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ends a process of ours and waits for it."""
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            pass
    await process.wait()


def packs(folder: Path) -> int:
    return len(list((folder / "objects" / "pack").glob("*.pack")))


def environment(authorization: str) -> dict[str, str]:
    """What git is told beside its arguments, which others on this machine could read."""
    variables = {name: value for name, value in os.environ.items() if name in KEPT}
    variables |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
        "GIT_SSH_COMMAND": SSH,
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C.UTF-8",
    }
    if authorization:
        variables |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": authorization,
        }
    return variables


def said(stderr: bytes) -> str:
    """The line of git's words that says what is wrong."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    line = next((line for line in lines if line.startswith("fatal:")), lines[-1] if lines else "git failed")
    return re.sub(r"^(fatal|error): ", "", line)[:300].rstrip(".")


def write(folder: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix="blob-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Path(name)
