"""From a caller's exchange to the one that a model is asked: the question, the prompt, the conversation."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.errors import ContextLengthExceeded, InvalidRequest
from penstock.exchange import Exchange, Message, Parameters
from penstock.ids import new_id
from penstock.knowledge.question import condense
from penstock.knowledge.values import Hit
from penstock.prompts.answer import FACTS, PassageValue, answer_values
from penstock.prompts.template import Prompt

LONGEST_QUESTION = 8_000
"""Characters; the encoder reads the first few hundred words of a question anyway."""


def question_of(exchange: Exchange) -> str:
    """The text to search for. Raises `InvalidRequest` for nothing asked, `ContextLengthExceeded` for too much."""
    last = last_question(exchange)
    if not last:
        raise InvalidRequest("there is no question.", hint="Add a message with role 'user'.", param="messages")
    if len(last) > LONGEST_QUESTION:
        raise ContextLengthExceeded(
            f"the question has {len(last):,} characters; at most {LONGEST_QUESTION:,} are searched for.",
            hint="Ask a shorter question, or add the text to the documents.",
            param="messages",
        )
    return condense(exchange.messages) or last


def last_question(exchange: Exchange) -> str:
    texts = [message.text.strip() for message in exchange.messages if message.role == "user"]
    return next((text for text in reversed(texts) if text), exchange.prompt.strip())


def model_messages(exchange: Exchange, app: str, prompt: Prompt, passages: Sequence[Hit]) -> tuple[Message, ...]:
    """The exact messages to send: the prompt filled in, around the conversation. Passages are numbered from 1."""
    values = [passage_value(number, hit, hit.text) for number, hit in enumerate(passages, start=1)]
    filled = answer_values(app, last_question(exchange), values, exchange.options.get(FACTS, {}))
    return conversation(prompt.render(filled), exchange.messages)


def passage_value(number: int, hit: Hit, text: str) -> PassageValue:
    """A text of a passage, the whole of it or a sentence, as a prompt sees it."""
    return PassageValue(
        number=number,
        document=hit.document,
        text=text,
        title=hit.title,
        heading=" > ".join(hit.heading),
        location=hit.location,
        page=hit.page,
        url=hit.url,
    )


def model_exchange(exchange: Exchange, model: str, prompt: Prompt, messages: tuple[Message, ...]) -> Exchange:
    """A child of the caller's exchange with messages of its own; the caller's body does not travel."""
    return exchange.replace(
        id=new_id("req"),
        parent_id=exchange.id,
        app=exchange.model,
        operation="chat",
        model=model,
        messages=messages,
        prompt="",
        parameters=merged(exchange.parameters, prompt),
        wants_usage=True,
        dialect="",
        body=b"",
        options={name: value for name, value in exchange.options.items() if name != FACTS},
    )


def conversation(rendered: Sequence[Message], messages: Sequence[Message]) -> tuple[Message, ...]:
    """The prompt's messages with the caller's: its system messages after the prompt's own, its earlier turns before
    the last message of the prompt, which holds its question."""
    system = [message for message in rendered if message.role == "system"]
    turns = [message for message in rendered if message.role != "system"]
    users = [at for at, message in enumerate(messages) if message.role == "user" and message.text.strip()]
    earlier = messages[: users[-1]] if users else ()
    own = [Message("system", message.text) for message in messages if message.role in ("system", "developer")]
    history = [message for message in earlier if message.role in ("user", "assistant") and message.text.strip()]
    return (*system, *own, *turns[:-1], *history, *turns[-1:])


def merged(asked: Parameters, prompt: Prompt) -> Parameters:
    """The caller's parameters; where it says nothing, those of the prompt's front matter."""
    own = prompt.settings
    return msgspec.structs.replace(
        asked,
        temperature=own.temperature if asked.temperature is None else asked.temperature,
        top_p=own.top_p if asked.top_p is None else asked.top_p,
        max_tokens=own.max_tokens if asked.max_tokens is None else asked.max_tokens,
        seed=own.seed if asked.seed is None else asked.seed,
        stop=asked.stop or own.stop,
    )
