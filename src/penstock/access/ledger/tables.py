"""The tables of the schema `ledger`, as its migrations leave them."""

from __future__ import annotations

DIMENSION_COLUMNS = (
    "id",
    "project_id",
    "key_id",
    "app",
    "model",
    "served_by",
    "provider",
    "operation",
    "purpose",
    "release_id",
)
"""What many calls have in common. `id` is a hash of the others."""

BEGINNING = ("id", "trace_id", "request_id", "user", "started_us", "reserved_nanos", "max_output")
OUTCOME = (
    "dimension_id",
    "status",
    "ended_us",
    "saved_nanos",
    "cache",
    "batch",
    "estimated",
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "cost_nanos",
)
FINGERPRINTS = ("digest", "prefix", "prefix_chars")
CALL_COLUMNS = (*BEGINNING, *OUTCOME, *FINGERPRINTS)
"""What is known when a call begins, what came of it so far, and what is known with the first writing of a row only.

`id` is the start in microseconds, shifted by `SLOT_BITS`, and the slot of the process that made the call.
"""

SLOT_BITS = 8
SLOTS = 1 << SLOT_BITS

SUMS = {
    "calls": "count(*)",
    "errors": "sum(CASE WHEN status = 'error' THEN 1 ELSE 0 END)",
    "cancelled": "sum(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END)",
    "cached": "sum(CASE WHEN status = 'cached' THEN 1 ELSE 0 END)",
    "reconciled": "sum(CASE WHEN status = 'reconciled' THEN 1 ELSE 0 END)",
    "unpriced": "sum(CASE WHEN cost_nanos IS NULL THEN 1 ELSE 0 END)",
    "estimated": "sum(estimated)",
    "input": "coalesce(sum(input), 0)",
    "cached_input": "coalesce(sum(cached_input), 0)",
    "cache_write": "coalesce(sum(cache_write), 0)",
    "output": "coalesce(sum(output), 0)",
    "reasoning": "coalesce(sum(reasoning), 0)",
    "cost_nanos": "coalesce(sum(cost_nanos), 0)",
    "saved_nanos": "coalesce(sum(saved_nanos), 0)",
    "open_nanos": "coalesce(sum(CASE WHEN cost_nanos IS NULL THEN reserved_nanos END), 0)",
    "busy_us": "coalesce(sum(ended_us - started_us), 0)",
}
"""The columns of the sums by hour and by day, and how each is made from calls that are over. `unpriced` calls have
no known cost, and `open_nanos` is what was set aside for them."""

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
