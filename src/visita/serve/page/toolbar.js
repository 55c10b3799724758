/** Above the grid: what was found, the order, remarks, and what to do when there is nothing. */

import { sync } from "./api.js";
import { fill, h } from "./dom.js";
import { share } from "./results.js";
import { number, text } from "./strings.js";

/** Return the sentence that says what was found. */
function found(results) {
  const { kind, size, items, matching, more, sure } = results;
  if (!items.length) return "";
  if (kind === "browse") return text.all(number(size), size);
  if (kind === "article") return text.forArticle(number(items.length), number(size), items.length);
  const judged = sure != null && items.some((item) => share(item) != null);
  if (!judged) return text.alikeFirst(number(size));
  if (!matching) return text.noneMatches(number(size));
  const open = more && matching === items.length;
  return text.matching(number(matching) + (open ? "+" : ""), number(size), matching);
}

export class Toolbar {
  #results;
  #query;

  constructor(results, query, filters) {
    this.#results = results;
    this.#query = query;
    this.status = h("p", { class: "status", role: "status" });
    this.sorting = h("div", { class: "sort", role: "group", "aria-label": text.sort });
    this.remarks = h("ul", { class: "remarks" });
    this.message = h("div", { class: "message", hidden: true });
    this.element = h(
      "div",
      { class: "toolbar" },
      h("div", { class: "tools" }, this.status, filters.element, this.sorting),
      this.remarks,
      this.message,
    );
    results.addEventListener("change", () => this.#show());
    query.addEventListener("change", () => this.#sorting());
    this.#sorting();
  }

  #sorting() {
    const { kind, sort } = this.#query;
    const button = (name, label) =>
      h("button", { "aria-pressed": String(sort === name), onclick: () => this.#query.change({ sort: name }) }, label);
    const first = kind === "browse" ? text.byPath : text.byRelevance;
    fill(this.sorting, button("relevance", first), button("date", text.byDate));
    this.sorting.hidden = kind === "article";
  }

  #show() {
    const { state, error, items, remarks } = this.#results;
    this.element.classList.toggle("asking", state === "asking");
    if (state === "asking") {
      if (!items.length) this.status.textContent = text.searching;
      return;
    }
    this.status.textContent = state === "failed" ? "" : found(this.#results);
    fill(this.remarks, ...remarks.map((remark) => h("li", {}, remark)));
    this.message.hidden = state === "ready" && items.length > 0;
    if (state === "failed") fill(this.message, ...this.#failure(error));
    else if (!items.length) fill(this.message, ...this.#nothing());
  }

  #failure(error) {
    const again = h("button", { class: "primary", onclick: () => this.#results.ask(this.#query) }, text.again);
    return [h("h2", {}, text.failed), h("p", { role: "alert" }, error.message), again];
  }

  #nothing() {
    const { among, kind } = this.#query;
    if (Object.keys(among).length) {
      const all = h("button", { class: "primary", onclick: () => this.#query.change({ among: {} }) }, text.unfilterAll);
      return [h("h2", {}, text.nothing), h("p", {}, text.nothingPasses), all];
    }
    const advice = kind === "browse" ? text.noPictures : text.noneFound;
    return [h("h2", {}, text.nothing), h("p", {}, advice)];
  }
}

/** What galleries are being read: shown until they are. */
export class Reading {
  constructor(fetched, changed) {
    this.element = h("div", { class: "reading", role: "status", hidden: true });
    this.#watch(fetched, changed);
  }

  async #watch(fetched, changed) {
    for (let before = -1, ended = false; !ended; await new Promise((done) => setTimeout(done, 1500))) {
      const galleries = await fetched().then((answer) => answer.galleries, () => null);
      if (!galleries) continue; // the service is away: the next question will say so
      const pictures = galleries.reduce((sum, gallery) => sum + gallery.pictures, 0);
      if (before >= 0 && pictures !== before) changed();
      before = pictures;
      ended = galleries.every((gallery) => gallery.state !== "indexing");
      this.#show(galleries);
    }
  }

  #show(galleries) {
    const lines = galleries.flatMap((gallery) => this.#lines(gallery));
    fill(this.element, ...lines);
    this.element.hidden = !lines.length;
  }

  #lines({ id, name, state, done, total, error, skipped }) {
    if (state === "indexing") {
      const line = total ? text.indexing(name, number(done), number(total)) : text.looking(name);
      return [h("p", {}, line, total > 0 && h("progress", { value: done, max: total, "aria-label": line }))];
    }
    if (state === "failed") {
      return [h("p", { role: "alert" }, text.notRead(name, error), " ", h("button", { class: "link", onclick: () => sync(id) }, text.again))];
    }
    if (!skipped.length) return [];
    const files = h("ul", {}, ...skipped.map((each) => h("li", {}, each)));
    return [h("details", {}, h("summary", {}, text.skipped(number(skipped.length), name, skipped.length)), files)];
  }
}
