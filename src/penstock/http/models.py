"""What can be asked, in the form that clients of Anthropic's API expect of GET /v1/models."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from penstock.errors import InvalidRequest
from penstock.gateway.registry import Target


class PageQuery(Struct, frozen=True):
    """Which part of the list: up to `limit` models after one, or before one."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    after_id: str = ""
    before_id: str = ""


class ModelInfo(Struct, frozen=True):
    id: str
    display_name: str
    created_at: str
    lifecycle: str = "active"
    type: str = "model"


class ModelPage(Struct, frozen=True):
    data: list[ModelInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None


def model_info(target: Target) -> ModelInfo:
    created = datetime.fromtimestamp(target.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ModelInfo(target.name, target.name, created)


def page(targets: Sequence[Target], query: PageQuery) -> ModelPage:
    """Raises `InvalidRequest` for a model to begin or end at that there is not."""
    able = [target for target in targets if "chat" in target.operations]
    names = [target.name for target in able]
    start, end = 0, len(able)
    if query.before_id:
        end = place_of(query.before_id, names, "before_id")
        start = max(0, end - query.limit)
        more = start > 0
    else:
        if query.after_id:
            start = place_of(query.after_id, names, "after_id") + 1
        end = min(end, start + query.limit)
        more = end < len(able)
    data = [model_info(target) for target in able[start:end]]
    return ModelPage(data, more, data[0].id if data else None, data[-1].id if data else None)


def place_of(name: str, names: Sequence[str], param: str) -> int:
    if name not in names:
        raise InvalidRequest(f"{param!r} names {name!r}, which is not in the list.", param=param)
    return names.index(name)
