"""A vendor on loopback whose API has OpenAI's files and batches: it works on a batch when it is told to."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from aiohttp import web


class BatchVendor:
    """`chats` counts requests that came one by one; `refuses` is the status of the next requests, in order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.chats = 0
        self.refuses: list[int] = []
        self.forgets_to_answer = False
        self.keys: set[str] = set()
        self.url = ""
        self.changed = asyncio.Event()

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30, middlewares=[self._refusing])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list)
        app.router.add_get("/v1/batches/{id}", self._get)
        app.router.add_post("/v1/batches/{id}/cancel", self._cancel)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def until_handed_over(self) -> str:
        """The id of the first batch, once it is there."""
        async with asyncio.timeout(20):
            await self.changed.wait()
        return next(iter(self.batches))

    def asked(self, id: str) -> list[dict[str, Any]]:
        """The lines of a batch as they came."""
        return [json.loads(line) for line in self.files[self.batches[id]["input_file_id"]].splitlines()]

    def finish(self, id: str, *, fails: int = 0, omits: int = 0, status: str = "completed") -> None:
        """Answers the lines of a batch, the last first: `fails` of them with an error, `omits` not at all."""
        lines = self.asked(id)[::-1][: None if not omits else -omits]
        output, errors = [], []
        for number, line in enumerate(lines):
            told: dict[str, Any] = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "error": None}
            if number < fails:
                body: dict[str, Any] = {"error": {"message": "too long", "code": "context_length_exceeded"}}
                errors.append(told | {"response": {"status_code": 400, "request_id": "r", "body": body}})
                continue
            text = line["body"]["messages"][-1]["content"]
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
            body = {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}
            output.append(told | {"response": {"status_code": 200, "request_id": "r", "body": body}})
        batch = self.batches[id]
        batch["status"] = status
        for name, found in (("output", output), ("error", errors)):
            if found:
                self.files[f"file-{name}"] = "\n".join(map(json.dumps, found)).encode()
                batch[f"{name}_file_id"] = f"file-{name}"

    @web.middleware
    async def _refusing(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.keys.add(request.headers.get("authorization", ""))
        if self.refuses:
            body = {"error": {"message": "not now", "type": "server_error"}}
            return web.json_response(body, status=self.refuses.pop(0))
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _chat(self, request: web.Request) -> web.Response:
        self.chats += 1
        message = {"role": "assistant", "content": "one by one"}
        return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        id = f"file-{len(self.files)}"
        self.files[id] = file.file.read()
        return web.json_response({"id": id, "object": "file"})

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]])

    async def _create(self, request: web.Request) -> web.Response:
        id = f"batch-{len(self.batches)}"
        self.batches[id] = {"id": id, "status": "in_progress", **await request.json()}
        self.changed.set()
        if self.forgets_to_answer:
            self.forgets_to_answer = False
            return web.json_response({"error": {"message": "oh"}}, status=500)
        return web.json_response(self.batches[id])

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"data": list(self.batches.values()), "has_more": False})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self.batches[request.match_info["id"]])

    async def _cancel(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        self.batches[id]["status"] = "cancelling"
        self.finish(id, omits=2, status="cancelled")
        return web.json_response(self.batches[id])
