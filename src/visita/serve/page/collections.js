/** Collections: pictures that were put together, with a name, and what they are exported as. */

import * as api from "./api.js";
import { attempt, fill, h } from "./dom.js";
import { number, text } from "./strings.js";
import { thumbs } from "./thumbs.js";

/** Show all collections, or one by its id. */
export async function show(view, desk, id) {
  await (id ? one(view, desk, id) : all(view));
}

async function all(view) {
  const { collections } = await api.collections();
  const name = h("input", { "aria-label": text.collectionName, placeholder: text.collectionName, maxlength: 200, required: true });
  const make = (event) => {
    event.preventDefault();
    attempt(view, async () => (location.hash = `collections/${(await api.makeCollection(name.value)).id}`));
  };
  const entry = ({ id, name: called, size }) =>
    h("li", {}, h("a", { href: `#collections/${id}` }, called), h("small", {}, text.pictures(size)));
  fill(
    view,
    h("form", { class: "line-form", onsubmit: make }, name, h("button", { class: "primary" }, text.make)),
    collections.length ? h("ul", { class: "entries" }, ...collections.map(entry)) : h("p", { class: "hint" }, text.noCollections),
  );
}

async function one(view, desk, id) {
  const { collection, pictures, missing } = await api.members(id);
  const again = () => attempt(view, () => one(view, desk, id));
  const without = (picture) => api.changeCollection(id, { remove: [api.key(picture)] }).then(again, again);
  const name = h("input", { value: collection.name, "aria-label": text.collectionName, maxlength: 200 });
  name.addEventListener("change", () => api.renameCollection(id, name.value).then(again, (error) => desk.tell(error.message)));
  const forget = () => attempt(view, async () => (await api.removeCollection(id), (location.hash = "collections")));
  const link = (kind, label) => h("a", { class: "button", href: api.exported(id, kind), download: "" }, label);
  const links = () => desk.copy(pictures.map((picture) => picture.path).join("\n"));
  fill(
    view,
    h("p", {}, h("a", { href: "#collections" }, text.allCollections)),
    h("p", { class: "line-form" }, name, h("small", {}, text.pictures(pictures.length))),
    h(
      "p",
      { class: "actions" },
      link("csv", text.asTable),
      link("zip", text.asArchive),
      link("links", text.asLinks),
      h("button", { onclick: links }, text.copyPaths),
      h("button", { onclick: forget }, text.forgetCollection),
    ),
    missing.length > 0 && h("p", { class: "hint" }, text.missing(number(missing.length), missing.length)),
    thumbs(pictures, desk.open, (picture) =>
      h("button", { class: "link", onclick: () => without(picture), "aria-label": text.unmark(picture.name) }, text.takeOut),
    ),
  );
}
