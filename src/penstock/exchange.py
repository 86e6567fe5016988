"""The frozen values that every part shares. No I/O here.

An `Exchange` is one request on its way down; `Chunk`s are its answer on the way up. What shapes the answer
is typed; what is not read travels as it came, in `Exchange.body` and `Chunk.raw`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from penstock.seams import Tracer

Operation = Literal[
    "chat",
    "complete",
    "embed",
    "rerank",
    "moderate",
    "image",
    "edit_image",
    "vary_image",
    "speech",
    "transcribe",
    "translate",
]
Purpose = Literal["live", "batch", "eval", "shadow", "replay", "system"]
FinishReason = Literal["stop", "length", "content_filter", "tool_calls", "error"]

Role = Literal["viewer", "developer", "admin", "owner"]
"""What somebody may do, each more than the one before."""

LOCAL_PROJECT = "local"


class Principal(Struct, frozen=True, kw_only=True):
    """Who asks: a key, a person who signed in, or, in local mode, whoever can reach this machine's loopback.

    `models` and `routes` are patterns of what may be asked (`gpt-*`); empty means everything. `groups` open the
    documents that are only for them. `key_id` is "" where no key was shown, `name` what logs and pages call the
    principal.
    """

    project_id: str = LOCAL_PROJECT
    key_id: str = ""
    name: str = "local"
    role: Role = "owner"
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


LOCAL = Principal()


class ImageUrl(Struct, frozen=True, omit_defaults=True):
    """An image: an address, or its bytes as a `data:` address."""

    url: str
    detail: str | None = None


class InputAudio(Struct, frozen=True, omit_defaults=True):
    """A sound: its bytes in base64, and their format ("wav", "mp3")."""

    data: str = ""
    format: str = ""


class FileData(Struct, frozen=True, omit_defaults=True):
    """A document: its bytes as a `data:` address, its address, or its id at the provider."""

    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class CacheControl(Struct, frozen=True, omit_defaults=True):
    """A hint that what stands up to here will be sent again. `ttl` "5m" or "1h"."""

    type: str = "ephemeral"
    ttl: str | None = None


class Part(Struct, frozen=True, omit_defaults=True):
    """One part of a message whose content is a list.

    `type` names the field that holds it, "text", "image_url", "input_audio" or "file", or is not read here.
    """

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: FileData | None = None
    cache_control: CacheControl | None = None


class FunctionCall(Struct, frozen=True, omit_defaults=True):
    """The name of a tool and its arguments, a JSON text as the model wrote it."""

    name: str = ""
    arguments: str = ""


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A model's call of a tool. `index` orders the pieces of a stream; `type` is always "function"."""

    id: str | None = None
    function: FunctionCall = FunctionCall()
    type: str = "function"
    index: int | None = None


class Tool(Struct, frozen=True, kw_only=True):
    """A function that the model may call. `parameters` is its JSON schema, as a JSON text."""

    name: str
    description: str | None = None
    parameters: str = "{}"
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, frozen=True, omit_defaults=True):
    """A closed block of reasoning that its provider wants back as it was, in Anthropic's shape.

    `type` "thinking" has the text and its `signature`, "redacted_thinking" only `data`. In a stream of chunks
    `thinking` is `None` where the text is what came as `Chunk.reasoning` since the block before.
    """

    type: str
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class Message(Struct, frozen=True, omit_defaults=True):
    """One message of a conversation, in the shape of OpenAI's chat messages.

    `tool_calls` are an assistant's, `tool_call_id` names the call that a message of role "tool" answers, with
    `is_error` where the call failed. `reasoning_content` is what a model thought before it spoke, `thinking_blocks`
    the same as its provider signed it. Fields that are not read stay in `Exchange.body`.
    """

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None
    is_error: bool | None = None

    @property
    def text(self) -> str:
        """The text of the message, parts joined by newlines."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if part.text)


class Constraint(Struct, frozen=True):
    """What the answer must match: `kind` "json_schema" (source is a JSON text), "regex", or, for what Penstock
    makes itself for local models, "ebnf", a grammar with the rule `root`.

    `name` and `description` tell the model what a schema is for; `strict` is whether the caller said that it must
    be followed (`None` for nothing said: local models follow every schema).
    """

    kind: Literal["json_schema", "regex", "ebnf"]
    source: str
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Parameters(Struct, frozen=True):
    """How to generate. `None` means the caller said nothing and the model's default holds.

    `tool_choice` is "auto", "none", "required" or the name of a tool after "tool:"; `allowed_tools` names those
    that may be called, all of them where it is empty. `reasoning_effort` is one of OpenAI's words, from "none" to
    "max", `reasoning_tokens` a bound on what may be thought. `n` is how many answers are wanted.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    constraint: Constraint | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    allowed_tools: tuple[str, ...] = ()
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    reasoning_tokens: int | None = None


