"""The log of the server on its standard error: lines for people, or one JSON object a line."""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec

from penstock.config.logs import LogSettings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
WORKER = "%(asctime)s %(levelname)s [worker {number}] %(name)s: %(message)s"
ENCODER = msgspec.json.Encoder(enc_hook=str)


class JsonLines(logging.Formatter):
    """`time` in UTC, `level`, `logger`, `message`; then what the record carries in `fields`, such as `trace_id`."""

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= fields
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return ENCODER.encode(line).decode("utf-8", "replace")


def open_logs(settings: LogSettings, worker: int | None = None) -> None:
    """Writes from now on. Other libraries are heard from "warning" on."""
    handler = logging.StreamHandler()
    if settings.format == "json":
        handler.setFormatter(JsonLines(worker))
    else:
        handler.setFormatter(logging.Formatter(TEXT if worker is None else WORKER.format(number=worker)))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("penstock").setLevel(settings.level.upper())
    logging.getLogger("penstock.requests").setLevel(logging.INFO if settings.requests else logging.WARNING)
