/** Filters as chips: each opens what can be chosen, and says what is. */

import * as api from "./api.js";
import { fill, h, settled } from "./dom.js";
import { date, number, text } from "./strings.js";

const MANY = 12;
const KILOMETRES = 20;

/** Ask what galleries can be filtered by, all together; once. */
function asker() {
  let facets;
  return () => (facets ??= together().catch((error) => ((facets = null), Promise.reject(error))));
}

async function together() {
  const { galleries } = await api.galleries();
  const each = await Promise.all(galleries.filter((one) => one.pictures).map((one) => api.facets(one.id)));
  const joined = (name) => {
    const counts = new Map();
    for (const { value, count } of each.flatMap((one) => one[name])) {
      counts.set(value, (counts.get(value) ?? 0) + count);
    }
    return [...counts].map(([value, count]) => ({ value, count })).sort((one, other) => other.count - one.count);
  };
  return { folders: joined("folders"), cameras: joined("cameras"), tags: joined("tags"), years: joined("years") };
}

export class Filters {
  #query;
  #facets = asker();
  #chips;

  constructor(query) {
    this.#query = query;
    this.#chips = [
      this.#chip("folder", ["under"], (facets, panel) => this.#choices(panel, facets.folders, "under")),
      this.#chip("date", ["since", "until"], (facets, panel) => this.#dates(panel, facets.years)),
      this.#chip("camera", ["camera"], (facets, panel) => this.#choices(panel, facets.cameras, "camera")),
      this.#chip("place", ["near"], (_facets, panel) => this.#place(panel)),
      this.#chip("tag", ["tag"], (facets, panel) => this.#choices(panel, facets.tags, "tag")),
      this.#chip("words", ["words"], (_facets, panel) => this.#words(panel)),
    ];
    this.element = h("div", { class: "filters", role: "group", "aria-label": text.filters }, ...this.#chips);
    query.addEventListener("change", () => this.#show());
    addEventListener("click", (event) => this.#close(event.target));
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.#close(null, event));
    this.#show();
  }

  #close(target, event) {
    for (const chip of this.element.querySelectorAll("details[open]")) {
      if (chip.contains(target)) continue;
      chip.open = false;
      if (!event) continue;
      chip.firstChild.focus();
      event.stopPropagation();
    }
  }

  #chip(name, fields, offer) {
    const panel = h("div", { class: "panel" });
    const remove = h("button", { class: "remove", "aria-label": text.unfilter(text.filter[name]) }, "×");
    remove.addEventListener("click", () => this.#set(Object.fromEntries(fields.map((field) => [field, null]))));
    const chip = h("details", { name: "filter" }, h("summary", {}, text.filter[name]), panel);
    chip.addEventListener("toggle", () => chip.open && this.#open(panel, offer));
    const whole = h("div", { class: "chip" }, chip, remove);
    whole.show = () => {
      const said = this.#said(name);
      chip.firstChild.textContent = said ? `${text.filter[name]}: ${said}` : text.filter[name];
      whole.classList.toggle("on", Boolean(said));
      remove.hidden = !said;
    };
    return whole;
  }

  async #open(panel, offer) {
    fill(panel, h("p", {}, text.reading));
    try {
      const facets = await this.#facets();
      panel.replaceChildren();
      offer(facets, panel);
    } catch (error) {
      fill(panel, h("p", { role: "alert" }, error.message));
    }
  }

  #show() {
    for (const chip of this.#chips) chip.show();
  }

  /** Return what a filter says now, in words. */
  #said(name) {
    const { under, since, until, camera, near, tag, words } = this.#query.among;
    if (name === "folder") return under;
    if (name === "camera") return camera;
    if (name === "place") return near && text.near(...near.split(","));
    if (name === "tag") return tag?.join(", ");
    if (name === "words") return words;
    if (since && since === until) return date(since);
    return (since || until) && text.between(since && date(since), until && date(until));
  }

  #set(values) {
    const among = { ...this.#query.among, ...values };
    const given = Object.entries(among).filter(([, value]) => value?.length);
    this.#query.change({ among: Object.fromEntries(given) });
  }

  #choices(panel, values, field) {
    if (!values.length) return panel.append(h("p", {}, text.nothingKnown));
    const list = h("ul", { class: "choices" }, ...values.map((each) => this.#choice(each, field)));
    if (values.length > MANY) panel.append(narrowed(list));
    return panel.append(list);
  }

  #choice({ value, count }, field) {
    const several = field === "tag";
    const chosen = () => (several ? this.#query.among.tag ?? [] : [this.#query.among[field]]).includes(value);
    const press = () => {
      const tags = this.#query.among.tag ?? [];
      const left = chosen() ? tags.filter((each) => each !== value) : [...tags, value];
      this.#set({ [field]: several ? left : chosen() ? null : value });
      button.setAttribute("aria-pressed", chosen());
    };
    const button = h("button", { "aria-pressed": String(chosen()), onclick: press }, value, h("small", {}, number(count)));
    return h("li", { "data-value": value.toLowerCase() }, button);
  }

  #dates(panel, years) {
    const change = settled(400, () => this.#set({ since: since.value.trim(), until: until.value.trim() }));
    const field = (name, value) =>
      h("input", { value: value ?? "", placeholder: text.dateHint, "aria-label": name, oninput: change, size: 10 });
    const since = field(text.since, this.#query.among.since);
    const until = field(text.until, this.#query.among.until);
    panel.append(h("p", { class: "pair" }, since, "–", until));
    const press = (value) => () => this.#set({ since: value, until: value });
    const shown = [...years].sort((one, other) => (one.value < other.value ? 1 : -1));
    const year = ({ value, count }) => h("li", {}, h("button", { onclick: press(value) }, value, h("small", {}, number(count))));
    panel.append(h("ul", { class: "choices" }, ...shown.map(year)));
  }

  #place(panel) {
    const [latitude = "", longitude = "", far = KILOMETRES] = this.#query.among.near?.split(",") ?? [];
    const change = settled(400, () => {
      const given = [where.value.trim(), distance.value.trim()].join(",").replaceAll(" ", "");
      this.#set({ near: given.split(",").length === 3 && where.value.trim() ? given : null });
    });
    const at = [latitude, longitude].filter(Boolean).join(", ");
    const where = h("input", { value: at, placeholder: text.placeHint, "aria-label": text.placeLabel, oninput: change });
    const distance = h("input", { value: far, size: 4, inputmode: "decimal", "aria-label": text.kilometres, oninput: change });
    panel.append(h("p", { class: "pair" }, where, distance, "km"), h("p", { class: "hint" }, text.placeHelp));
  }

  #words(panel) {
    const change = settled(300, () => this.#set({ words: field.value.trim() }));
    const field = h("input", { value: this.#query.among.words ?? "", "aria-label": text.filter.words, oninput: change });
    panel.append(field, h("p", { class: "hint" }, text.wordsHelp));
    field.focus();
  }
}

/** Return a field that leaves only the choices with what is written in it. */
function narrowed(list) {
  const narrow = (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const choice of list.children) choice.hidden = !choice.dataset.value.includes(wanted);
  };
  return h("input", { type: "search", placeholder: text.narrow, "aria-label": text.narrow, oninput: narrow });
}
