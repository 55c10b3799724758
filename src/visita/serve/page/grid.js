/** The grid of results: of ten thousand pictures only the rows in sight are in the page. */

import { cell, mark } from "./cell.js";
import { h } from "./dom.js";
import { across, justify, rowAt, rowOfPicture, shape } from "./layout.js";
import { text } from "./strings.js";

const LINE = 56;
const PASSAGE = 48;

/** How rows are, by the width of the page. */
function room(width) {
  if (width < 640) return { width, height: 132, gap: 4 };
  return { width, height: width < 1500 ? 190 : 230, gap: 8 };
}

export class Grid extends EventTarget {
  #results;
  #query;
  #selection;
  #shapes = [];
  #laid = { rows: [], height: 0, line: null };
  #shown = new Map();
  #width = 0;
  #anchor = 0;
  /** The picture that keys act on. */
  active = 0;

  constructor(results, query, selection) {
    super();
    this.#results = results;
    this.#query = query;
    this.#selection = selection;
    this.line = h("div", { class: "line", role: "row" }, h("div", { role: "gridcell" }, text.line));
    this.element = h("div", {
      class: "grid",
      role: "grid",
      "aria-label": text.results,
      "aria-multiselectable": "true",
      onclick: (event) => this.#clicked(event),
    });
    addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(this.element);
    results.addEventListener("change", () => this.#changed());
    for (const source of [selection, query]) source.addEventListener("change", () => this.#mark());
  }

  get items() {
    return this.#results.items;
  }

  get current() {
    return this.items[this.active];
  }

  #changed() {
    if (this.#results.state === "asking") return;
    const { items } = this;
    const extended = this.#shapes.length && items.length > this.#shapes.length && this.first === items[0];
    if (!extended) {
      this.active = this.#anchor = 0;
      this.#clear();
      scrollTo({ top: 0 });
    }
    this.first = items[0];
    this.#shapes = items.map(shape);
    this.#lay();
  }

  #resized() {
    if (this.element.clientWidth === this.#width) return;
    this.#lay();
    if (this.active) this.#reveal();
  }

  #lay() {
    this.#width = this.element.clientWidth;
    if (!this.#width) return;
    const { kind, matching } = this.#results;
    const focused = this.element.contains(document.activeElement);
    this.#laid = justify(this.#shapes, {
      ...room(this.#width),
      below: kind === "article" ? PASSAGE : 0,
      line: kind !== "article" && matching < this.#shapes.length ? matching : null,
      lineHeight: LINE,
    });
    this.#clear();
    this.element.style.height = `${this.#laid.height}px`;
    this.element.setAttribute("aria-rowcount", this.#results.more ? -1 : this.#laid.rows.length);
    this.#drawLine();
    this.#draw();
    if (focused) this.focus(this.active);
  }

  #drawLine() {
    this.line.remove();
    if (this.#laid.line === null) return;
    this.line.style.top = `${this.#laid.line}px`;
    this.element.append(this.line);
  }

  #clear() {
    for (const at of this.#shown.keys()) this.#drop(at);
  }

  #drop(at) {
    const row = this.#shown.get(at);
    for (const image of row.querySelectorAll("img")) image.removeAttribute("src"); // stops its loading
    row.remove();
    this.#shown.delete(at);
  }

  /** Put the rows near to what is seen in the page, and take the others out. */
  #draw() {
    const { rows } = this.#laid;
    const top = -this.element.getBoundingClientRect().top;
    const first = rowAt(rows, top - innerHeight);
    const last = rowAt(rows, top + 2 * innerHeight);
    for (const [at, row] of this.#shown) {
      if ((at < first || at > last) && !row.contains(document.activeElement)) this.#drop(at);
    }
    for (let at = first; at <= last && at < rows.length; at++) this.#show(at);
    if (last >= rows.length - 1 && this.items.length) this.#results.extend();
  }

  #show(at) {
    if (this.#shown.has(at)) return;
    const laid = this.#laid.rows[at];
    const row = h("div", { class: "row", role: "row", "aria-rowindex": at + 1 });
    row.style.top = `${laid.top}px`;
    row.append(...laid.lefts.map((left, each) => this.#cell(laid, left, each)));
    this.#shown.set(at, row);
    this.element.append(row);
  }

  #cell(laid, left, each) {
    const index = laid.start + each;
    const item = this.items[index];
    const made = cell(item, index, laid.widths[each], laid.height, (...values) => this.#act(...values));
    Object.assign(made.style, { left: `${left}px`, width: `${laid.widths[each]}px`, height: `${laid.height}px` });
    made.classList.toggle("below", this.#laid.line !== null && index >= this.#results.matching);
    if (index === this.active) made.tabIndex = 0;
    if (item.passage) made.append(h("span", { class: "passage" }, item.passage));
    mark(made, item, this.#selection.has(item), this.#query.signOf(item));
    return made;
  }

  #mark() {
    for (const row of this.#shown.values()) {
      for (const made of row.children) {
        const item = this.items[made.dataset.index];
        if (item) mark(made, item, this.#selection.has(item), this.#query.signOf(item));
      }
    }
  }

  #act(name, item, event) {
    if (name !== "select") this.#query.mark(item, name === "plus" ? 1 : -1);
    else if (event.shiftKey) this.#range(this.items.indexOf(item));
    else this.toggle(this.items.indexOf(item));
  }

  #clicked(event) {
    const made = event.target.closest(".cell");
    if (!made) return;
    const index = Number(made.dataset.index);
    if (event.shiftKey) this.#range(index);
    else if (event.ctrlKey || event.metaKey) this.toggle(index);
    else this.open(index);
  }

  /** Let a picture be opened large. */
  open(index = this.active) {
    if (!this.items[index]) return;
    this.focus(index);
    this.dispatchEvent(new CustomEvent("open", { detail: index }));
  }

  /** Select a picture, or no longer. */
  toggle(index = this.active) {
    if (!this.items[index]) return;
    this.#anchor = index;
    this.#selection.toggle(this.items[index]);
    this.focus(index);
  }

  #range(index) {
    const [from, to] = [this.#anchor, index].sort((one, other) => one - other);
    this.#selection.add(this.items.slice(from, to + 1));
    this.focus(index);
  }

  /** Go to the picture beside (`by` −1 or 1), or above or below (`rows` −1 or 1). */
  step(by, rows, extend) {
    if (!this.items.length) return;
    const index = rows ? across(this.#laid.rows, this.active, rows) : this.active + by;
    this.go(index, extend);
  }

  /** Go to a picture by its place; with `extend` all on the way are selected. */
  go(index, extend) {
    const reached = Math.min(this.items.length - 1, Math.max(0, index));
    if (extend) this.#range(reached);
    else {
      this.#anchor = reached;
      this.focus(reached);
    }
  }

  /** Put the keyboard's focus on a picture. */
  focus(index = this.active) {
    if (!this.items[index]) return;
    this.#made(this.active)?.setAttribute("tabindex", "-1");
    this.active = index;
    this.#reveal();
    const made = this.#made(index);
    made.tabIndex = 0;
    made.focus({ preventScroll: true });
  }

  #made(index) {
    return this.element.querySelector(`[data-index="${index}"]`);
  }

  /** Scroll until the row of the active picture is in sight. */
  #reveal() {
    const at = rowOfPicture(this.#laid.rows, this.active);
    const row = this.#laid.rows[at];
    if (!row) return;
    this.#show(at);
    this.#made(this.active).scrollIntoView({ block: "nearest" });
    this.#draw();
  }
}
