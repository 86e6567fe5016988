// Draws passages and questions on a plane; a hover says what is there, a click opens it.

const COLOURS = 8;
const REACH = 14;
const frame = document.getElementById("map");
const canvas = document.getElementById("map-canvas");
const card = document.getElementById("map-card");
const note = document.getElementById("map-note");
const legend = document.getElementById("legend");
const context = canvas?.getContext("2d");
const view = { scale: 1, x: 0.5, y: 0.5 };
let spots = [];
let documents = [];
let landmarks = [];
let groups = new Map();
let chosen = null;
let nearest = null;

/** A colour of the style sheet as the canvas takes it: `light-dark()` is resolved by an element. */
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  frame.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function folderOf(path) {
  const parts = path.split("/");
  return parts.length > 1 ? parts.slice(0, -1).join("/") : "(top)";
}

function keyOf(spot) {
  const by = document.getElementById("colour").value;
  const one = documents[spot.document];
  return by === "folder" ? folderOf(one.path) : one[by];
}

/** The largest groups get a colour of their own, the others share one. */
function regroup() {
  const counts = new Map();
  for (const spot of spots) {
    if (spot.question) continue;
    spot.group = keyOf(spot);
    counts.set(spot.group, (counts.get(spot.group) ?? 0) + 1);
  }
  const ordered = [...counts].sort((one, other) => other[1] - one[1]);
  const own = ordered.slice(0, ordered.length > COLOURS ? COLOURS : undefined);
  groups = new Map(own.map(([name, count], at) => [name, { count, colour: `--map-${at + 1}` }]));
  const rest = ordered.slice(own.length);
  if (rest.length) groups.set("", { count: rest.reduce((sum, each) => sum + each[1], 0), colour: "--map-rest", others: rest.length });
  for (const spot of spots) if (!spot.question && !groups.has(spot.group)) spot.group = "";
  chosen = null;
  explain();
  draw();
}

function explain() {
  const entries = [...groups].map(([name, group]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.group = name;
    button.setAttribute("aria-pressed", "false");
    const dot = document.createElement("span");
    dot.className = "dot";
    dot.style.color = `var(${group.colour})`;
    dot.setAttribute("aria-hidden", "true");
    const label = document.createElement("span");
    label.className = "clip";
    label.textContent = name || `${group.others} other${group.others === 1 ? "" : "s"}`;
    const count = document.createElement("span");
    count.className = "num soft";
    count.textContent = group.count.toLocaleString("en");
    button.append(dot, label, count);
    return button;
  });
  const kinds = [["question, answered", "dot diamond"], ["question, not answered", "dot diamond hollow"]];
  const stills = !spots.some((spot) => spot.question) ? [] : kinds.map(([label, kind]) => {
    const still = document.createElement("span");
    still.className = "still";
    const dot = document.createElement("span");
    dot.className = kind;
    dot.setAttribute("aria-hidden", "true");
    still.append(dot, label);
    return still;
  });
  legend.replaceChildren(...[...entries, ...stills].map((entry) => {
    const item = document.createElement("li");
    item.append(entry);
    return item;
  }));
}

function place(spot) {
  const pad = 24;
  const width = canvas.clientWidth - 2 * pad;
  const height = canvas.clientHeight - 2 * pad;
  return [pad + width * (0.5 + (spot.x - view.x) * view.scale), pad + height * (0.5 - (spot.y - view.y) * view.scale)];
}

