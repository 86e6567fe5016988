// One question and its answer, drawn from the turn's state. `draw` may be called at any time.

import { notesFor, passageAddress, sourceLine } from "./grounding.js";
import { render } from "./markdown.js";

const SHOWN = 3;
const ENDS = { stopped: "stopped after", failed: "failed after" };

function seconds(milliseconds) {
  return milliseconds < 950 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

export class TurnView {
  /** `actions` has `openPassage(link, title)`, `retry(turn)` and `rate(turn, value)`. */
  constructor(turn, actions) {
    this.turn = turn;
    this.actions = actions;
    const copy = document.getElementById("turn-template").content.cloneNode(true);
    this.element = copy.firstElementChild;
    this.find = (selector) => this.element.querySelector(selector);
    this.find(".question").textContent = turn.question;
    this.find(".retry").addEventListener("click", () => actions.retry(turn));
    this.find(".copy").addEventListener("click", (event) => this.copyAnswer(event.currentTarget));
    for (const thumb of this.element.querySelectorAll(".thumb")) {
      thumb.addEventListener("click", () => actions.rate(turn, thumb.dataset.value));
    }
    this.drawnEvidence = null;
    this.draw();
  }

  draw() {
    const { turn } = this;
    const done = turn.state !== "waiting" && turn.state !== "writing";
    const grounding = turn.grounding ?? turn.evidence;
    this.find("article").setAttribute("aria-busy", String(!done));
    this.find(".working").hidden = done || Boolean(turn.text) || isAllQuotes(turn, done);
    this.find(".working-text").textContent = turn.grounded && !turn.evidence ? "Searching the documents" : "Writing the answer";
    this.drawEvidence(grounding);
    this.drawAnswer(grounding, done);
    this.drawFailure();
    this.drawFoot(done);
  }

  /** Whether there is an answer of its own below the evidence: quotes are read from the top. */
  get writes() {
    return !this.find(".answer").hidden;
  }

  drawEvidence(grounding) {
    const citations = turnEvidence(this.turn);
    this.find(".unanswered").hidden = !grounding || grounding.answered !== false;
    const section = this.find(".evidence");
    section.hidden = citations.length === 0;
    const key = citations.map((citation) => `${citation.number} ${citation.chunk_id} ${citation.start}`).join();
    if (section.hidden) return;
    const quotesAnswer = grounding.mode === "quote" && grounding.answered !== false;
    section.classList.toggle("is-answer", quotesAnswer);
    this.find(".evidence-title").textContent = evidenceTitle(grounding, quotesAnswer);
    if (this.drawnEvidence !== key) {
      this.drawnEvidence = key;
      this.find(".quotes").replaceChildren(...citations.map((citation) => this.quote(citation, grounding.knowledge)));
      this.foldEvidence();
    }
    const used = new Set((grounding.answered === false ? [] : grounding.citations).filter((citation) => citation.answer_end != null).map((citation) => citation.number));
    this.element.querySelectorAll(".quote").forEach((quote, index) => {
      quote.classList.toggle("used", used.has(citations[index].number));
    });
  }

  foldEvidence() {
    const items = [...this.find(".quotes").children];
    const more = this.find(".more");
    const extra = items.length > SHOWN + 1 ? items.slice(SHOWN) : [];
    more.hidden = extra.length === 0;
    for (const item of extra) item.hidden = true;
    more.textContent = `Show ${extra.length} more`;
    more.onclick = () => {
      for (const item of extra) item.hidden = false;
      more.hidden = true;
      extra[0].querySelector("a").focus();
    };
  }

  quote(citation, knowledge) {
    const item = document.getElementById("quote-template").content.cloneNode(true).firstElementChild;
    const link = item.querySelector("a");
    item.querySelector(".quote-number").textContent = citation.number;
    item.querySelector(".quote-text").textContent = citation.quote.trim();
    item.querySelector(".quote-source").textContent = sourceLine(citation);
    this.linkPassage(link, citation, knowledge);
    return item;
  }

  linkPassage(link, citation, knowledge) {
    link.href = passageAddress(citation, knowledge);
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      this.actions.openPassage(link, citation.title || citation.document);
    });
  }

  mark(citation, knowledge) {
    const link = document.createElement("a");
    link.className = "cite num";
    link.textContent = citation.number;
    link.setAttribute("aria-label", `Citation ${citation.number}: ${sourceLine(citation)}`);
    this.linkPassage(link, citation, knowledge);
    return link;
  }

  drawAnswer(grounding, done) {
    const { turn } = this;
    const answer = this.find(".answer");
    answer.hidden = !turn.text || grounding?.answered === false || isAllQuotes(turn, done);
    answer.classList.toggle("writing", !done);
    const notes = notesFor(turn.text, turn.grounding ?? turn.evidence, (citation) => this.mark(citation, grounding.knowledge));
    render(answer, turn.text, notes);
    this.find(".unsupported-note").hidden = notes.unsupported.length === 0;
  }

  drawFailure() {
    const { error } = this.turn;
    this.find(".failure").hidden = !error;
    if (!error) return;
    this.find(".failure-what").textContent = error.message;
    this.find(".failure-next").textContent = error.next ?? "";
  }

  drawFoot(done) {
    const { turn } = this;
    this.find(".turn-tools").hidden = !done;
    const rated = Boolean(turn.traceId) && !turn.error;
    for (const thumb of this.element.querySelectorAll(".thumb")) {
      thumb.hidden = !rated;
      thumb.setAttribute("aria-pressed", String(turn.thumb === thumb.dataset.value));
    }
    this.find(".copy").hidden = !turn.text;
    const trace = this.find(".trace");
    trace.hidden = !turn.traceId;
    if (turn.traceId) trace.href = `/traces/${encodeURIComponent(turn.traceId)}`;
    const { evidence, total } = turn.timing;
    const parts = [];
    if (evidence != null) parts.push(`evidence ${seconds(evidence)}`);
    if (total != null) parts.push(`${ENDS[turn.state] ?? "answer"} ${seconds(total)}`);
    this.find(".timing").textContent = parts.join(" · ");
  }

  async copyAnswer(button) {
    await navigator.clipboard.writeText(this.turn.text);
    const use = button.querySelector("use");
    use.setAttribute("href", "#i-check");
    setTimeout(() => use.setAttribute("href", "#i-copy"), 1600);
  }
}

function evidenceTitle(grounding, quotesAnswer) {
  if (grounding.answered === false) return "Nearest passages";
  return quotesAnswer ? "From the documents" : "Evidence";
}

/** Whether the answer is nothing but the quotes that stand above it already. */
function isAllQuotes(turn, done) {
  if (turn.evidence?.mode !== "quote") return false;
  if (!done || !turn.grounding) return true;
  const quotes = turn.grounding.citations.map((citation) => `${citation.quote} [${citation.number}]`);
  return turn.text === quotes.join(" ");
}

/** The quotes to list: those that came first, and any that only the finished answer names. */
function turnEvidence(turn) {
  const first = turn.evidence?.citations ?? [];
  const known = new Set(first.map((citation) => citation.number));
  return [...first, ...(turn.grounding?.citations ?? []).filter((citation) => !known.has(citation.number) && known.add(citation.number))];
}
