/** Pictures that are the same or nearly; nothing is ever deleted here. */

import * as api from "./api.js";
import { attempt, fill, h } from "./dom.js";
import { number, text } from "./strings.js";
import { thumbs } from "./thumbs.js";

/** Show the groups of all galleries, page by page. */
export async function show(view, desk) {
  const { galleries } = await api.galleries();
  const parts = galleries.map((gallery) => [gallery, h("section", {}, h("p", {}, text.comparing))]);
  fill(view, h("p", { class: "prose" }, text.duplicatesHow), ...parts.map(([, part]) => part));
  for (const [gallery, part] of parts) await attempt(part, () => first(part, gallery, desk));
}

async function first(part, { id, name }, desk) {
  const list = h("div", {});
  const page = await api.duplicates(id);
  fill(part, h("h2", {}, text.groups(name, number(page.total), page.total)), list);
  extend(part, list, page, id, desk);
}

function extend(part, list, page, gallery, desk) {
  list.append(...page.groups.map((each) => group(each, desk)));
  if (!page.next) return;
  const more = h("button", {}, text.moreGroups);
  more.addEventListener("click", () =>
    attempt(more, async () => {
      const next = await api.duplicates(gallery, page.next);
      more.remove();
      extend(part, list, next, gallery, desk);
    }),
  );
  part.append(more);
}

function group({ exact, pictures }, desk) {
  const paths = (picture) => h("small", {}, [picture.path, ...picture.copies].join("\n"));
  return h(
    "article",
    { class: "group" },
    h("h3", {}, exact ? text.exact : text.nearly),
    thumbs(pictures, desk.open, paths),
  );
}
