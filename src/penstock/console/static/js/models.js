// Takes a target out of service, and puts it back.

import { refresh } from "./live.js";

const failure = document.getElementById("failure");

async function act(button) {
  const { act: address, confirm: question } = button.dataset;
  if (question && !confirm(question)) return;
  button.disabled = true;
  failure.hidden = true;
  try {
    const response = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
    if (!response.ok) throw new Error((await response.json()).error.message);
  } catch (error) {
    failure.textContent = error instanceof TypeError ? "The server did not answer. Check that penstock is still running, then try again." : error.message;
    failure.hidden = false;
    button.disabled = false;
  }
  refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) act(button);
});
