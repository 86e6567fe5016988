"""`python -m penstock.testing --port 8089 --fault rate_limit:share=0.1`: a simulated provider for tests by hand."""

from __future__ import annotations

import argparse
import asyncio
import sys

from penstock.errors import ConfigError
from penstock.testing.faults import Plan, read_plan
from penstock.testing.server import ProviderServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m penstock.testing", description=__doc__)
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--seed", type=int, default=0, help="decides which requests a share of them is")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND:NAME=VALUE,…",
        help="what goes wrong, and for which share= of requests or every= how many; may be given several times",
    )
    given = parser.parse_args()
    try:
        plans = [read_plan(text) for text in given.fault]
        asyncio.run(serve(given.port, given.seed, plans))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        pass
    return 0


async def serve(port: int, seed: int, plans: list[Plan]) -> None:
    async with ProviderServer(faults=plans, seed=seed, port=port) as server:
        sys.stdout.write(
            f"A simulated provider listens on {server.url}\n"
            f"  OpenAI     base_url = {server.base_url!r}\n"
            f"  Anthropic  base_url = {server.base_url!r}\n"
            f"  Gemini     base_url = {server.url + '/v1beta'!r}\n"
            f"  Bedrock    base_url = {server.url!r}\n"
        )
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
