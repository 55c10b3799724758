/** The views besides searching; each is loaded when it is asked for, and made anew each time. */

import { attempt, fill, h, set } from "./dom.js";
import { text } from "./strings.js";

const VIEWS = {
  collections: () => import("./collections.js"),
  teach: () => import("./teach.js"),
  quality: () => import("./quality.js"),
  duplicates: () => import("./duplicates.js"),
};

export class Views {
  #desk;
  #searching;

  /** `desk` is what views need: the query, a way to tell and to open a picture. */
  constructor(searching, desk) {
    this.#searching = searching;
    this.#desk = desk;
    this.links = h(
      "nav",
      { class: "views", "aria-label": text.views },
      (this.search = h("a", { href: "#" }, text.view.search)),
      ...Object.keys(VIEWS).map((name) => h("a", { href: `#${name}` }, text.view[name])),
    );
    this.element = h("main", { class: "view", hidden: true, tabindex: "-1" });
  }

  /** Show the view that an address names; return false where it is a search. */
  async show(address) {
    const name = address.split("/")[0];
    const known = Object.hasOwn(VIEWS, name);
    this.element.hidden = !known;
    this.#searching.hidden = known;
    for (const link of this.links.children) {
      const here = known ? link.getAttribute("href") === `#${name}` : link === this.search;
      set(link, { "aria-current": here && "page" });
    }
    this.element.replaceChildren();
    if (!known) return false;
    scrollTo({ top: 0 });
    const { show } = await VIEWS[name]();
    const view = h("div", {}, h("p", {}, text.reading));
    fill(this.element, h("h1", {}, text.view[name]), view);
    attempt(view, () => show(view, this.#desk, address.slice(name.length + 1)));
    return true;
  }
}
