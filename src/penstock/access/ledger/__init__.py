"""What every call of a model used and cost: one row each, exactly once."""

from penstock.access.ledger.ledger import Durability, Ledger, Ticket, open_ledger
from penstock.access.ledger.values import LedgerEntry, LedgerOutcome, Status

__all__ = ["Durability", "Ledger", "LedgerEntry", "LedgerOutcome", "Status", "Ticket", "open_ledger"]
