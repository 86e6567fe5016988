// A click on a value of the metadata puts it into the filter, beside what stands there already.

const filter = document.getElementById("filter");

function added(field, value) {
  try {
    const known = JSON.parse(filter.value || "{}");
    if (known && typeof known === "object" && !Array.isArray(known) && !known.type) {
      if (JSON.stringify(known[field]) === JSON.stringify(value)) delete known[field];
      else known[field] = value;
      return Object.keys(known).length ? JSON.stringify(known) : "";
    }
  } catch {
    // What cannot be read is replaced.
  }
  return JSON.stringify({ [field]: value });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-field]");
  if (!button) return;
  filter.value = added(button.dataset.field, JSON.parse(button.dataset.value));
  filter.dispatchEvent(new Event("change", { bubbles: true }));
});
