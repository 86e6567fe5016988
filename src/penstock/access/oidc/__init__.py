"""Signing in with an account of the organisation: OpenID Connect, authorization code flow with PKCE.

Nothing here is loaded unless `[access.oidc]` is configured; it needs PyJWT and cryptography.
"""
