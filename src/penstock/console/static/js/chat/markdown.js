// A small, safe subset of Markdown: built as DOM nodes, never as HTML, so that no text can become markup.
//
// Every piece of text keeps its range in the source, because citations and unsupported sentences are given as
// ranges of the source.

const FENCE = /^\s*(```|~~~)/;
const HEADING = /^#{1,6}\s+/;
const BULLET = /^\s*[-*+•]\s+/;
const NUMBER = /^\s*\d{1,3}[.)]\s+/;
const QUOTE = /^\s*>\s?/;
const INLINE = /(`+)([^`]+?)\1|\*\*(?=\S)(.+?)\*\*|(?<![\w*])\*(?=[^\s*])([^*]+?)\*(?!\w)|(?<!\w)_(?=\S)([^_]+?)_(?!\w)|\[(\d{1,2})\]|\[([^\[\]]+)\]\(([^()\s]+)\)/gs;

function lines(source) {
  const found = [];
  for (let start = 0; start <= source.length; ) {
    const newline = source.indexOf("\n", start);
    const end = newline < 0 ? source.length : newline;
    found.push({ start, end, text: source.slice(start, end) });
    start = end + 1;
  }
  return found;
}

function kindOf(text) {
  if (!text.trim()) return "blank";
  if (FENCE.test(text)) return "code";
  if (HEADING.test(text)) return "heading";
  if (BULLET.test(text)) return "bullets";
  if (NUMBER.test(text)) return "numbers";
  if (QUOTE.test(text)) return "quote";
  return "paragraph";
}

function prefixed(line, pattern) {
  return { start: line.start + (line.text.match(pattern)?.[0].length ?? 0), end: line.end };
}

/** Blocks as `{kind, start, end, runs}`; a run is a range of the source, one per line or per list item. */
export function parse(source) {
  const blocks = [];
  const all = lines(source);
  const patterns = { heading: HEADING, bullets: BULLET, numbers: NUMBER, quote: QUOTE, paragraph: /^\s*/ };
  for (let i = 0; i < all.length; ) {
    const kind = kindOf(all[i].text);
    const first = all[i];
    if (kind === "blank") {
      i += 1;
    } else if (kind === "code") {
      const close = all.findIndex((line, at) => at > i && FENCE.test(line.text));
      const last = close < 0 ? all.length : close;
      const start = Math.min(first.end + 1, source.length);
      blocks.push({ kind, start: first.start, end: all[Math.min(last, all.length - 1)].end, runs: [{ start, end: Math.max(start, all[last - 1].end) }] });
      i = last + 1;
    } else {
      const runs = [prefixed(first, patterns[kind])];
      let last = first;
      for (i += 1; i < all.length && kind !== "heading"; i += 1) {
        const next = kindOf(all[i].text);
        const continues = next === kind || (next === "paragraph" && kind !== "quote");
        if (!continues) break;
        last = all[i];
        if (next === kind && kind !== "paragraph") runs.push(prefixed(last, patterns[kind]));
        else runs.at(-1).end = last.end;
      }
      blocks.push({ kind, start: first.start, end: last.end, runs });
    }
  }
  return blocks;
}

function safeLink(address) {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** Writes one block. `notes` is `{marks: [{at, citation}], literal(number, at), unsupported: [[s, e]], makeMark}`. */
class Writer {
  constructor(source, notes, marks) {
    this.source = source;
    this.notes = notes;
    this.marks = marks;
  }

  inline(parent, start, end) {
    let at = start;
    for (const match of this.source.slice(start, end).matchAll(INLINE)) {
      const from = start + match.index;
      const to = from + match[0].length;
      const [, ticks, code, strong, starred, underscored, number, label, address] = match;
      if (number !== undefined) {
        const citation = this.notes.literal(Number(number), from);
        if (!citation) continue;
        this.text(parent, at, from);
        parent.append(this.notes.makeMark(citation));
      } else {
        this.text(parent, at, from);
        if (code !== undefined) this.wrap(parent, "code", from + ticks.length, to - ticks.length, true);
        else if (strong !== undefined) this.wrap(parent, "strong", from + 2, to - 2);
        else if (starred !== undefined || underscored !== undefined) this.wrap(parent, "em", from + 1, to - 1);
        else this.link(parent, safeLink(address), from + 1, from + 1 + label.length, to);
      }
      at = to;
    }
    this.text(parent, at, end);
  }

  wrap(parent, tag, start, end, verbatim = false) {
    const element = document.createElement(tag);
    if (verbatim) this.text(element, start, end);
    else this.inline(element, start, end);
    parent.append(element);
  }

  link(parent, href, start, end, whole) {
    if (!href) {
      this.text(parent, start - 1, whole);
      return;
    }
    const link = document.createElement("a");
    Object.assign(link, { href, target: "_blank", rel: "noopener noreferrer nofollow", title: href });
    this.text(link, start, end);
    parent.append(link);
  }

  text(parent, start, end) {
    if (start >= end) return;
    const cuts = new Set([start, end]);
    for (const { at } of this.marks) if (at > start && at < end) cuts.add(at);
    for (const range of this.notes.unsupported) for (const at of range) if (at > start && at < end) cuts.add(at);
    const sorted = [...cuts].sort((a, b) => a - b);
    this.flush(parent, start);
    for (let i = 0; i + 1 < sorted.length; i += 1) {
      this.piece(parent, sorted[i], sorted[i + 1]);
      this.flush(parent, sorted[i + 1]);
    }
  }

  piece(parent, start, end) {
    const text = this.source.slice(start, end);
    if (!this.notes.unsupported.some(([s, e]) => s <= start && end <= e)) {
      parent.append(text);
      return;
    }
    const span = document.createElement("span");
    span.className = "unsupported";
    span.textContent = text;
    parent.append(span);
  }

  flush(parent, upTo) {
    while (this.marks.length && this.marks[0].at <= upTo) parent.append(this.notes.makeMark(this.marks.shift().citation));
  }
}

const TAGS = { paragraph: "p", heading: "h3", bullets: "ul", numbers: "ol", quote: "blockquote", code: "pre" };

function build(source, block, notes) {
  const element = document.createElement(TAGS[block.kind]);
  const writer = new Writer(source, notes, notes.marks.filter(({ at }) => at > block.start && at <= block.end));
  block.runs.forEach(({ start, end }, index) => {
    if (block.kind === "code") {
      writer.wrap(element, "code", start, end, true);
    } else if (block.kind === "bullets" || block.kind === "numbers") {
      writer.wrap(element, "li", start, end);
    } else {
      if (index) element.append("\n");
      writer.inline(element, start, end);
    }
  });
  writer.flush(block.kind === "bullets" || block.kind === "numbers" ? element.lastChild : element, block.end);
  if (block.kind === "numbers") {
    const first = Number.parseInt(source.slice(block.start, block.runs[0].start), 10);
    if (first > 1) element.start = first;
  }
  return element;
}

/** Renders `source` into `target`, replacing only the blocks that changed since the last call. */
export function render(target, source, notes) {
  const kept = target.blocks ?? [];
  const next = parse(source).map((block) => ({ block, key: `${block.kind} ${notes.version} ${source.slice(block.start, block.end)}` }));
  target.blocks = next.map(({ block, key }, index) => {
    if (kept[index]?.key === key && kept[index].start === block.start) return kept[index];
    const element = build(source, block, notes);
    if (kept[index]) kept[index].element.replaceWith(element);
    else target.append(element);
    return { key, element, start: block.start };
  });
  for (const extra of kept.slice(next.length)) extra.element.remove();
}
