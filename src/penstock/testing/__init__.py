"""Stand-ins for what costs money, time or a network: real implementations of the seams, for tests of your own.

    from penstock.testing import FakeEmbedder, FakeProvider, ProviderServer

`FakeProvider` answers by a script inside the process, `FakeEmbedder` makes vectors without a model, and
`ProviderServer` is an OpenAI-compatible API on loopback that misbehaves as it is told.
"""

from penstock.testing.embedder import FakeEmbedder
from penstock.testing.provider import FakeProvider
from penstock.testing.server import Cut, ProviderServer, Reply, Stream

__all__ = ["Cut", "FakeEmbedder", "FakeProvider", "ProviderServer", "Reply", "Stream"]
