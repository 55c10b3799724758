/** From a picture to texts: which of some captions or articles fit it. */

import * as api from "./api.js";
import { bar, fill, h } from "./dom.js";
import { score, text } from "./strings.js";

/** Return a part of the page that asks for texts, one a line, and orders them by a picture. */
export function fitting(item) {
  const field = h("textarea", { rows: 4, "aria-label": text.textsLabel, placeholder: text.textsHint });
  const found = h("ol", { class: "kernels" });
  const file = h("input", { type: "file", accept: ".txt,text/plain", "aria-label": text.textsFile });
  file.addEventListener("change", async () => {
    field.value = await file.files[0].text();
    ask();
  });
  return h(
    "details",
    { class: "fitting" },
    h("summary", {}, text.texts),
    field,
    h("p", { class: "line-form" }, h("button", { onclick: ask }, text.order), file),
    found,
  );

  async function ask() {
    const texts = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!texts.length) return fill(found, h("li", {}, text.textsNone));
    fill(found, h("li", {}, text.comparing));
    try {
      const answer = await api.fitting(item, texts);
      const each = ({ text: line, score: value, probability }) =>
        h("li", {}, h("span", {}, line), bar(probability ?? value), h("small", {}, score(probability ?? value)));
      fill(found, ...answer.texts.map(each));
    } catch (error) {
      fill(found, h("li", { role: "alert" }, error.message));
    }
  }
}
