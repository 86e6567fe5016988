"""Signed requests, held against the vectors of AWS's published test suite for Signature Version 4."""

import pytest

from penstock.models.dialects.base import Headers
from penstock.models.providers.signing import Credentials, Scope, Signature

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AT = 1_440_938_160.0
"""2015-08-30T12:36:00Z."""

FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)


def signature(service: str = "service", host: str = "example.amazonaws.com", token: str = "") -> Signature:
    credentials = Credentials("AKIDEXAMPLE", SECRET, token)
    return Signature(credentials, Scope("us-east-1", service), f"https://{host}", now=lambda: AT)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "expected"),
    [
        ("GET", "/", (), b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", (), b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            (),
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            "/",
            FORM,
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case", "post-x-www-form-urlencoded"],
)
def test_published_vectors(method: str, path: str, headers: Headers, body: bytes, expected: str) -> None:
    name, value = signature().signed(method, path, headers, body)[-1]
    assert name == "Authorization"
    assert value.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ")
    assert value.endswith(f"Signature={expected}")


def test_a_model_whose_name_is_percent_encoded_and_a_session() -> None:
    """What botocore signs for the same request: paths are encoded twice, and the token is signed, too."""
    path = "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
    signer = signature("bedrock", "bedrock-runtime.us-east-1.amazonaws.com", token="TOKEN")
    headers = dict(signer.sign(path, b'{"messages":[]}'))
    assert headers["X-Amz-Security-Token"] == "TOKEN"
    assert headers["X-Amz-Date"] == "20150830T123600Z"
    assert headers["Authorization"].endswith(
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
        "Signature=348e94ce708a99558984127432ab69a73da41f7b154a4051ce4c8080f03e2df0"
    )


def test_the_key_of_another_day_is_another() -> None:
    now = [AT]
    credentials = Credentials("AKIDEXAMPLE", SECRET)
    signer = Signature(credentials, Scope("us-east-1", "service"), "https://example.amazonaws.com", lambda: now[0])
    first = dict(signer.sign("/", b""))
    now[0] += 86_400
    second = dict(signer.sign("/", b""))
    assert "20150831" in second["Authorization"]
    now[0] = AT
    assert dict(signer.sign("/", b"")) == first != second


def test_secrets_are_not_shown() -> None:
    credentials = Credentials("AKIDEXAMPLE", SECRET, "TOKEN")
    assert SECRET not in repr(credentials)
    assert "TOKEN" not in repr(credentials)
