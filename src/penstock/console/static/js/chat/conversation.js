// The conversation of this tab, kept in sessionStorage: it survives a reload and ends with the tab.

const KEY = "penstock.conversation";
const REMEMBERED = 12;

export class Conversation {
  constructor() {
    this.turns = [];
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
      if (Array.isArray(kept)) this.turns = kept.filter((turn) => typeof turn?.question === "string");
    } catch {
      sessionStorage.removeItem(KEY);
    }
  }

  /** `grounded` says whether the one who is asked answers from documents. */
  add(question, model, grounded) {
    const turn = { question, model, grounded, text: "", state: "waiting", grounding: null, evidence: null, traceId: null, error: null, timing: {}, thumb: null };
    this.turns.push(turn);
    return turn;
  }

  /** The messages for asking `turn`: what was said before it, then its question. */
  messagesFor(turn) {
    const before = this.turns.slice(0, this.turns.indexOf(turn)).filter((earlier) => earlier.text && !earlier.error).slice(-REMEMBERED);
    const said = before.flatMap((earlier) => [
      { role: "user", content: earlier.question },
      { role: "assistant", content: earlier.text },
    ]);
    return [...said, { role: "user", content: turn.question }];
  }

  save() {
    for (let first = 0; first <= this.turns.length; first += 1) {
      try {
        sessionStorage.setItem(KEY, JSON.stringify(this.turns.slice(first)));
        return;
      } catch {
        // The browser's quota is full: the oldest turn is forgotten, and it is tried again.
      }
    }
  }

  clear() {
    this.turns = [];
    sessionStorage.removeItem(KEY);
  }
}
