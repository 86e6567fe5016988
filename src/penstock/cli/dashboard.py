"""`penstock dashboard`: a Grafana dashboard of the figures at /metrics."""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.cli.arguments import examples

EXAMPLES = examples("penstock dashboard > penstock.json   (then import it in Grafana)")
FILE = Path(__file__).with_name("dashboard.json")


def dashboard() -> None:
    """Print a Grafana dashboard of the figures at /metrics; it asks for its data source when imported."""
    sys.stdout.write(FILE.read_text("utf-8"))
