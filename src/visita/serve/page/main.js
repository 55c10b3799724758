/** The page: a box, a grid, a picture large; other views are loaded when they are asked for. */

import * as api from "./api.js";
import { h } from "./dom.js";
import { copied, download } from "./files.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { help } from "./help.js";
import { gridKeys, keys } from "./keys.js";
import { Large } from "./picture.js";
import { Query } from "./query.js";
import { Results } from "./results.js";
import { SearchBox } from "./searchbox.js";
import { Selection } from "./selection.js";
import { SelectionBar } from "./selectionbar.js";
import { text } from "./strings.js";
import { Reading, Toolbar } from "./toolbar.js";
import { Views } from "./views.js";

const query = new Query();
const results = new Results();
const selection = new Selection();

const toast = h("p", { class: "toast", role: "status", hidden: true });
let fades;
/** Show a sentence for a while. */
function tell(sentence) {
  toast.textContent = sentence;
  toast.hidden = false;
  clearTimeout(fades);
  fades = setTimeout(() => (toast.hidden = true), 5000);
}

const copy = async (value) => tell((await copied(value)) ? text.copied(value) : text.notCopied(value));
const grid = new Grid(results, query, selection);
const box = new SearchBox(query, tell, () => grid.focus());
const large = new Large({ query, results, selection, grid, tell });
const shortcuts = help();
/** Show pictures that were read meanwhile, unless the user has gone on among the others. */
const readMore = () => query.kind === "browse" && scrollY < innerHeight && results.ask(query);
const reading = new Reading(api.galleries, readMore);
const toolbar = new Toolbar(results, query, new Filters(query));
const searching = h("main", { id: "main" }, reading.element, toolbar.element, grid.element);
const desk = { tell, copy, words: () => query.text.trim(), open: (picture) => large.show(picture) };
const views = new Views(searching, desk);

document.body.append(
  h("a", { class: "skip", href: "#main", onclick: (event) => (event.preventDefault(), grid.focus()) }, text.skip),
  h(
    "header",
    { class: "top" },
    h("a", { class: "wordmark", href: "#", onclick: () => query.clear() }, "visita"),
    box.element,
    h(
      "div",
      { class: "end" },
      views.links,
      h("button", { class: "quiet keys", "aria-label": text.keys, onclick: () => shortcuts.showModal() }, "?"),
    ),
  ),
  searching,
  views.element,
  new SelectionBar(selection, desk).element,
  large.element,
  shortcuts,
  toast,
);

grid.addEventListener("open", ({ detail }) => {
  box.recent.keep();
  large.show(results.items[detail]);
});
query.addEventListener("change", () => {
  history.replaceState(null, "", `#${query}`);
  views.search.href = `#${query}`;
  views.show("");
  results.ask(query);
});
keys(
  document,
  gridKeys(grid, {
    query,
    selection,
    search: () => box.focus(),
    copy: ({ path }) => copy(path),
    download: (item) => download(api.original(item)),
    help: () => shortcuts.showModal(),
  }),
  () => !searching.hidden && !document.querySelector("dialog[open]"),
);

/** Show what the address names: a view, or what is searched for. */
async function go() {
  const address = location.hash.slice(1);
  if (!(await views.show(address))) query.read(address);
}
addEventListener("hashchange", go);
go();
