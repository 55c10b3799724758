/** What was searched for before; it is kept in this browser, and nowhere else. */

import { fill, h } from "./dom.js";
import { text } from "./strings.js";

const PLACE = "visita.recent";
const KEPT = 12;
const LONGEST = 2000;

export class Recent {
  #query;

  constructor(query) {
    this.#query = query;
    this.element = h("div", { class: "recent", hidden: true });
    addEventListener("focusin", () => this.#show());
    addEventListener("click", () => this.#show());
    query.addEventListener("change", () => this.#show());
  }

  /** Keep the query as it is now. */
  keep() {
    const address = this.#query.toString();
    if (this.#query.kind === "browse" || address.length > LONGEST) return;
    const others = kept().filter((each) => each.address !== address);
    const entry = { address, name: this.#query.text.trim() || text.pictures(this.#query.marks.length) };
    localStorage.setItem(PLACE, JSON.stringify([entry, ...others].slice(0, KEPT)));
  }

  /** Move the focus into the list, if it is shown. */
  enter() {
    if (this.element.hidden) return false;
    this.element.querySelector("button").focus();
    return true;
  }

  #show() {
    const within = this.element.parentElement?.contains(document.activeElement);
    const known = kept();
    this.element.hidden = !within || this.#query.kind !== "browse" || !known.length;
    if (this.element.hidden || this.element.contains(document.activeElement)) return;
    fill(
      this.element,
      h("h2", {}, text.recent),
      h("ul", {}, ...known.map(({ address, name }) => h("li", {}, this.#entry(address, name)))),
      h("button", { class: "link", type: "button", onclick: () => this.#forget() }, text.forget),
    );
  }

  #entry(address, name) {
    return h("button", { type: "button", onclick: () => this.#query.read(address) }, name);
  }

  #forget() {
    localStorage.removeItem(PLACE);
    this.element.hidden = true;
  }
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(PLACE)) ?? [];
  } catch {
    return [];
  }
}
