// What every page does: times in the reader's own zone, and copy buttons. Works on what htmx swaps in, too.

const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const earlier = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

function localiseTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    const moment = new Date(element.dateTime);
    const isToday = moment.toDateString() === new Date().toDateString();
    element.textContent = (isToday ? today : earlier).format(moment);
    element.title = full.format(moment);
  }
}

/** The text of an element of the page, or what an address answers. */
async function textToCopy({ copy: id, copyFrom: address }) {
  if (id) return document.getElementById(id).textContent.replaceAll("{origin}", location.origin);
  const response = await fetch(address);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return JSON.stringify(await response.json(), null, 2);
}

async function copy(button) {
  const label = button.querySelector(".label");
  label.dataset.idle ??= label.textContent;
  try {
    await navigator.clipboard.writeText(await textToCopy(button.dataset));
    label.textContent = "Copied";
  } catch {
    label.textContent = "Could not copy";
  }
  setTimeout(() => { label.textContent = label.dataset.idle; }, 1600);
}

function showCited(root) {
  root.querySelector("#cited")?.scrollIntoView({ block: "center" });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (button) copy(button);
});
document.addEventListener("htmx:afterSwap", (event) => localiseTimes(event.detail.elt));
document.addEventListener("htmx:sendError", (event) => {
  const target = event.detail.target;
  const note = document.createElement("p");
  note.className = "notice bad";
  note.setAttribute("role", "alert");
  note.textContent = "The server did not answer. Check that penstock is still running, then try again.";
  target.replaceChildren(note);
});
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});
for (const tab of document.querySelectorAll(".subnav [aria-current]")) tab.parentElement.scrollLeft = tab.offsetLeft - 48;
localiseTimes(document);
showCited(document);
document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