function draw() {
  const ratio = devicePixelRatio;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const colours = new Map([...groups].map(([name, group]) => [name, colour(group.colour)]));
  const ink = colour("--ink");
  const paper = colour("--raised");
  const size = (spots.length > 600 ? 2.6 : spots.length > 150 ? 3.6 : 4.6) * Math.min(1.8, Math.sqrt(view.scale));
  const showQuestions = document.getElementById("with-questions").checked;
  for (const spot of spots) {
    if (spot.question && !showQuestions) continue;
    const [x, y] = place(spot);
    if (x < -9 || y < -9 || x > canvas.clientWidth + 9 || y > canvas.clientHeight + 9) continue;
    context.beginPath();
    if (spot.question) {
      const half = 5.5;
      context.moveTo(x, y - half);
      context.lineTo(x + half, y);
      context.lineTo(x, y + half);
      context.lineTo(x - half, y);
      context.closePath();
      context.globalAlpha = 1;
      context.lineWidth = 1.8;
      context.strokeStyle = ink;
      context.fillStyle = spot.answered ? ink : paper;
      context.fill();
      context.stroke();
    } else {
      context.arc(x, y, size, 0, 2 * Math.PI);
      context.globalAlpha = chosen !== null && spot.group !== chosen ? 0.12 : 0.78;
      context.fillStyle = colours.get(spot.group);
      context.fill();
    }
  }
  context.globalAlpha = 1;
  name(ink, paper);
  if (nearest) {
    const [x, y] = place(nearest);
    context.beginPath();
    context.arc(x, y, size + 4, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = ink;
    context.stroke();
  }
}

/** Writes what the regions are about, each where no other name stands. */
function name(ink, paper) {
  const taken = [];
  context.font = `600 12px ${getComputedStyle(frame).fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 4;
  for (const each of landmarks) {
    const text = each.words.join(", ");
    const half = context.measureText(text).width / 2;
    const [middle, y] = place(each);
    if (middle < 0 || y < 0 || middle > canvas.clientWidth || y > canvas.clientHeight) continue;
    const x = Math.max(half + 6, Math.min(middle, canvas.clientWidth - half - 6));
    if (taken.some((other) => Math.abs(other.x - x) < other.half + half + 8 && Math.abs(other.y - y) < 18)) continue;
    taken.push({ x, y, half });
    context.strokeStyle = paper;
    context.strokeText(text, x, y);
    context.fillStyle = ink;
    context.fillText(text, x, y);
  }
}

function find(event) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const showQuestions = document.getElementById("with-questions").checked;
  let best = null;
  let least = REACH * REACH;
  for (const spot of spots) {
    if (spot.question && !showQuestions) continue;
    if (!spot.question && chosen !== null && spot.group !== chosen) continue;
    const [left, top] = place(spot);
    const away = (left - x) ** 2 + (top - y) ** 2;
    if (away < least || (away === least && spot.question)) [best, least] = [spot, away];
  }
  return best;
}

function line(kind, text, name) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function tell(spot) {
  nearest = spot;
  frame.classList.toggle("over", Boolean(spot));
  card.hidden = !spot;
  if (spot) {
    const parts = spot.question
      ? [line("strong", spot.text), line("span", spot.answered ? "answered; opens its trace" : "not answered; opens its trace")]
      : [line("strong", documents[spot.document].path), ...(spot.place ? [line("span", spot.place)] : []), line("span", spot.text, "card-text")];
    card.replaceChildren(...parts);
    card.href = spot.href;
    const [x, y] = place(spot);
    const left = x + 14 + card.offsetWidth > frame.clientWidth ? x - 14 - card.offsetWidth : x + 14;
    const top = y + 10 + card.offsetHeight > frame.clientHeight ? y - 10 - card.offsetHeight : y + 10;
    card.style.translate = `${Math.max(8, Math.min(left, frame.clientWidth - card.offsetWidth - 8))}px ${Math.max(8, top)}px`;
  }
  draw();
}

function zoom(factor) {
  view.scale = factor ? Math.min(40, Math.max(1, view.scale * factor)) : 1;
  if (view.scale === 1) [view.x, view.y] = [0.5, 0.5];
  frame.classList.toggle("closer", view.scale > 1);
  tell(null);
}

function follow() {
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    from = { x: event.clientX, y: event.clientY, moved: false };
    if (view.scale > 1) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from && view.scale > 1) {
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      if (!from.moved && Math.abs(dx) + Math.abs(dy) < 4) return;
      view.x -= dx / canvas.clientWidth / view.scale;
      view.y += dy / canvas.clientHeight / view.scale;
      from = { x: event.clientX, y: event.clientY, moved: true };
      tell(null);
      return;
    }
    if (event.pointerType === "mouse") {
      const spot = find(event);
      if (spot !== nearest) tell(spot);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    const moved = from?.moved;
    from = null;
    if (moved) return;
    const spot = find(event);
    if (event.pointerType !== "mouse") {
      frame.classList.add("touched");
      tell(spot);
    } else if (spot) {
      if (event.ctrlKey || event.metaKey) open(spot.href, "_blank", "noopener");
      else location.assign(spot.href);
    }
  });
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") tell(null);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
  }, { passive: false });
}

async function begin() {
  let found;
  try {
    const response = await fetch(frame.dataset.points, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(String(response.status));
    found = await response.json();
  } catch {
    note.textContent = "The map could not be loaded. Load the page again.";
    return;
  }
  documents = found.documents;
  landmarks = found.landmarks;
  spots = [
    ...found.passages.map(([x, y, document, where, href, text]) => ({ x, y, document, place: where, href, text })),
    ...found.questions.map(([x, y, href, text, answered]) => ({ x, y, href, text, answered, question: true })),
  ];
  note.textContent = "";
  const several = new Set(documents.map((each) => folderOf(each.path))).size > 1;
  if (documents.length > COLOURS * 2 && several) document.getElementById("colour").value = "folder";
  regroup();
  follow();
  frame.dataset.drawn = String(spots.length);
}

if (frame) {
  document.getElementById("colour").addEventListener("change", regroup);
  document.getElementById("with-questions").addEventListener("change", () => tell(null));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom], [data-group]");
    if (button?.dataset.zoom) zoom(Number(button.dataset.zoom));
    if (button?.dataset.group !== undefined) {
      chosen = chosen === button.dataset.group ? null : button.dataset.group;
      for (const each of legend.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each.dataset.group === chosen));
      tell(null);
    }
  });
  new ResizeObserver(draw).observe(frame);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  begin();
}
