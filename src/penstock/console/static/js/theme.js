// Runs before the first paint, so that a chosen theme does not flash the other one.
(() => {
  const root = document.documentElement;
  const chosen = localStorage.getItem("penstock.theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const next = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
      if (next === system) {
        delete root.dataset.theme;
        localStorage.removeItem("penstock.theme");
      } else {
        root.dataset.theme = next;
        localStorage.setItem("penstock.theme", next);
      }
    });
  });
})();
