"""`[server.tls]`: the certificate that the server shows."""

from __future__ import annotations

from pydantic import Field

from penstock.config.table import Table


class TlsSettings(Table):
    """Serves https alone, with TLS 1.2 or newer. Files that were renewed are taken up within ten seconds."""

    certificate: str = Field(
        min_length=1,
        description="File with the certificate and the chain below it, in PEM form, relative to the app folder.",
    )
    key: str = Field(min_length=1, description="File with its private key, in PEM form, without a password.")
    client_ca: str | None = Field(
        None,
        min_length=1,
        description="File with the authorities of clients, in PEM form: then only clients with a certificate of "
        "theirs are answered, and need their key all the same.",
    )
