"""Wire formats: how each API writes requests, answers and errors. No I/O; the same code serves both directions."""
