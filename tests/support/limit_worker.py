"""A process that shares limits with others: says "ready", asks on each line of its input, and says how many passed
and of how many it could not be known (503).

    limit_worker.py SOCKET-OR-ADDRESS LIMIT-AS-JSON

Each line is the number of requests to make at once. They stay unsettled until the line "settle".
"""

import asyncio
import json
import sys
from pathlib import Path

from penstock.access.limits import Ask, Limits, Reservation
from penstock.access.limits.base import LimitStore
from penstock.config.limits import LimitSettings
from penstock.errors import RateLimited, Unavailable
from penstock.exchange import Principal

CALLER = Principal(project_id="a", key_id="key_ci", name="ci")


def open_store(place: str) -> LimitStore:
    if place.startswith("postgresql"):
        from penstock.access.limits.postgres import PostgresStore

        return PostgresStore(place)
    if place.endswith(".counts"):
        from penstock.access.limits.local import LocalStore

        return LocalStore(Path(place))
    from penstock.access.limits.coordinated import CoordinatorStore

    return CoordinatorStore(Path(place))


async def call(limits: Limits, held: list[Reservation]) -> str:
    await asyncio.sleep(0)
    try:
        held.append(await limits.reserve(Ask(principal=CALLER, model="m", tokens=10, cost_nanos=10)))
    except RateLimited:
        return "refused"
    except Unavailable:
        return "unavailable"
    return "passed"


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main() -> None:
    store = open_store(sys.argv[1])
    limits = Limits(store, [LimitSettings.model_validate(json.loads(sys.argv[2]))])
    held: list[Reservation] = []
    loop = asyncio.get_running_loop()
    say("ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "settle":
            for reservation in held:
                reservation.settle(0, 0)
            say("settled")
        else:
            ended = await asyncio.gather(*(call(limits, held) for _ in range(int(line))))
            say(f"{ended.count('passed')} {ended.count('unavailable')}")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
