"""Verifying ID tokens: compact form only, and for each key the one algorithm that its own type has.

What the token's header says about keys and addresses (`jku`, `x5u`, `jwk`) is not looked at, and its `alg` only
has to agree with the key's: so neither `none` nor an HMAC with a public key as its secret is ever tried.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import jwt
from msgspec import Struct

from penstock.errors import Unauthenticated

ALGORITHMS = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""By the type and the curve of a key."""

LEEWAY = 60.0
"""Seconds that clocks may differ by."""
SMALLEST_RSA = 2048
LONGEST_TOKEN = 32_768


class Expected(Struct, frozen=True):
    """Whose token it must be: by whom, for whom, and for which attempt to sign in."""

    issuer: str
    client_id: str
    nonce: str


class VerifyingKey(Struct, frozen=True):
    """A public key of the issuer and the algorithm that it is for."""

    kid: str
    algorithm: str
    key: Any


def read_keys(document: Mapping[str, Any]) -> tuple[VerifyingKey, ...]:
    """The keys of a JWKS that may sign; what is for something else, or of a type not used here, is left out."""
    found = []
    listed = document.get("keys")
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        algorithm = ALGORITHMS.get((each.get("kty", ""), each.get("crv", "")))
        if algorithm is None or each.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(each, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if algorithm == "RS256" and key.key_size < SMALLEST_RSA:
            continue
        found.append(VerifyingKey(str(each.get("kid", "")), algorithm, key))
    return tuple(found)


def key_id(token: str) -> str:
    """The `kid` of a token, "" for none. Raises `Unauthenticated` for what is no signed compact token."""
    if token.count(".") != 2 or len(token) > LONGEST_TOKEN:
        raise refused("it is no signed token")
    try:
        kid = jwt.get_unverified_header(token).get("kid", "")
    except jwt.PyJWTError:
        raise refused("it is no signed token") from None
    return str(kid)


def find(keys: tuple[VerifyingKey, ...], kid: str) -> VerifyingKey | None:
    """The key that a token names; the only one there is where it names none."""
    if not kid:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key.kid == kid), None)


def verify(token: str, key: VerifyingKey, expected: Expected) -> dict[str, Any]:
    """The claims of a token. Raises `Unauthenticated` that says what is wrong with it."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=expected.client_id,
            issuer=expected.issuer,
            leeway=LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise refused(reason(error)) from None
    check_audience(claims, expected.client_id)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise refused("it is of another attempt to sign in")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise refused("it does not say who signs in")
    return claims


def check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """A token for several must name this client as the one that it was given to."""
    party = claims.get("azp")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or party is not None) and party != client_id:
        raise refused("it was given to another client")


def reason(error: Exception) -> str:
    """What is wrong, without the token's own words."""
    words: tuple[tuple[type[Exception], str], ...] = (
        (jwt.ExpiredSignatureError, "it has expired"),
        (jwt.ImmatureSignatureError, "it is not valid yet"),
        (jwt.InvalidIssuerError, "it is another issuer's"),
        (jwt.InvalidAudienceError, "it is for another client"),
        (jwt.MissingRequiredClaimError, "it lacks a claim"),
        (jwt.InvalidAlgorithmError, "it is signed in another way than its key is for"),
        (jwt.InvalidSignatureError, "its signature is wrong"),
    )
    return next((text for kind, text in words if isinstance(error, kind)), "it cannot be read")


def refused(why: str) -> Unauthenticated:
    return Unauthenticated(
        f"The issuer's ID token is refused: {why}.",
        hint="Sign in again. If that does not help, check [access.oidc] and the clocks of both machines.",
    )
