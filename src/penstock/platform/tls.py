"""The certificate that an app's server shows."""

from __future__ import annotations

from pathlib import Path

from penstock.config import AppFolder
from penstock.http.tls import CertificateFiles, Certificates


def certificates(folder: AppFolder) -> Certificates | None:
    """`None` for a server without TLS. Raises `ConfigError` for files that cannot be used."""
    tls = folder.settings.server.tls
    if tls is None:
        return None
    files = CertificateFiles(
        certificate=path_of(folder, tls.certificate),
        key=path_of(folder, tls.key),
        client_ca=None if tls.client_ca is None else path_of(folder, tls.client_ca),
    )
    return Certificates(files)


def certificate_of(folder: AppFolder) -> tuple[str, str]:
    """The files of the certificate and its key, for commands on this machine; empty without TLS."""
    tls = folder.settings.server.tls
    return ("", "") if tls is None else (str(path_of(folder, tls.certificate)), str(path_of(folder, tls.key)))


def path_of(folder: AppFolder, path: str) -> Path:
    return folder.root / Path(path).expanduser()
