/** The one box: words, an article, or pictures that are dropped, pasted or chosen. */

import { fill, h, settled } from "./dom.js";
import { picturesOf } from "./files.js";
import { markOfFile } from "./query.js";
import { Recent } from "./recent.js";
import { number, text } from "./strings.js";

const PAUSE = 120;
/** Milliseconds after which typing has stopped. */

export class SearchBox {
  #query;
  #tell;

  /** `tell` shows a sentence to the user; `leave` moves on to the results. */
  constructor(query, tell, leave) {
    this.#query = query;
    this.#tell = tell;
    this.recent = new Recent(query);
    this.field = h("textarea", {
      rows: 1,
      "aria-label": text.searchLabel,
      placeholder: text.searchHint,
      spellcheck: "false",
      autocomplete: "off",
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#key(event, leave),
    });
    this.marks = h("ul", { class: "marks", "aria-label": text.marks });
    this.clear = h("button", { class: "quiet", "aria-label": text.clear, onclick: () => this.#clear() }, "×");
    this.notice = h("p", { class: "notice" });
    this.element = h(
      "form",
      { class: "search", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "box" }, this.marks, this.field, this.clear, this.#chooser()),
      this.notice,
      this.recent.element,
    );
    query.addEventListener("change", () => this.#show());
    this.#takeDrops();
    this.#show();
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  #chooser() {
    const input = h("input", {
      type: "file",
      accept: "image/*",
      multiple: true,
      hidden: true,
      onchange: () => {
        this.#take([...input.files]);
        input.value = "";
      },
    });
    return [input, h("button", { class: "quiet", type: "button", onclick: () => input.click() }, text.choosePicture)];
  }

  #typed() {
    this.#fit();
    this.#asks();
  }

  #asks = settled(PAUSE, () => {
    if (this.field.value !== this.#query.text) this.#query.change({ text: this.field.value, plain: false });
  });

  #key(event, leave) {
    const below = this.field.selectionStart === this.field.value.length;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (this.field.value !== this.#query.text) this.#query.change({ text: this.field.value, plain: false });
      this.recent.keep();
    } else if (event.key === "Escape") {
      leave();
    } else if (event.key === "ArrowDown" && below && !this.recent.enter()) {
      event.preventDefault();
      leave();
    }
  }

  #clear() {
    this.#query.clear();
    this.field.focus();
  }

  #show() {
    const { text: words, marks, kind, plain, looksLikeArticle } = this.#query;
    if (document.activeElement !== this.field || !words) this.field.value = words;
    fill(this.marks, ...marks.map((mark) => this.#mark(mark)));
    this.marks.hidden = !marks.length;
    this.clear.hidden = kind === "browse";
    const count = number(words.trim().split(/\s+/).length);
    const other = h("button", { class: "link", onclick: () => this.#query.change({ plain: !plain }) });
    other.textContent = plain ? text.asArticle : text.asQuery;
    fill(this.notice, plain ? text.isPlain : text.isArticle(count), " ", other);
    this.notice.hidden = !looksLikeArticle;
    this.#fit();
  }

  #fit() {
    this.field.style.height = "auto";
    const { scrollHeight } = this.field; // 0 before it is in the page
    if (scrollHeight) this.field.style.height = `${scrollHeight}px`;
  }

  #mark(mark) {
    const without = () => this.#query.change({ marks: this.#query.marks.filter((each) => each !== mark) });
    const turned = () =>
      this.#query.change({
        marks: this.#query.marks.map((each) => (each === mark ? { ...mark, sign: -mark.sign } : each)),
      });
    return h(
      "li",
      { class: mark.sign > 0 ? "wanted" : "unwanted" },
      h("button", { type: "button", "aria-label": text.turn(mark.name, mark.sign), onclick: turned }, mark.sign > 0 ? "+" : "−"),
      h("img", { src: mark.address, alt: text.markedPicture(mark.name, mark.sign), title: mark.name }),
      h("button", { type: "button", "aria-label": text.unmark(mark.name), onclick: without }, "×"),
    );
  }

  #takeDrops() {
    const over = h("div", { class: "drop", hidden: true }, h("p", {}, text.drop));
    document.body.append(over);
    const dragged = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    addEventListener("dragover", (event) => {
      if (!dragged(event)) return;
      event.preventDefault();
      over.hidden = false;
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) over.hidden = true;
    });
    addEventListener("drop", (event) => {
      over.hidden = true;
      if (!dragged(event)) return;
      event.preventDefault();
      this.#take([...event.dataTransfer.files]);
    });
    addEventListener("paste", (event) => {
      const pictures = picturesOf(event.clipboardData);
      if (!pictures.length) return;
      event.preventDefault();
      this.#take(pictures);
    });
  }

  async #take(files) {
    const pictures = files.filter((file) => file.type.startsWith("image/"));
    const articles = files.filter((file) => file.type.startsWith("text/"));
    if (articles.length) this.#query.change({ text: await articles[0].text(), plain: false });
    else if (!pictures.length) this.#tell(text.notAPicture(files[0]?.name ?? ""));
    if (!pictures.length) return;
    const marks = await Promise.all(pictures.map((file) => markOfFile(file)));
    this.#query.change({ marks: [...this.#query.marks, ...marks].slice(-10) });
  }
}
