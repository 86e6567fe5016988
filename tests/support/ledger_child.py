"""A process that makes calls and says which of them it acknowledged, until it is killed."""

import os
import sys
import time
from pathlib import Path

from penstock.access.ledger import LedgerEntry, LedgerOutcome, open_ledger
from penstock.exchange import Exchange, Message, Usage
from penstock.storage.location import open_database


def say(line: str) -> None:
    """One write each, so that a line is there whole or not at all."""
    os.write(1, f"{line}\n".encode())


def main(folder: str, location: str, start: str) -> None:
    place = Path(folder)
    ledger = open_ledger(open_database(location or place, "ledger", durable=False), place)
    number = int(start)
    say("ready")
    while True:
        exchange = Exchange(
            id=f"req_{number}", trace_id=f"{number:032x}", model="m", messages=(Message("user", "Hi"),)
        )
        ticket = ledger.reserve(LedgerEntry(exchange, 1000))
        say(f"begun {number}")
        if number % 7:
            usage = Usage(number, 1, cost_nanos=10 * number)
            ledger.settle(ticket, LedgerOutcome(status="ok", usage=usage, served_by="openai/gpt"))
            say(f"ended {number}")
        number += 1
        time.sleep(0.0005)


main(*sys.argv[1:])
