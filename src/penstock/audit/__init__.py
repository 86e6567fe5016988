"""Who did what: one record for each administrative action."""
