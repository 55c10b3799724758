/** The list of keys. */

import { h } from "./dom.js";
import { text } from "./strings.js";

/** Return a dialog that lists what each key does. */
export function help() {
  const rows = text.keyList.flatMap(([names, what]) => [
    h("dt", {}, ...names.split(" ").flatMap((name) => [h("kbd", {}, name), " "])),
    h("dd", {}, what),
  ]);
  const close = h("button", { class: "nav close", "aria-label": text.close, onclick: () => dialog.close() }, "×");
  const dialog = h("dialog", { class: "help", "aria-label": text.keys }, close, h("h2", {}, text.keys), h("dl", {}, ...rows));
  return dialog;
}
