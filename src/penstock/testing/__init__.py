"""Stand-ins for what costs money, time or a network: real implementations of the seams, for tests of your own.

    from penstock.testing import FakeEmbedder, FakeProvider, FakeReranker, Fault, Plan, ProviderServer

`FakeProvider` answers by a script inside the process, `FakeEmbedder` makes vectors and `FakeReranker` scores
without a model, and `ProviderServer` is a provider on loopback, in all the dialects that Penstock speaks, that
misbehaves as it is told.
"""

from penstock.testing.answers import Bytes, Cut, Pause, Received, Reply, Stream
from penstock.testing.embedder import FakeEmbedder
from penstock.testing.faults import Fault, Plan
from penstock.testing.provider import FakeProvider
from penstock.testing.reranker import FakeReranker
from penstock.testing.server import ProviderServer

__all__ = [
    "Bytes",
    "Cut",
    "FakeEmbedder",
    "FakeProvider",
    "FakeReranker",
    "Fault",
    "Pause",
    "Plan",
    "ProviderServer",
    "Received",
    "Reply",
    "Stream",
]
