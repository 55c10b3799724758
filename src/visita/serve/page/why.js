/** Why a picture and a text have their score: where in the picture, by which words and kernels. */

import { explain } from "./api.js";
import { bar, fill, h } from "./dom.js";
import { score, text } from "./strings.js";

export class Why {
  #asked = null;
  #whole = [];

  constructor() {
    this.element = h("section", { class: "why", "aria-live": "polite" });
    this.heat = h("canvas", { class: "heat", hidden: true, role: "img" });
  }

  clear() {
    this.#asked?.abort();
    this.heat.hidden = true;
    this.element.replaceChildren();
  }

  /** Ask for the reasons, and show them. */
  async ask(item, words) {
    this.clear();
    this.#asked = new AbortController();
    fill(this.element, h("p", {}, text.explaining));
    try {
      this.#show(await explain(item, words, this.#asked.signal));
    } catch (error) {
      if (error.name !== "AbortError") fill(this.element, h("p", { role: "alert" }, error.message));
    }
  }

  #show({ heat, words, kernels }) {
    this.#whole = heat;
    const most = Math.max(...words.map((word) => Math.abs(word.effect)), 1e-9);
    const sentence = h("p", { class: "words" }, ...words.flatMap((word) => [this.#word(word, most), " "]));
    fill(
      this.element,
      h("h3", {}, text.whyWords),
      sentence,
      h("p", { class: "hint" }, text.whyHelp),
      h("h3", {}, text.whyKernels),
      h("ul", { class: "kernels" }, ...kernels.map(kernel(kernels))),
    );
    this.#draw(heat, text.heatWhole);
  }

  #word({ word, effect, heat }, most) {
    const shown = () => this.#draw(heat, text.heatOf(word));
    const whole = () => this.#draw(this.#whole, text.heatWhole);
    const made = h(
      "button",
      {
        class: effect < 0 ? "against" : "for",
        "aria-label": text.effect(word, score(effect)),
        onmouseenter: shown,
        onfocus: shown,
        onclick: shown,
        onmouseleave: whole,
        onblur: whole,
      },
      word,
    );
    made.style.setProperty("--share", Math.abs(effect) / most);
    return made;
  }

  /** Draw cells over the picture: what speaks for the text is lit, the rest is dimmed. */
  #draw(heat, label) {
    const [rows, columns] = [heat.length, heat[0]?.length ?? 0];
    this.heat.hidden = !rows;
    if (!rows) return;
    Object.assign(this.heat, { width: columns, height: rows });
    this.heat.setAttribute("aria-label", label);
    const context = this.heat.getContext("2d");
    const most = Math.max(...heat.flat(), 1e-9);
    heat.forEach((row, y) =>
      row.forEach((value, x) => {
        context.fillStyle = `rgba(0, 0, 0, ${0.72 * (1 - Math.max(0, value) / most)})`;
        context.fillRect(x, y, 1, 1);
      }),
    );
  }
}

/** Return what shows one kernel among all. */
function kernel(all) {
  const most = Math.max(...all.map(({ adds }) => Math.abs(adds)), 1e-9);
  return ({ name, weight, adds }) =>
    h("li", {}, h("span", {}, name), bar(Math.abs(adds) / most), h("small", {}, text.adds(score(weight), score(adds))));
}