class Exchange(Struct, frozen=True, kw_only=True):
    """One request in flight.

    `deadline` is on the monotonic clock, in seconds. `body` is the caller's body as it came, empty for an exchange
    that the process made itself. `dialect` names the wire format of `body`: "openai", "responses", "anthropic"; ""
    for none. `principal` is who asks, and `project_id` always theirs. `app` is the app whose own call this is, ""
    for what a caller asked. `wants_usage` says whether the caller of a stream asked for usage. `inputs` are the
    texts of an `embed` or a `moderate`, and the documents of a `rerank`, whose query is `prompt`. `media_type` is
    what `body` was declared as, with its parameters.
    """

    id: str
    trace_id: str
    project_id: str = LOCAL_PROJECT
    operation: Operation = "chat"
    purpose: Purpose = "live"
    model: str = ""
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    inputs: tuple[str, ...] = ()
    parameters: Parameters = Parameters()
    stream: bool = False
    wants_usage: bool = False
    deadline: float = float("inf")
    dialect: str = ""
    body: bytes = b""
    media_type: str = "application/json"
    release_id: str = ""
    user: str | None = None
    parent_id: str | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    tracer: Tracer | None = None
    principal: Principal = LOCAL
    app: str = ""

    def replace(self, **changes: Any) -> Exchange:
        """This exchange with some fields changed (`msgspec.structs.replace`)."""
        return msgspec.structs.replace(self, **changes)


class Usage(Struct, frozen=True):
    """Tokens in disjoint classes, and what they cost; `None` is unknown, never zero.

    `input` excludes `cached_input` (read from a cache) and `cache_write` (written to one, at a price of its own)
    where they are known; `output` excludes `reasoning` where that is known. `cost_nanos` is in nano-dollars.
    `seconds` of audio and `searches` of a reranker stand where a vendor bills those instead of tokens. `estimated`
    usage was not counted by the provider but reckoned from the text: it never counts, or its answer broke off.
    """

    input: int
    output: int = 0
    cached_input: int | None = None
    reasoning: int | None = None
    cost_nanos: int | None = None
    seconds: float | None = None
    searches: float | None = None
    cache_write: int | None = None
    estimated: bool = False

    @property
    def prompt_tokens(self) -> int:
        return self.input + (self.cached_input or 0) + (self.cache_write or 0)

    @property
    def completion_tokens(self) -> int:
        return self.output + (self.reasoning or 0)


class TokenLogprob(Struct, frozen=True):
    """One generated token and its natural-log probability; `top` are the likeliest ones at its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Citation(Struct, frozen=True, kw_only=True):
    """A verbatim quote and where it stands.

    `quote == text_of(document_id)[start:end]` was checked before this value was made. `start` and `end` are
    characters of the document's extracted text. `answer_start` and `answer_end` are the characters of the
    answer that this citation supports; `None` where it is evidence that the answer does not use. `page` is
    1-based, `None` where the document has no pages; `location` says for people where the passage stands ("slide 4",
    "sheet Sales, rows 2–40"). `url` opens the passage in the console, `source_url` the document where its source
    has it, "" where that is not known.
    """

    number: int
    document_id: str
    document: str
    title: str
    chunk_id: str
    heading: tuple[str, ...] = ()
    page: int | None = None
    location: str = ""
    start: int
    end: int
    quote: str
    score: float
    url: str
    source_url: str = ""
    answer_start: int | None = None
    answer_end: int | None = None

    @property
    def place(self) -> str:
        """Where the quote stands, for people: `handbook.md › Returns › Refunds, page 3`."""
        where = " › ".join([self.document, *self.heading])
        location = self.location or (f"page {self.page}" if self.page else "")
        return f"{where}, {location}" if location else where


class Conflict(Struct, frozen=True):
    """Passages that say different things of the same: what each says, and the numbers of their citations.

    The newest comes first where the documents have dates, else the one that fits the question best.
    """

    values: tuple[str, ...]
    citations: tuple[int, ...]


AnswerMode = Literal["quote", "constrained", "compose"]


class Grounding(Struct, frozen=True, kw_only=True):
    """What an answer stands on. A stream carries it with `stage` "evidence" first and with "answer" last.

    Between them "partial" ones come with the text that they are about, and hold only the citations and the
    unsupported ranges that were found since the one before; all of them stand in the last one, too.

    `score` is the calibrated probability, 0 to 1, that the passages hold an answer; `answered` is whether it
    passed the threshold. `unsupported` are the character ranges of the answer that no passage supports, and
    `grounded` is the share of its claims that a passage supports, `None` before the end and where nothing is
    claimed.
    """

    stage: Literal["evidence", "partial", "answer"]
    mode: AnswerMode
    knowledge: str
    generation: int
    answered: bool
    score: float
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[tuple[int, int], ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    grounded: float | None = None


class Chunk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of an answer, or the whole of one that was not streamed.

    `raw` is the provider's own bytes in the caller's dialect, to be forwarded as they came: the `data` of one event
    of a stream, or the whole body. `embeddings` are the vectors of an `embed`, one per input, little-endian
    float32. `index` tells several answers to one exchange (`n`) apart, each with its own end. `reasoning` is what
    the model thinks before it speaks, `thinking_blocks` close what was thought so far, signed. `tool_calls` are
    pieces, to be joined by their `index`. `others` are what the same bytes hold of other answers. `served_by`
    stands on the first chunk: the name of the target that answers, where a route chose among several. `ranking` is
    the answer to a `rerank`: places of documents in `Exchange.inputs` and their scores, the best first.
    `media_type` stands on the first chunk where `raw` is neither JSON nor the data of an event: `raw` is then a
    piece of such a body.
    """

    text: str = ""
    index: int = 0
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    usage: Usage | None = None
    grounding: Grounding | None = None
    embeddings: tuple[bytes, ...] = ()
    ranking: tuple[tuple[int, float], ...] = ()
    raw: bytes | None = None
    served_by: str | None = None
    media_type: str | None = None
    thinking_blocks: tuple[ThinkingBlock, ...] = ()
    others: tuple[Chunk, ...] = ()
