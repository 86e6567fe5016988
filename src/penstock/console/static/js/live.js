// Asks for a newer #live part of the page every so often, while somebody looks.
/* global htmx */

const part = () => document.getElementById("live");

export function refresh() {
  if (part() && document.visibilityState === "visible") htmx.trigger(part(), "refresh");
}

function again() {
  setTimeout(() => {
    refresh();
    again();
  }, 1000 * (part()?.dataset.every ?? 30));
}

document.addEventListener("visibilitychange", refresh);
again();
