// Says what there is to say of the passage under the pointer, and shows what is read together with it.

const card = document.getElementById("passage-card");
const reading = document.querySelector(".reading");
const list = document.querySelector(".passage-list");
const notes = new Map([...document.querySelectorAll("[data-note]")].map((note) => [note.dataset.note, note]));

function lit(number) {
  const shares = notes.get(number)?.dataset.shares;
  const together = new Set([number]);
  if (shares) for (const [other, note] of notes) if (note.dataset.shares === shares) together.add(other);
  for (const cut of document.querySelectorAll("[data-passage]")) {
    cut.classList.toggle("lit", cut.dataset.passage === number);
    cut.classList.toggle("together", cut.dataset.passage !== number && together.has(cut.dataset.passage));
  }
}

function show(number, anchor) {
  const note = notes.get(number);
  if (!note) return;
  lit(number);
  card.replaceChildren(...[...note.cloneNode(true).childNodes]);
  card.querySelector("a")?.replaceWith(Object.assign(document.createElement("strong"), { textContent: `Passage ${number}` }));
  card.hidden = false;
  const box = anchor.getClientRects()[0];
  const beside = reading.getBoundingClientRect().right + 16;
  if (beside + card.offsetWidth + 8 < innerWidth) {
    card.style.left = `${beside}px`;
    card.style.top = `${Math.max(64, Math.min(box.top, innerHeight - card.offsetHeight - 8))}px`;
    return;
  }
  const above = box.top > card.offsetHeight + 72;
  card.style.left = `${Math.max(8, Math.min(box.left, innerWidth - card.offsetWidth - 8))}px`;
  card.style.top = `${above ? box.top - card.offsetHeight - 6 : Math.min(box.bottom + 6, innerHeight - card.offsetHeight - 8)}px`;
}

function hide() {
  card.hidden = true;
  lit("");
}

document.addEventListener("pointerover", (event) => {
  const cut = event.target.closest?.("[data-passage]");
  if (cut) show(cut.dataset.passage, cut);
  else if (!card.hidden) hide();
});
document.addEventListener("focusin", (event) => {
  const mark = event.target.closest?.(".passage-mark");
  if (mark) show(mark.textContent.trim(), mark);
});
document.addEventListener("focusout", (event) => {
  if (event.target.closest?.(".passage-mark")) hide();
});
document.addEventListener("scroll", hide, { passive: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hide();
});
document.addEventListener("click", (event) => {
  const mark = event.target.closest(".passage-mark");
  if (mark) list.open = true;
});
