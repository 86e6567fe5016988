"""Projects, keys and roles; limits and budgets; the ledger."""
