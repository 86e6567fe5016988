"""How the searches of one knowledge base go where a query does not say."""

from __future__ import annotations

from msgspec import Struct

from penstock.errors import InvalidRequest
from penstock.knowledge.search.mixing import VECTOR_WEIGHT
from penstock.knowledge.search.reranking import READ
from penstock.knowledge.values import Query
from penstock.seams import Reranker

LOOKED_AT = 24
"""Passages that are read, best first by what is known before."""

LOOKED_AT_BY_WORDS = 120
"""Without vectors to tell passages with the same words apart, more of them are read."""


class SearchSettings(Struct, frozen=True, kw_only=True):
    """`vector_weight` is the share of the cosine in the mix. With a `reranker`, it reads what is found first."""

    vector_weight: float = VECTOR_WEIGHT
    reranker: Reranker | None = None

    def weight(self, query: Query) -> float:
        return self.vector_weight if query.vector_weight is None else query.vector_weight

    def reranks(self, query: Query) -> bool:
        return self.reranker is not None and query.rerank is not False

    def pool(self, query: Query) -> int:
        """How many passages are read for a query."""
        by_words = LOOKED_AT_BY_WORDS if query.mode == "text" else 0
        return max(LOOKED_AT, by_words, self.wanted(query))

    def wanted(self, query: Query) -> int:
        """How many of them, the best first, are made something of: shown, reranked, or chosen from."""
        among = chosen_among(query) if query.diversity or query.neighbours or query.expand else query.limit
        return max(among, READ if self.reranks(query) else 0)

    def check(self, query: Query) -> None:
        """Raises `InvalidRequest` for a query that asks for what there is not, or for a share that is none."""
        if query.rerank and self.reranker is None:
            raise InvalidRequest(
                "This knowledge has no reranker.",
                hint='Leave "rerank" out, or set reranker under [knowledge.NAME].',
                param="rerank",
            )
        for name, value in (("diversity", query.diversity), ("vector_weight", query.vector_weight)):
            if value is not None and not 0 <= value <= 1:
                raise InvalidRequest(f"{name} {value:g} is no share.", hint="Use 0 to 1.", param=name)


def chosen_among(query: Query) -> int:
    """From how many passages those are chosen that differ, or that do not stand inside of another."""
    return max(LOOKED_AT, query.limit, min(4 * query.limit, 400))


DEFAULT_SETTINGS = SearchSettings()
