// What an answer stands on, in the terms of this page.

/** Offsets in the wire form count Unicode code points; JavaScript strings count UTF-16 units. */
function unitOffsets(text) {
  const offsets = [0];
  for (const character of text) offsets.push(offsets.at(-1) + character.length);
  return (point) => offsets[Math.min(Math.max(point, 0), offsets.length - 1)];
}

/** The notes that `markdown.render` takes. While an answer streams, `grounding` is its evidence, null, or partial. */
export function notesFor(text, grounding, makeMark) {
  const citations = grounding?.citations ?? [];
  const final = grounding?.stage === "answer" || grounding?.stage === "partial";
  const unit = unitOffsets(text);
  const ranges = citations
    .filter((citation) => citation.answer_end != null)
    .map((citation) => ({ citation, start: unit(citation.answer_start ?? 0), at: unit(citation.answer_end) }));
  const written = ({ citation, at }) => new RegExp(`^[\\s.,;:!?)"'”’\\[\\]\\d]{0,6}\\[${citation.number}\\]`).test(text.slice(at)) || text.slice(0, at).endsWith(`[${citation.number}]`);
  return {
    version: final ? `${grounding.stage} ${citations.length}` : "draft",
    marks: final ? ranges.filter((range) => !written(range)).sort((a, b) => a.at - b.at || a.citation.number - b.citation.number) : [],
    literal(number, from) {
      if (!final) return citations.find((citation) => citation.number === number);
      return ranges.find(({ citation, start, at }) => citation.number === number && from >= start && from <= at + 6)?.citation;
    },
    unsupported: final ? (grounding.unsupported ?? []).map(([start, end]) => [unit(start), unit(end)]) : [],
    makeMark,
  };
}

/** The address of a cited passage on this server; whatever host the wire form names, the page stays here. */
export function passageAddress(citation, knowledge) {
  const query = new URLSearchParams({ chunk: citation.chunk_id, start: citation.start, end: citation.end });
  return `/knowledge/${encodeURIComponent(knowledge)}/${encodeURIComponent(citation.document_id)}?${query}`;
}

/** "guide.md › Install › Linux · page 3" */
export function sourceLine(citation) {
  const path = [citation.document, ...(citation.heading ?? [])].filter(Boolean).join(" › ");
  const location = citation.location || (citation.page == null ? "" : `page ${citation.page}`);
  return location ? `${path} · ${location}` : path;
}
