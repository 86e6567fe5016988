"""The server's certificate: read with messages that say what is wrong, and read again when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from pathlib import Path

from msgspec import Struct

from penstock.errors import ConfigError

LOOK_SECONDS = 10.0
SOON_DAYS = 14.0
DAY = 86_400.0

logger = logging.getLogger(__name__)


class CertificateFiles(Struct, frozen=True, kw_only=True):
    """Where the certificate with its chain, its key, and the authorities of clients are, all in PEM form."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.client_ca) if path is not None]


class Certificates:
    """`context` is what the server listens with. A renewed certificate counts from the next connection on."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises `ConfigError` for files that cannot be used."""
        self.files = files
        self._seen = stamps(files)
        self.context = read(files)
        warn_of_end(files)

    def renew(self) -> bool:
        """Reads files that have changed; whether they are used. What is wrong is logged, and the old goes on."""
        now = stamps(self.files)
        if now == self._seen:
            return False
        self._seen = now
        try:
            read(self.files)  # a context keeps half of a pair that does not match, so another is tried first
            load(self.context, self.files)
            warn_of_end(self.files)
        except ConfigError as error:
            logger.error("the renewed certificate is not used, and the old one goes on: %s", error)
            return False
        logger.info("the certificate was read again from %s", self.files.certificate)
        return True

    async def follow(self) -> None:
        """Keeps up with the files until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.renew()


def stamps(files: CertificateFiles) -> tuple[object, ...]:
    """What changes when a file is written anew, or replaced, also behind a link."""
    found: list[object] = []
    for path in files.all:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def read(files: CertificateFiles) -> ssl.SSLContext:
    """Raises `ConfigError` that names the file and what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load(context, files)
    return context


def load(context: ssl.SSLContext, files: CertificateFiles) -> None:
    for path in files.all:
        refuse_unreadable(path)
    try:
        # Without a function for it, OpenSSL would ask the terminal for the password of an encrypted key.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except ssl.SSLError as error:
        raise wrong_pair(files, error) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
            # The commands on this machine show the server's own certificate.
            context.load_verify_locations(files.certificate)
        except ssl.SSLError:
            raise ConfigError(
                f"server.tls.client_ca: {files.client_ca} holds no certificate.",
                hint="It is a text file with '-----BEGIN CERTIFICATE-----' in it.",
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def refuse_unreadable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(
            f"server.tls: {path} cannot be read: {error.strerror}.",
            hint="Paths are relative to the app folder; the user that runs Penstock must be able to read the file.",
        ) from None


def wrong_pair(files: CertificateFiles, error: ssl.SSLError) -> ConfigError:
    if error.reason == "KEY_VALUES_MISMATCH":
        return ConfigError(
            f"server.tls: the key in {files.key} is not that of the certificate in {files.certificate}.",
            hint="The certificate of the server itself comes first in its file, then those that signed it.",
        )
    encrypted = b"ENCRYPTED" in files.key.read_bytes()
    if encrypted:
        return ConfigError(
            f"server.tls.key: {files.key} is encrypted.",
            hint="Take the password off: openssl pkey -in KEY -out NEW. Then let only this user read it.",
        )
    whole = b"-----BEGIN CERTIFICATE-----" in files.certificate.read_bytes()
    which, path = ("key", files.key) if whole else ("certificate", files.certificate)
    return ConfigError(
        f"server.tls.{which}: {path} cannot be used ({error.reason or 'it is not in PEM form'}).",
        hint="PEM files are text, with a line such as '-----BEGIN CERTIFICATE-----'.",
    )


def warn_of_end(files: CertificateFiles) -> None:
    end = ends_at(files)
    if end is None:
        logger.warning("the certificate in %s has expired, or does not hold yet", files.certificate)
        return
    left = (end - time.time()) / DAY
    if left < SOON_DAYS:
        logger.warning("the certificate in %s expires in %.0f days", files.certificate, left)


def ends_at(files: CertificateFiles) -> float | None:
    """When the certificate expires, in seconds since 1970; `None` for one that has, or that does not hold yet.

    The standard library tells that of a peer only, so the server shows it to itself.
    """
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(files.certificate, files.key)
    asking = pinned(files.certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = asking.wrap_bio(back, there), shown.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                return None
    peer = client.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(peer["notAfter"])))


def pinned(certificate: Path) -> ssl.SSLContext:
    """A client's context that takes this certificate and no other, whatever the name in it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context
