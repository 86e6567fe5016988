// The chat page: asks, draws what comes back, and keeps the conversation of this tab.

import { Conversation } from "./conversation.js";
import { Passage } from "./passage.js";
import { ask, AskError } from "./stream.js";
import { TurnView } from "./turn.js";

const byId = (id) => document.getElementById(id);
const form = byId("ask");
const question = byId("question");
const model = byId("model");
const turns = byId("turns");
const conversation = new Conversation();
const passage = new Passage();
const views = new Map();
let running = null;

const actions = {
  openPassage: (link, title) => passage.open(link, title),
  retry,
  rate,
};

function announce(text) {
  byId("status").textContent = text;
}

function show(turn) {
  const view = new TurnView(turn, actions);
  views.set(turn, view);
  turns.append(view.element);
  return view;
}

function drawPage() {
  const begun = conversation.turns.length > 0;
  byId("welcome").classList.toggle("visually-hidden", begun);
  byId("welcome-body").hidden = begun;
  byId("renew").hidden = !begun;
  byId("send").hidden = Boolean(running);
  byId("stop").hidden = !running;
}

function atEnd() {
  const { scrollHeight, scrollTop, clientHeight } = document.scrollingElement;
  return scrollHeight - scrollTop - clientHeight < 120;
}

/** Draws at most once a frame, and stays at the end of a growing text if the reader was there. */
function redraw(view) {
  view.frame ??= requestAnimationFrame(() => {
    view.frame = null;
    const follow = atEnd();
    view.draw();
    if (follow && view.writes) window.scrollTo({ top: document.scrollingElement.scrollHeight });
  });
}

async function answer(turn) {
  const view = views.get(turn) ?? show(turn);
  const abort = new AbortController();
  const begun = performance.now();
  running = abort;
  drawPage();
  view.draw();
  view.element.scrollIntoView({ block: "start" });
  try {
    for await (const event of ask({ model: turn.model, messages: conversation.messagesFor(turn), signal: abort.signal })) {
      take(turn, event, performance.now() - begun);
      redraw(view);
    }
    turn.state = "done";
    announce(turn.grounding?.answered === false ? "The documents do not say." : `Answer: ${turn.text}`);
  } catch (error) {
    fail(turn, error, abort.signal.aborted);
  } finally {
    turn.timing.total = performance.now() - begun;
    running = null;
    conversation.save();
    redraw(view);
    drawPage();
  }
}

function take(turn, event, elapsed) {
  if (event.traceId) turn.traceId = event.traceId;
  if (event.text) {
    turn.text += event.text;
    turn.state = "writing";
  }
  if (event.grounding?.stage === "evidence") {
    turn.evidence = event.grounding;
    turn.timing.evidence = elapsed;
    const found = event.grounding.citations.length;
    announce(event.grounding.answered === false ? "The documents do not say. The nearest passages are shown." : `${found} ${found === 1 ? "passage" : "passages"} found.`);
  } else if (event.grounding?.stage === "partial") {
    turn.grounding = withMore(turn.grounding, event.grounding);
  } else if (event.grounding) {
    turn.grounding = event.grounding;
  }
}

/** What an unfinished answer stands on so far: partial groundings hold only what is new. */
function withMore(known, more) {
  return { ...more, citations: [...(known?.citations ?? []), ...more.citations], unsupported: [...(known?.unsupported ?? []), ...more.unsupported] };
}

function fail(turn, error, stopped) {
  if (stopped) {
    turn.state = "stopped";
    announce("Stopped.");
    return;
  }
  turn.state = "failed";
  turn.error = { message: error.message, next: error.next };
  if (error instanceof AskError) turn.traceId = error.traceId ?? turn.traceId;
  else turn.error = { message: "The answer could not be read.", next: "Reload the page, then try again." };
}

function askNow(text) {
  if (running || !text.trim()) return;
  const turn = conversation.add(text.trim(), model.value, "grounded" in (model.selectedOptions?.[0] ?? model).dataset);
  question.value = "";
  fit();
  answer(turn);
}

function retry(turn) {
  if (running) return;
  Object.assign(turn, { text: "", state: "waiting", grounding: null, evidence: null, error: null, timing: {}, thumb: null, traceId: null });
  question.focus();
  answer(turn);
}

async function rate(turn, value) {
  const before = turn.thumb;
  turn.thumb = value;
  const view = views.get(turn);
  view.draw();
  try {
    const response = await fetch("/api/v1/feedback", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ trace_id: turn.traceId, score: value }),
    });
    if (!response.ok) throw new Error((await response.json()).error?.message);
    announce("Thank you, noted.");
    conversation.save();
  } catch {
    turn.thumb = before;
    view.draw();
    announce("That could not be noted. Try again.");
  }
}

function fit() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  askNow(question.value);
});
question.addEventListener("input", fit);
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) {
    event.preventDefault();
    running.abort();
  }
}, true);
byId("stop").addEventListener("click", () => {
  running?.abort();
  question.focus();
});
byId("renew").addEventListener("click", () => {
  running?.abort();
  conversation.clear();
  turns.replaceChildren();
  views.clear();
  passage.close();
  drawPage();
  question.focus();
});
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    question.focus();
    askNow(example.textContent);
  });
}

for (const turn of conversation.turns) {
  if (turn.state === "waiting" || turn.state === "writing") turn.state = "stopped";
  show(turn);
}
drawPage();
if (conversation.turns.length) window.scrollTo({ top: document.scrollingElement.scrollHeight });
