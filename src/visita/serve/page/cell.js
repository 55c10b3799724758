/** One picture of the grid: thumbnail, probability as a quiet bar, and what can be done with it. */

import { thumbnail } from "./api.js";
import { bar, h, set } from "./dom.js";
import { share } from "./results.js";
import { date, percent, score, text } from "./strings.js";

const SHARP = 300;
/** Pixels of a side up to which the small thumbnail is sharp enough. */

/** Say how well a picture fits: its probability, or else its likeness to a picture, or nothing. */
export function fit(item) {
  if (share(item) != null) return text.probable(percent(share(item)));
  return item.score == null ? "" : text.alike(score(item.score));
}

/** Return what is read aloud of a picture. */
function told(item, sign) {
  const taken = item.date && date(item.date);
  const marked = sign ? text.marked(sign) : "";
  return [item.name, fit(item), taken, marked].filter(Boolean).join(", ");
}

/** Make the cell of an item; `act` is called with "select", "plus" or "minus" and the item. */
export function cell(item, index, width, rowHeight, act) {
  const side = Math.max(width, rowHeight) * devicePixelRatio > SHARP ? 640 : 320;
  const image = h("img", { src: thumbnail(item, side), alt: "", decoding: "async", draggable: "false" });
  const made = h(
    "div",
    { class: "cell", role: "gridcell", tabindex: "-1", "data-index": index, title: item.name },
    image,
    item.score != null && !item.passage && bar(share(item) ?? item.score),
    h("span", { class: "name", "aria-hidden": "true" }, [item.name, fit(item)].filter(Boolean).join(" · ")),
    tool("select", "✓", text.select(item.name)),
    item.score === undefined || tool("plus", "+", text.moreLike(item.name)),
    item.score === undefined || tool("minus", "−", text.lessLike(item.name)),
    item.alike?.length > 0 && h("span", { class: "alike", "aria-hidden": "true" }, `+${item.alike.length}`),
  );
  image.addEventListener("error", () => made.classList.add("broken"));
  return made;

  function tool(name, sign, label) {
    const press = (event) => {
      event.stopPropagation();
      act(name, item, event);
    };
    return h("button", { class: `tool ${name}`, tabindex: "-1", "aria-label": label, onclick: press }, sign);
  }
}

/** Show whether a cell's picture is selected and how it is marked. */
export function mark(made, item, selected, sign) {
  set(made, { "aria-selected": String(selected), "aria-label": told(item, sign) });
  made.classList.toggle("wanted", sign > 0);
  made.classList.toggle("unwanted", sign < 0);
}
