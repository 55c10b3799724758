/** The keyboard: what each key does, for the grid and for a picture that is open. */

/** Whether an element takes keys itself. */
const writes = (element) => element.matches?.("input, textarea, select, [contenteditable]");

/**
 * Let keys act.
 *
 * @param {EventTarget} target - Where keys are heard.
 * @param {Record<string, (event: KeyboardEvent) => void>} actions - By the key, as the browser
 *   names it.
 * @param {() => boolean} [applies] - Whether they act now.
 */
export function keys(target, actions, applies = () => true) {
  target.addEventListener("keydown", (event) => {
    const act = actions[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || !applies()) return;
    if (writes(event.target)) return;
    if (event.target.matches?.("button, a, summary") && [" ", "Enter"].includes(event.key)) return;
    event.preventDefault();
    act(event);
  });
}

/** Return the keys of the grid. */
export function gridKeys(grid, { query, search, copy, download, help, selection }) {
  const left = (event) => grid.step(-1, 0, event.shiftKey);
  const right = (event) => grid.step(1, 0, event.shiftKey);
  const up = (event) => grid.step(0, -1, event.shiftKey);
  const down = (event) => grid.step(0, 1, event.shiftKey);
  const withCurrent = (act) => () => grid.current && act(grid.current);
  return {
    ...{ ArrowLeft: left, h: left, H: left, ArrowRight: right, l: right, L: right },
    ...{ ArrowUp: up, k: up, K: up, ArrowDown: down, j: down, J: down },
    Home: (event) => grid.go(0, event.shiftKey),
    End: (event) => grid.go(Infinity, event.shiftKey),
    " ": () => grid.toggle(),
    Enter: () => grid.open(),
    o: () => grid.open(),
    y: withCurrent(copy),
    d: withCurrent(download),
    "+": withCurrent((item) => query.mark(item, 1)),
    "-": withCurrent((item) => query.mark(item, -1)),
    m: withCurrent((item) => query.moreLike(item)),
    Escape: () => selection.clear(),
    "/": search,
    "?": help,
  };
}
