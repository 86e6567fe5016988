"""The composition root: from an app folder to everything that answers its questions, and down again."""

from penstock.platform.root import QUIET, OnIngest, Platform, Watch, composes

__all__ = ["QUIET", "OnIngest", "Platform", "Watch", "composes"]
