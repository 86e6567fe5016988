"""Limits and budgets: what callers may use in a time, reserved before a call and settled after it."""

from penstock.access.limits.limits import Limits, Reservation
from penstock.access.limits.values import Ask, Part

__all__ = ["Ask", "Limits", "Part", "Reservation"]
