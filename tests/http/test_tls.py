"""https with real certificates: answers, streams, clients that leave, renewals, and what is wrong with files."""

import asyncio
import datetime
import logging
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import trustme
from support.keyed_site import KeyedSite, keyed_site

from penstock.client import Server, own_certificate
from penstock.console.routes import routes as console_routes
from penstock.errors import ConfigError, Unavailable
from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build
from penstock.http.tls import CertificateFiles, Certificates
from penstock.storage.lock import RunningServer

NOW = datetime.datetime.now(datetime.UTC)


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.files = CertificateFiles(certificate=folder / "server.pem", key=folder / "server.key")

    def issue(self, days: float = 90, name: str = "localhost") -> CertificateFiles:
        made = self.ca.issue_cert(
            "127.0.0.1",
            name,
            not_before=NOW - datetime.timedelta(days=100),
            not_after=NOW + datetime.timedelta(days=days),
        )
        for number, each in enumerate(made.cert_chain_pems):
            each.write_to_path(self.files.certificate, append=number > 0)
        made.private_key_pem.write_to_path(self.files.key)
        return self.files

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class TlsSite:
    def __init__(self, site: KeyedSite, certificates: Certificates) -> None:
        self.site, self.certificates = site, certificates
        address = ServerAddress(port=0, tls=certificates, drain_seconds=1)
        self.server = HttpServer(build(site.services, console_routes()), address)


@pytest_asyncio.fixture
async def it(tmp_path: Path, authority: Authority) -> AsyncIterator[TlsSite]:
    async with keyed_site(tmp_path / "site") as site:
        found = TlsSite(site, Certificates(authority.issue()))
        await found.server.start()
        yield found
        await asyncio.wait_for(found.server.stop(), 30)


async def test_whole_answers_streams_and_cookies(it: TlsSite, authority: Authority) -> None:
    assert it.server.url.startswith("https://127.0.0.1:")
    key = await it.site.secret("ada")
    body = {"model": "plant", "messages": [{"role": "user", "content": "How is the gate closed?"}]}
    connector = aiohttp.TCPConnector(ssl=authority.client())
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(it.server.url, connector=connector, headers=headers) as session:
        for _ in range(2):
            async with session.post("/v1/chat/completions", json=body) as answer:
                assert answer.status == 200 and (await answer.json())["choices"]
        async with session.post("/v1/chat/completions", json=body | {"stream": True}) as answer:
            assert (await answer.text()).rstrip().endswith("[DONE]")
        form = {"key": key, "to": "/traces"}
        own = {"origin": it.server.url, "authorization": ""}
        async with session.post("/signin", data=form, headers=own, allow_redirects=False) as answer:
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("__Host-penstock_session=") and "Secure" in cookie


async def test_a_client_that_leaves_ends_its_answer(it: TlsSite, authority: Authority) -> None:
    key = await it.site.secret("ada")
    port = it.server.port
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=authority.client(), server_hostname="localhost"
    )
    body = b'{"model":"plant","stream":true,"messages":[{"role":"user","content":"wait: how is the gate closed?"}]}'
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (key.encode(), len(body), body)
    )
    await reader.readuntil(b"data:")
    running = it.server.app.state.running
    assert len(running) == 1
    writer.transport.abort()

    async def ended() -> None:
        while len(running):  # noqa: ASYNC110 -- nothing tells when the last has ended
            await asyncio.sleep(0.01)

    await asyncio.wait_for(ended(), 10)


async def test_plain_http_and_old_tls_are_refused(it: TlsSite, authority: Authority) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://127.0.0.1:{it.server.port}/health/live")
    old = authority.client()
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", it.server.port, ssl=old)


async def test_commands_on_this_machine_trust_this_certificate_alone(
    it: TlsSite, tmp_path: Path, authority: Authority
) -> None:
    files = authority.files
    token = it.site.access.keys.owner_token()
    running = RunningServer(1, it.server.url, token, str(files.certificate), str(files.key))
    assert (await asyncio.to_thread(Server.of(running).get, "/api/v1/whoami"))["role"] == "owner"
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").issue()
    elsewhere = RunningServer(1, it.server.url, token, str(other.certificate), str(other.key))
    with pytest.raises(Unavailable, match="does not answer"):
        await asyncio.to_thread(Server.of(elsewhere).get, "/api/v1/whoami")
    with pytest.raises(Unavailable, match="cannot be read"):
        own_certificate(RunningServer(1, it.server.url, token, "/nowhere.pem", "/nowhere.key"))


