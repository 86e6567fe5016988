"""From a question to the passages that fit it best.

`searcher.py` says how a search goes; `words.py` finds by words, `dense.py` by meaning, and `mixing.py` mixes the
two. `reranking.py`, `diversity.py` and `context.py` are what a query may ask for beyond that.
"""

from penstock.knowledge.search.searcher import Searcher
from penstock.knowledge.search.settings import SearchSettings

__all__ = ["SearchSettings", "Searcher"]
