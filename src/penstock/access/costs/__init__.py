"""What was spent, on what, by whom: read from the ledger."""
