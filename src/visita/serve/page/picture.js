/** One picture, large: what is known of it, and what can be done with it. */

import * as api from "./api.js";
import { fit } from "./cell.js";
import { fill, h } from "./dom.js";
import { copied, download } from "./files.js";
import { fitting } from "./fitting.js";
import { keys } from "./keys.js";
import { bytes, date, number, percent, text } from "./strings.js";
import { thumbs } from "./thumbs.js";
import { Why } from "./why.js";

const SMALL = 640;
const LARGE = 1280;
const ENLARGED = 3;

export class Large {
  #query;
  #results;
  #selection;
  #grid;
  #tell;
  #asked = null;
  #item = null;

  constructor({ query, results, selection, grid, tell }) {
    [this.#query, this.#results, this.#selection, this.#grid, this.#tell] = [query, results, selection, grid, tell];
    this.image = h("img", { alt: "" });
    this.why = new Why();
    this.frame = h("div", { class: "frame" }, this.image, this.why.heat);
    this.stage = h("figure", {}, this.frame);
    this.side = h("aside", { "aria-label": text.details });
    this.element = h(
      "dialog",
      { class: "large", "aria-label": text.picture, onclose: () => this.#closed() },
      this.#nav(),
      this.stage,
      this.side,
    );
    keys(this.element, this.#keys());
    for (const source of [selection, query]) source.addEventListener("change", () => this.#showActions());
  }

  #nav() {
    const button = (name, sign, press) => h("button", { class: `nav ${name}`, "aria-label": text[name], onclick: press }, sign);
    return h(
      "div",
      { class: "navs" },
      button("close", "×", () => this.element.close()),
      button("previous", "‹", () => this.#step(-1)),
      button("next", "›", () => this.#step(1)),
    );
  }

  #keys() {
    const previous = () => this.#step(-1);
    const next = () => this.#step(1);
    return {
      ...{ ArrowLeft: previous, h: previous, ArrowUp: previous, k: previous },
      ...{ ArrowRight: next, l: next, ArrowDown: next, j: next },
      " ": () => this.#selection.toggle(this.#item),
      o: () => this.element.close(),
      y: () => this.#copy(),
      d: () => download(api.original(this.#item)),
      m: () => this.#moreLike(this.#item),
      w: () => this.#explain(),
      "+": () => this.#query.mark(this.#item, 1),
      "-": () => this.#query.mark(this.#item, -1),
    };
  }

  #step(by) {
    const index = this.#grid.active + by;
    if (this.element.classList.contains("alone") || !this.#results.items[index]) return;
    this.#grid.active = index;
    if (index > this.#results.items.length - 20) this.#results.extend();
    this.show(this.#results.items[index]);
  }

  #closed() {
    this.#asked?.abort();
    if (!this.element.classList.contains("alone")) this.#grid.focus();
  }

  /** Show a picture of the results, or another one. */
  async show(item) {
    this.#asked?.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    this.#item = item;
    this.element.classList.toggle("alone", !this.#results.items.includes(item));
    this.why.clear();
    this.#showImage(item);
    this.actions = h("div", { class: "actions" });
    this.facts = h("div", { class: "facts" }, h("p", { class: "path" }, item.path));
    this.alike = h("section", { class: "alikes" });
    fill(this.side, this.#title(item), this.actions, this.#reason(item), this.why.element, this.facts, this.alike, fitting(item));
    this.#showActions();
    if (!this.element.open) this.element.showModal();
    try {
      const known = await api.picture(item, signal);
      fill(this.facts, ...facts(known, (near) => this.#near(near)));
      this.#showAlike((await api.alike(item, signal)).pictures);
    } catch (error) {
      if (error.name !== "AbortError") this.facts.append(h("p", { role: "alert" }, error.message));
    }
  }

  #showImage(item) {
    this.image.src = api.thumbnail(item, SMALL);
    this.image.alt = item.name;
    this.#size(item.width ?? SMALL, item.height ?? SMALL);
    const sharp = new Image();
    sharp.onload = () => {
      if (this.#item !== item) return;
      this.image.src = sharp.src;
      if (!item.width) this.#size(sharp.naturalWidth, sharp.naturalHeight);
    };
    sharp.src = api.thumbnail(item, LARGE);
  }

  #size(width, height) {
    this.frame.style.setProperty("--ratio", width / height);
    this.frame.style.setProperty("--most", `${ENLARGED * width}px`);
  }

  #title(item) {
    return h("header", {}, h("h2", {}, item.name), h("p", { class: "fit" }, fit(item)), this.#very(item));
  }

  /** Of a sentence there is also how probable it is that this is the very picture described. */
  #very({ fit: known, probability, passage }) {
    if (known == null || probability == null || passage) return null;
    return h("p", { class: "hint" }, text.very(percent(probability)));
  }

  #reason({ passage, precedent }) {
    if (!passage) return "";
    const past = precedent && [
      h("h3", {}, text.past),
      h("blockquote", {}, precedent.text),
      h("p", { class: "hint" }, text.pastPicture(precedent.picture)),
    ];
    return h("section", {}, h("h3", {}, text.passage), h("blockquote", {}, passage), past);
  }

  #showActions() {
    const item = this.#item;
    if (!item || !this.actions) return;
    const sign = this.#query.signOf(item);
    const button = (label, press, props = {}) => h("button", { onclick: press, ...props }, label);
    const pressed = (on) => ({ "aria-pressed": String(on) });
    fill(
      this.actions,
      button(text.more, () => this.#moreLike(item), { class: "primary" }),
      button("+", () => this.#query.mark(item, 1), { ...pressed(sign > 0), "aria-label": text.moreLike(item.name) }),
      button("−", () => this.#query.mark(item, -1), { ...pressed(sign < 0), "aria-label": text.lessLike(item.name) }),
      button(text.selectThis, () => this.#selection.toggle(item), pressed(this.#selection.has(item))),
      button(text.copyPath, () => this.#copy()),
      button(text.download, () => download(api.original(item))),
      this.#words() && button(text.why, () => this.#explain()),
      this.#words() && button(text.right, () => this.#judge(true)),
      this.#words() && button(text.wrong, () => this.#judge(false)),
    );
  }

  /** What the picture is explained by: the passage of an article, or what was searched for. */
  #words() {
    return this.#item.passage ?? this.#results.text;
  }

  #explain() {
    if (this.#words()) this.why.ask(this.#item, this.#words());
  }

  async #judge(fits) {
    try {
      await api.judge(this.#item, this.#words(), fits);
      this.#tell(text.judged(1, this.#words(), fits));
    } catch (error) {
      this.#tell(error.message);
    }
  }

  async #copy() {
    const { path } = this.#item;
    this.#tell((await copied(path)) ? text.copied(path) : text.notCopied(path));
  }

  #moreLike(item) {
    this.element.close();
    this.#query.moreLike(item);
  }

  #near(near) {
    this.element.close();
    this.#query.change({ among: { ...this.#query.among, near } });
  }

  #showAlike(pictures) {
    if (pictures.length) fill(this.alike, h("h3", {}, text.alikes(pictures.length)), thumbs(pictures, (each) => this.show(each)));
  }
}

/** Return what is known of a picture as a list of names and values. */
function facts(known, near) {
  const { latitude, longitude } = known;
  const where = latitude == null ? null : `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
  const rows = [
    [text.facts.path, known.path],
    [text.facts.title, known.title],
    [text.facts.caption, known.caption],
    [text.facts.keywords, known.keywords.join(", ")],
    [text.facts.words, known.words],
    [text.facts.date, known.date && date(known.date)],
    [text.facts.camera, [known.camera, known.lens].filter(Boolean).join(", ")],
    [text.facts.named, known.place],
    [text.facts.place, where && h("button", { class: "link", onclick: () => near(`${latitude},${longitude},5`) }, where)],
    [text.facts.size, known.width && `${number(known.width)} × ${number(known.height)}`],
    [text.facts.file, known.size && bytes(known.size)],
    [text.facts.rating, known.rating > 0 && "★".repeat(known.rating)],
    [text.facts.copies, known.copies.join("\n")],
  ];
  const shown = rows.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  return [h("dl", {}, ...shown)];
}
