"""Waste in the traffic, found in the rows of the ledger, with the money each is worth."""
