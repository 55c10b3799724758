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
import { text } from "./strings.js";
import { Reading, Toolbar } from "./toolbar.js";

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

const grid = new Grid(results, query, selection);
const box = new SearchBox(query, tell, () => grid.focus());
const large = new Large({ query, results, selection, grid, tell });
const shortcuts = help();
const reading = new Reading(api.galleries, () => query.kind === "browse" && results.ask(query));
const toolbar = new Toolbar(results, query, new Filters(query));
const searching = h("main", { id: "main" }, reading.element, toolbar.element, grid.element);

document.body.append(
  h("a", { class: "skip", href: "#main", onclick: (event) => (event.preventDefault(), grid.focus()) }, text.skip),
  h(
    "header",
    { class: "top" },
    h("a", { class: "wordmark", href: "#", onclick: () => query.clear() }, "visita"),
    box.element,
    h("button", { class: "quiet keys", "aria-label": text.keys, onclick: () => shortcuts.showModal() }, "?"),
  ),
  searching,
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
  results.ask(query);
});
keys(
  document,
  gridKeys(grid, {
    query,
    selection,
    search: () => box.focus(),
    copy: async ({ path }) => tell((await copied(path)) ? text.copied(path) : text.notCopied(path)),
    download: (item) => download(api.original(item)),
    help: () => shortcuts.showModal(),
  }),
  () => !document.querySelector("dialog[open]"),
);
addEventListener("hashchange", () => query.read(location.hash.slice(1)));
query.read(location.hash.slice(1));
