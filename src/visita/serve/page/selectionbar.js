/** What can be done with the selected pictures: a bar that is there as long as any is. */

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { number, text } from "./strings.js";

export class SelectionBar {
  #selection;
  #desk;

  constructor(selection, desk) {
    this.#selection = selection;
    this.#desk = desk;
    this.count = h("p", { role: "status" });
    this.menu = h("div", { class: "panel" });
    this.adder = h("details", {}, h("summary", { class: "button" }, text.addTo), this.menu);
    this.adder.addEventListener("toggle", () => this.adder.open && this.#offer());
    const paths = () => desk.copy(selection.items.map((item) => item.path).join("\n"));
    this.element = h(
      "section",
      { class: "selected", hidden: true, "aria-label": text.selected },
      this.count,
      this.adder,
      h("button", { onclick: () => this.#judge(true) }, text.right),
      h("button", { onclick: () => this.#judge(false) }, text.wrong),
      h("button", { onclick: paths }, text.copyPaths),
      h("button", { onclick: () => selection.clear() }, text.selectNone),
    );
    selection.addEventListener("change", () => this.#show());
  }

  #show() {
    this.element.hidden = !this.#selection.size;
    this.count.textContent = text.selectedCount(number(this.#selection.size), this.#selection.size);
  }

  async #offer() {
    fill(this.menu, h("p", {}, text.reading));
    try {
      const { collections } = await api.collections();
      const name = h("input", { placeholder: text.collectionName, "aria-label": text.collectionName, maxlength: 200, required: true });
      const make = async (event) => {
        event.preventDefault();
        await this.#try(async () => this.#add(await api.makeCollection(name.value)));
      };
      const entry = (one) => h("li", {}, h("button", { onclick: () => this.#try(() => this.#add(one)) }, one.name));
      fill(
        this.menu,
        h("form", { class: "line-form", onsubmit: make }, name, h("button", { class: "primary" }, text.make)),
        h("ul", { class: "choices" }, ...collections.map(entry)),
      );
      name.focus();
    } catch (error) {
      fill(this.menu, h("p", { role: "alert" }, error.message));
    }
  }

  async #add({ id, name }) {
    await api.changeCollection(id, { add: this.#selection.items.map(api.key) });
    this.adder.open = false;
    this.#desk.tell(text.added(this.#selection.size, name));
    this.#selection.clear();
  }

  async #judge(fits) {
    const words = this.#desk.words();
    if (!words) return this.#desk.tell(text.judgeWhat);
    await this.#try(async () => {
      for (const item of this.#selection.items) await api.judge(item, words, fits);
      this.#desk.tell(text.judged(this.#selection.size, words, fits));
      this.#selection.clear();
    });
  }

  async #try(act) {
    try {
      await act();
    } catch (error) {
      this.#desk.tell(error.message);
    }
  }
}
