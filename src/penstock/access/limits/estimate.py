"""How many tokens a request may use, found in about a microsecond; what it really used is settled afterwards."""

from __future__ import annotations

from penstock.exchange import Exchange

BYTES_PER_TOKEN = 4
"""English prose in the usual tokenizers; other scripts take more bytes a token, so they are estimated high."""
IMAGE_TOKENS = 1_000
FILE_TOKENS = 2_000
FIRST_OUTPUT = 256
"""What an answer is taken to need while none of the model is known."""
WEIGHT = 0.1
"""Of the newest answer in the running mean."""

WRITES = frozenset({"chat", "complete"})
READS_NO_TEXT = frozenset({"edit_image", "vary_image", "transcribe", "translate"})


class Estimator:
    """Learns how long the answers of each model are, for requests that do not say how long theirs may get."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def tokens(self, exchange: Exchange, model: str) -> tuple[int, int]:
        """Tokens of the request and of its answers; `model` is a configured name."""
        if exchange.operation not in WRITES:
            return input_tokens(exchange), 0
        parameters = exchange.parameters
        output = parameters.max_tokens
        if output is None:
            output = round(self._means.get(model, FIRST_OUTPUT))
        return input_tokens(exchange), output * parameters.n

    def learn(self, model: str, output_tokens: int) -> None:
        """An answer of the model had this many tokens."""
        mean = self._means.get(model)
        self._means[model] = output_tokens if mean is None else mean + WEIGHT * (output_tokens - mean)


def input_tokens(exchange: Exchange) -> int:
    """From the length of the body, unless that holds pictures, sounds or files, which are no text."""
    if exchange.operation in READS_NO_TEXT:
        return 0
    for message in exchange.messages:
        if type(message.content) is list:
            return tokens_of_parts(exchange)
    if exchange.body:
        return len(exchange.body) // BYTES_PER_TOKEN + 1
    length = len(exchange.prompt.encode()) + sum(len(text.encode()) for text in exchange.inputs)
    return (length + sum(len(message.text.encode()) for message in exchange.messages)) // BYTES_PER_TOKEN + 1


def tokens_of_parts(exchange: Exchange) -> int:
    length = sum(len(tool.parameters) for tool in exchange.parameters.tools)
    other = 0
    for message in exchange.messages:
        length += len(message.text.encode())
        if isinstance(message.content, list):
            for part in message.content:
                if part.image_url is not None:
                    other += IMAGE_TOKENS
                elif part.text is None:
                    other += FILE_TOKENS
    return length // BYTES_PER_TOKEN + other + 1
