"""Events on their way to a real receiver on loopback: signed, tried again, and given up."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from msgspec import Struct

from penstock.access.limits.webhook import Webhook
from penstock.clock import ManualClock
from penstock.config.secret import Secret
from penstock.errors import ConfigError


class News(Struct):
    said: str


class Receiver:
    """Answers with the given statuses in turn, then with 204; keeps what came."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()
        self.address = ""

    async def receive(self, request: web.Request) -> web.Response:
        status = self.statuses.pop(0) if self.statuses else 204
        self.got.put_nowait((dict(request.headers), await request.read()))
        return web.Response(status=status, headers={"location": "/elsewhere"} if status == 302 else {})


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.address = f"http://127.0.0.1:{port}/hook"
    yield receiver
    await runner.cleanup()


async def sent(webhook: Webhook, receiver: Receiver, wanted: int) -> list[tuple[dict[str, str], bytes]]:
    running = asyncio.create_task(webhook.run())
    try:
        async with asyncio.timeout(10):
            return [await receiver.got.get() for _ in range(wanted)]
    finally:
        running.cancel()


@pytest.mark.parametrize(
    ("secret", "key"),
    [("plain words", b"plain words"), ("whsec_" + base64.b64encode(b"\x00\xff bytes").decode(), b"\x00\xff bytes")],
)
async def test_an_event_is_signed_as_standard_webhooks_says(receiver: Receiver, secret: str, key: bytes) -> None:
    webhook = Webhook(receiver.address, Secret(secret), ManualClock())
    webhook.send("limit.warning", News("nearly"))
    ((headers, body),) = await sent(webhook, receiver, 1)
    assert json.loads(body) == {"type": "limit.warning", "timestamp": 1_700_000_000, "data": {"said": "nearly"}}
    signed = f"{headers['webhook-id']}.1700000000.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == "1700000000"
    assert headers["webhook-id"].startswith("evt_")


async def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    webhook = Webhook(receiver.address)
    webhook.send("limit.warning", News("nearly"))
    ((headers, _),) = await sent(webhook, receiver, 1)
    assert "webhook-signature" not in headers


async def test_a_receiver_that_fails_is_tried_again_with_the_same_id(receiver: Receiver) -> None:
    receiver.statuses = [500, 429]
    webhook = Webhook(receiver.address, pauses=(0, 0, 0))
    webhook.send("limit.warning", News("first"))
    webhook.send("limit.warning", News("second"))
    came = await sent(webhook, receiver, 4)
    ids = [headers["webhook-id"] for headers, _ in came]
    assert ids[0] == ids[1] == ids[2] != ids[3]


@pytest.mark.parametrize("status", [302, 400, 410])
async def test_a_receiver_that_does_not_want_an_event_is_left_alone(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [status]
    webhook = Webhook(receiver.address, pauses=(0, 0, 0))
    webhook.send("limit.warning", News("first"))
    webhook.send("limit.warning", News("second"))
    came = await sent(webhook, receiver, 2)
    assert [json.loads(body)["data"]["said"] for _, body in came] == ["first", "second"]
    assert f"did not reach the webhook: it answered with status {status}" in caplog.text


async def test_tries_end(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.statuses = [503] * 3
    webhook = Webhook(receiver.address, pauses=(0, 0))
    webhook.send("limit.warning", News("first"))
    webhook.send("limit.warning", News("second"))
    assert len(await sent(webhook, receiver, 4)) == 4
    assert "it answered with status 503" in caplog.text


async def test_what_waits_is_bounded(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    webhook = Webhook(receiver.address)
    for _ in range(501):
        webhook.send("limit.warning", News("again"))
    assert caplog.text.count("is lost") == 1


def test_a_secret_that_is_cut_off_is_said() -> None:
    with pytest.raises(ConfigError, match="begins with 'whsec_', and what follows is not base64"):
        Webhook("https://example.com", Secret("whsec_abc"))
