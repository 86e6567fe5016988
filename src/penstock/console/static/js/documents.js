// Takes dropped or chosen files in, one after the other, shows how each fares, and takes them out again.

const drop = document.getElementById("drop");
const chooser = document.getElementById("files");
const list = document.getElementById("uploads");
const GONE = "The server did not answer. Check that penstock is still running, then try again.";
let queue = Promise.resolve();

function addRow(name) {
  const row = document.getElementById("upload-template").content.cloneNode(true).firstElementChild;
  row.querySelector(".upload-name").textContent = name;
  list.prepend(row);
  return {
    say(text, kind = "") {
      row.className = `upload ${kind}`;
      row.querySelector(".upload-state").textContent = text;
    },
    progress(share) {
      row.querySelector("progress").value = share;
    },
    end(text, kind) {
      row.querySelector("progress").remove();
      this.say(text, kind);
    },
    fail(text) {
      this.end(text, "failed");
    },
  };
}

/** Sends one file; resolves to `{status, body}`. XMLHttpRequest, because `fetch` tells nothing of the way up. */
function send(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${drop.dataset.upload}?${new URLSearchParams({ name: file.name })}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onProgress(event.total ? event.loaded / event.total : 1));
    request.addEventListener("load", () => resolve({ status: request.status, body: request.response }));
    request.addEventListener("error", () => reject(new Error(GONE)));
    request.send(file);
  });
}

async function take(file) {
  const row = addRow(file.name);
  const limit = Number(drop.dataset.limit);
  if (file.size > limit) {
    row.fail(`Too large: ${(file.size / 1e6).toFixed(1)} MB, and at most ${(limit / 1e6).toFixed(0)} MB are taken.`);
    return;
  }
  row.say("waiting");
  queue = queue.then(() => upload(file, row));
  await queue;
}

async function upload(file, row) {
  row.say("sending");
  try {
    const { status, body } = await send(file, (share) => {
      row.progress(share);
      if (share === 1) row.say("reading", "reading");
    });
    if (status >= 400 || !body) row.fail(body?.error?.message ?? `The server refused it with status ${status}.`);
    else if (body.status === "ok") row.end(`${body.chunks} ${body.chunks === 1 ? "passage" : "passages"}`, "ok");
    else row.end(body.reason || body.status, ["partial", "ocr"].includes(body.status) ? "partial" : "failed");
  } catch {
    row.fail(GONE);
  }
  refresh();
}

async function remove(button) {
  const { remove: address, name } = button.dataset;
  if (!confirm(`Remove ${name} from the knowledge? The uploaded copy is deleted.`)) return;
  button.disabled = true;
  try {
    const response = await fetch(address, { method: "DELETE" });
    if (!response.ok) throw new Error((await response.json()).error.message);
  } catch (error) {
    addRow(name).fail(error instanceof TypeError ? GONE : error.message);
  }
  refresh();
}

function refresh() {
  document.body.dispatchEvent(new CustomEvent("taken-in"));
}

function takeAll(files) {
  for (const file of files) take(file);
}

chooser.addEventListener("change", () => {
  takeAll(chooser.files);
  chooser.value = "";
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  takeAll(event.dataTransfer.files);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-remove]");
  if (button) remove(button);
});
document.addEventListener("htmx:afterSwap", () => {
  const fresh = document.getElementById("fresh-counts")?.content.querySelector("#counts");
  if (fresh) document.getElementById("counts").textContent = fresh.textContent;
});
