"""Why every answer came out as it did: recorded off the hot path, found again within a second."""
