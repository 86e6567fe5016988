"""What advice on costs is drawn from, beside the ledger: what people thought of answers, what of contexts was used,
and prices."""

from __future__ import annotations

from functools import partial

from penstock.access.advice.advice import Evidence
from penstock.gateway.rates import input_rates
from penstock.gateway.services import Services


async def evidence(services: Services, project_id: str | None, since_us: int) -> Evidence:
    """Of one project, or of all for `None`."""
    scores = await services.traces.scores(project_id, since_us)
    contexts = await services.traces.context_use(project_id, since_us)
    return Evidence(scores=scores, contexts=contexts, rates=partial(input_rates, services.registry))
