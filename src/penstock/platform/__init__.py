"""The composition root: from an app folder to everything that answers its questions, and down again."""

from penstock.platform.configured import answering_models
from penstock.platform.lasting import QUIET, OnIngest, Watch
from penstock.platform.root import Platform

__all__ = ["QUIET", "OnIngest", "Platform", "Watch", "answering_models"]
