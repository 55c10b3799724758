/** A plain row of thumbnails, for views that show few pictures. */

import { thumbnail } from "./api.js";
import { h } from "./dom.js";

/** Return a list of pictures; `press` is called with the one that is chosen, `more` adds to each. */
export function thumbs(pictures, press, more = () => null) {
  const each = (picture) =>
    h(
      "li",
      {},
      h("button", { onclick: () => press(picture), title: picture.path, "aria-label": picture.name }, h("img", { src: thumbnail(picture, 320), alt: "", loading: "lazy" })),
      more(picture),
    );
  return h("ul", { class: "thumbs" }, ...pictures.map(each));
}
