"""A gateway to look at: models at simulated providers, as `penstock up` serves them, with a week of traffic."""

import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.access.ledger import Ledger
from penstock.access.ledger import repository as ledger_rows
from penstock.access.ledger.repository import Call
from penstock.config import load
from penstock.gateway.services import Services
from penstock.platform import Platform
from penstock.testing import ProviderServer

CONFIG = """
[app]
name = "acme-gateway"

[models.chat]
strategy = "latency"
fallback = ["small"]

[[models.chat.targets]]
use = "openai/gpt-4.1-mini"
base_url = "{url}"
max_in_flight = 64

[[models.chat.targets]]
use = "corp/llama-70b"
base_url = "{url}"
weight = 2

[models.small]
use = "openai/gpt-4.1-nano"
base_url = "{url}"

[models.unpriced]
use = "corp/mystery"
base_url = "{url}"

[[limits]]
usd = 250
window = "month"
warn_at = 0.8

[prices."corp/llama-70b"]
input = 0.6
output = 0.9
"""
DAY = 86_400


@asynccontextmanager
async def open_gateway(folder: Path) -> AsyncIterator[Services]:
    """In local mode."""
    async with ProviderServer() as upstream:
        root = folder / "acme-gateway"
        root.mkdir(parents=True, exist_ok=True)
        (root / "penstock.toml").write_text(CONFIG.format(url=upstream.base_url))
        async with Platform.open(load(root)) as platform:
            yield platform.services


@asynccontextmanager
async def open_busy_gateway(folder: Path) -> AsyncIterator[Services]:
    async with open_gateway(folder) as services:
        assert services.ledger is not None
        fill(services.ledger)
        yield services


def fill(ledger: Ledger, days: int = 30, calls: int = 24_000) -> None:
    """Calls of several projects, keys and models over some days, more of them by day than by night."""
    chance = random.Random(7)
    now = time.time_ns() // 1000
    kinds = (
        ("chat", "openai/gpt-4.1-mini", "openai", "key_web", 0.55),
        ("chat", "corp/llama-70b", "corp", "key_search", 0.2),
        ("small", "openai/gpt-4.1-nano", "openai", "key_batch", 0.2),
        ("unpriced", "corp/mystery", "corp", "key_lab", 0.05),
    )
    dimensions = [
        (number, "local", key, "", model, served, provider, "chat", "live", "")
        for number, (model, served, provider, key, _) in enumerate(kinds, 1)
    ]
    made: list[Call] = []
    for _ in range(calls):
        age = chance.random() * 3600 if chance.random() < 0.15 else age_by_day(chance, days)
        started = now - round(age * 1e6) - chance.randrange(1000)
        kind = chance.choices(range(len(kinds)), [each[4] for each in kinds])[0]
        took = round(chance.lognormvariate(13.4 if kind < 2 else 12.6, 0.6))
        status = chance.choices(("ok", "error", "cached"), (0.9, 0.015, 0.085))[0]
        read, written = chance.randrange(200, 3000), chance.randrange(20, 600)
        price = (read * 400 + written * 1600, read * 600 + written * 900, read * 100 + written * 400, None)[kind]
        cached = status == "cached"
        beginning = (started << 8, "0" * 32, "req_x", chance.choice((None, "ada", "grace")), started, None, 1024)
        ended = min(now, started + (2000 if cached else took))
        outcome = (
            *(kind + 1, status, ended, price if cached else None, "hit" if cached else "", 0, 0),
            *(read, read // 4, 0, written, 0, 0 if cached else price),
        )
        made.append((beginning, outcome))
    unique = list({beginning[0]: (beginning, outcome) for beginning, outcome in made}.values())
    ledger.database.submit(lambda c: ledger_rows.put(c, unique, dimensions, {}, first=True)).result()


def age_by_day(chance: random.Random, days: int) -> float:
    """Seconds ago, more of them in the day than at night."""
    while True:
        age = chance.random() * days * DAY
        hour = (time.time() - age) % DAY / 3600
        if chance.random() < 0.15 + 0.85 * math.sin(math.pi * hour / 24) ** 2 * (0.6 + 0.4 * math.sin(age / 2e5)):
            return age
