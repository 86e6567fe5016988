"""Where things are kept: one SQLite file per temper, each with one writer."""