async def shown(it: TlsSite) -> int:
    """The serial number of what a new connection is shown."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", it.server.port))
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem.encode()).serial_number


async def test_a_renewed_certificate_is_shown_without_a_restart(
    it: TlsSite, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    first = await shown(it)
    assert not it.certificates.renew()
    authority.issue()
    assert it.certificates.renew()
    second = await shown(it)
    assert second != first
    # A certificate whose key has not come yet is not used, and the old pair stays whole.
    key = authority.files.key.read_bytes()
    authority.issue()
    new_key = authority.files.key.read_bytes()
    authority.files.key.write_bytes(key)
    assert not it.certificates.renew()
    assert "the old one goes on: server.tls: the key in" in caplog.text
    assert await shown(it) == second
    authority.files.key.write_bytes(new_key)
    assert it.certificates.renew()
    assert await shown(it) not in (first, second)


async def test_clients_show_a_certificate_where_they_must(tmp_path: Path, authority: Authority) -> None:
    clients = trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    files = authority.issue()
    wanting = CertificateFiles(certificate=files.certificate, key=files.key, client_ca=tmp_path / "clients.pem")
    async with keyed_site(tmp_path / "site") as site:
        it = TlsSite(site, Certificates(wanting))
        await it.server.start()
        try:
            known, unknown = authority.client(), authority.client()
            clients.issue_cert("ada@example.com").configure_cert(known)
            trustme.CA().issue_cert("eve@example.com").configure_cert(unknown)
            async with aiohttp.ClientSession(it.server.url) as session:
                async with session.get("/health/live", ssl=known) as answer:
                    assert answer.status == 200
                for context in (authority.client(), unknown):
                    with pytest.raises(aiohttp.ClientError):
                        await session.get("/health/live", ssl=context)
            running = RunningServer(1, it.server.url, "", str(files.certificate), str(files.key))
            assert await asyncio.to_thread(Server.of(running).get, "/health/live")
        finally:
            await it.server.stop()


def test_what_is_wrong_with_the_files_is_said(tmp_path: Path, authority: Authority) -> None:
    files = authority.issue()
    whole_key, whole = files.key.read_bytes(), files.certificate.read_bytes()

    def problem(client_ca: Path | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            Certificates(CertificateFiles(certificate=files.certificate, key=files.key, client_ca=client_ca))
        return str(caught.value)

    files.key.unlink()
    assert f"{files.key} cannot be read: No such file or directory" in problem()
    authority.issue()
    files.certificate.write_bytes(whole)
    assert "is not that of the certificate in" in problem()
    files.key.write_bytes(b"nothing")
    assert f"server.tls.key: {files.key} cannot be used" in problem()
    files.key.write_bytes(whole_key)
    files.certificate.write_bytes(b"nothing")
    assert f"server.tls.certificate: {files.certificate} cannot be used" in problem()
    files.certificate.write_bytes(whole)
    (tmp_path / "ca.pem").write_text("nothing")
    assert "holds no certificate" in problem(tmp_path / "ca.pem")
    from cryptography.hazmat.primitives import serialization as form

    loaded = form.load_pem_private_key(whole_key, None)
    locked = loaded.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"pass")
    )
    files.key.write_bytes(locked)
    assert "is encrypted" in problem()
    if os.getuid():
        files.key.chmod(0)
        assert "Permission denied" in problem()


@pytest.mark.parametrize(
    ("days", "said"), [(-1, "has expired, or does not hold yet"), (5.5, "expires in 5 days"), (60, "")]
)
def test_the_end_of_a_certificate_is_warned_of(
    authority: Authority, days: float, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Certificates(authority.issue(days))
    assert said in caplog.text and bool(said) == bool(caplog.text)
