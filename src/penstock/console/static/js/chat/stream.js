// Asks /v1/chat/completions and yields what comes back, as it comes.

export class AskError extends Error {
  constructor(message, next, traceId = null) {
    super(message);
    this.next = next;
    this.traceId = traceId;
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value.replaceAll("\r", "");
    for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) {
      const data = buffer.slice(0, end).split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) yield data.join("\n");
    }
  }
}

function failure(error, traceId) {
  return new AskError(error?.message ?? "The answer broke off.", "", traceId);
}

async function refusal(response) {
  const traceId = response.headers.get("x-penstock-trace-id");
  try {
    return failure((await response.json()).error, traceId);
  } catch {
    return new AskError(`The server answered with status ${response.status}.`, "Look at its log, then try again.", traceId);
  }
}

/**
 * Yields `{traceId, release}` first, then `{text}`, `{grounding}`, `{usage}` and `{finish}` as they arrive.
 * Throws `AskError` for what the server refuses or breaks off, and `AbortError` once `signal` aborts.
 */
export async function* ask({ model, messages, signal }) {
  let response;
  try {
    response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify({ model, messages, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new AskError("The server cannot be reached.", "Check that penstock is still running, then try again.");
  }
  if (!response.ok) throw await refusal(response);
  const traceId = response.headers.get("x-penstock-trace-id");
  yield { traceId, release: response.headers.get("x-penstock-release") };
  let finished = false;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") break;
    const event = JSON.parse(data);
    if (event.error) throw failure(event.error, traceId);
    const choice = event.choices?.[0];
    if (event.penstock) yield { grounding: event.penstock };
    if (choice?.delta?.content) yield { text: choice.delta.content };
    if (event.usage) yield { usage: event.usage };
    if (choice?.finish_reason) {
      finished = true;
      yield { finish: choice.finish_reason };
    }
  }
  if (!finished) throw new AskError("The answer broke off before its end.", "What arrived stands above. Try again for the rest.", traceId);
}
