// A cited passage in its document: beside the conversation where there is room, a sheet over it where not.

const roomy = matchMedia("(min-width: 70rem)");

export class Passage {
  constructor() {
    this.dialog = document.getElementById("passage");
    this.title = document.getElementById("passage-title");
    this.body = document.getElementById("passage-body");
    this.opener = null;
    document.getElementById("passage-close").addEventListener("click", () => this.close());
    this.dialog.addEventListener("close", () => this.closed());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.close();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.dialog.open && !event.defaultPrevented) this.close();
    });
    roomy.addEventListener("change", () => this.close());
  }

  async open(opener, title) {
    this.opener?.removeAttribute("aria-expanded");
    this.opener = opener;
    opener.setAttribute("aria-expanded", "true");
    this.title.textContent = title;
    document.getElementById("passage-open").href = opener.href;
    if (!this.dialog.open) {
      if (roomy.matches) this.dialog.show();
      else this.dialog.showModal();
    }
    document.body.classList.toggle("with-passage", roomy.matches);
    this.title.focus({ preventScroll: true });
    await htmx.ajax("GET", opener.getAttribute("href"), { target: this.body, swap: "innerHTML" });
    const cited = this.body.querySelector("#cited");
    this.body.scrollTop = cited ? cited.offsetTop - this.body.clientHeight / 3 : 0;
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  closed() {
    document.body.classList.remove("with-passage");
    this.body.replaceChildren();
    this.opener?.removeAttribute("aria-expanded");
    if (this.opener?.isConnected) this.opener.focus({ preventScroll: true });
    this.opener = null;
  }
}
