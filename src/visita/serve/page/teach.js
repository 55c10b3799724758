/** Teaching: what was marked, pairs of one's own, learning in the background, and its result. */

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { fileOf } from "./files.js";
import { date, score, text } from "./strings.js";

const OFTEN = 1000;

/** Show what was marked, what can be learnt from it, and what came of learning. */
export async function show(view, desk) {
  const pairs = new Pairs(desk);
  const told = h("div", { class: "jobs" });
  const marked = h("p", {});
  const beginning = h("small", { role: "status" });
  const begin = h("button", { class: "primary", onclick: () => start() }, text.learn);
  fill(
    view,
    h("p", { class: "prose" }, text.teachHow),
    h("h2", {}, text.marked2),
    marked,
    h("h2", {}, text.ownPairs),
    pairs.element,
    h("p", { class: "line-form" }, begin, beginning),
    h("h2", {}, text.runs),
    told,
  );
  let waits;
  await again();

  async function start() {
    begin.disabled = true;
    beginning.textContent = text.beginning;
    await tried(desk, () => api.learn(pairs.given));
    beginning.textContent = "";
    await tried(desk, again);
  }

  async function again() {
    clearTimeout(waits);
    const [{ marks }, { jobs }, model] = await Promise.all([api.marks(), api.jobs(), api.model()]);
    const right = marks.filter((mark) => mark.fits).length;
    marked.textContent = text.marksSoFar(right, marks.length - right, new Set(marks.map((mark) => mark.text)).size);
    begin.disabled = jobs.some((job) => job.state === "running");
    fill(told, inUse(desk, model, again), ...jobs.map((job) => run(desk, job, again)), !jobs.length && h("p", { class: "hint" }, text.noRuns));
    const busy = begin.disabled || model.switching;
    if (busy && view.isConnected) waits = setTimeout(() => again().catch((error) => desk.tell(error.message)), OFTEN);
  }
}

async function tried(desk, act) {
  try {
    await act();
  } catch (error) {
    desk.tell(error.message);
  }
}

/** Say what is searched with, and offer the way back. */
function inUse(desk, model, again) {
  const back = h("button", { onclick: () => tried(desk, () => api.choose(null).then(again)) }, text.back(model.base));
  return h("p", { class: "line-form" }, model.switching ? text.switching : model.learnt ? text.isLearnt(model.base) : text.inUse(model.name), model.learnt && back);
}

function run(desk, job, again) {
  const { id, state, started, detail, pairs, wrong, held_back: held, changes, in_use: used } = job;
  const use = h("button", { class: "primary", onclick: () => tried(desk, () => api.choose(id).then(again)) }, text.use);
  const stop = h("button", { onclick: () => tried(desk, () => api.stop(id).then(again)) }, text.stop);
  return h(
    "article",
    { class: "job" },
    h("h3", {}, `${text.state[state]} · ${date(started)}`),
    h("p", {}, text.learntFrom(pairs, wrong), state === "done" && ` ${text.heldBack(held)}`),
    state === "running" && [h("progress", { "aria-label": text.state.running }), h("p", { class: "hint" }, lastLine(detail)), stop],
    state === "failed" && h("p", { role: "alert" }, lastLine(detail)),
    changes.length > 0 && table(changes),
    state === "done" && (used ? h("p", {}, text.usedNow) : use),
  );
}

const lastLine = (detail) => detail.trim().split("\n").pop();

/** Tell what the whole interval of a difference says; of a median rank, less is better. */
function verdict(metric, { low, high }) {
  const [worst, best] = metric.endsWith("MedR") ? [-high, -low] : [low, high];
  return worst > 0 ? "better" : best < 0 ? "worse" : null;
}

/** Return each metric before and after, with intervals. */
export function table(changes) {
  const cell = ({ value, low, high }, sign = "") => h("td", {}, `${sign && value > 0 ? "+" : ""}${score(value)}`, h("small", {}, ` ${score(low)} – ${score(high)}`));
  const row = ({ metric, before, after, difference }) =>
    h("tr", { class: verdict(metric, difference) }, h("th", { scope: "row" }, metric), cell(before), cell(after), cell(difference, "+"));
  const head = [text.metric, text.before, text.after, text.difference].map((name) => h("th", { scope: "col" }, name));
  return h("div", { class: "scrolls", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...changes.map(row))));
}

/** Pairs that the user gives: pictures, each with a text file of the same name. */
class Pairs {
  given = [];

  constructor(desk) {
    const input = h("input", { type: "file", multiple: true, accept: "image/*,.txt", "aria-label": text.choosePairs });
    this.said = h("p", { class: "hint", role: "status" }, text.pairsHow);
    input.addEventListener("change", () => tried(desk, () => this.#take([...input.files])));
    this.element = h("div", {}, input, this.said);
  }

  async #take(files) {
    const stem = (file) => file.name.replace(/\.[^.]+$/, "");
    const texts = new Map(files.filter((file) => file.name.endsWith(".txt")).map((file) => [stem(file), file]));
    const pictures = files.filter((file) => file.type.startsWith("image/") && texts.has(stem(file)));
    this.given = [];
    for (const picture of pictures) {
      const data = await fileOf(picture);
      const lines = (await texts.get(stem(picture)).text()).split("\n").map((line) => line.trim());
      for (const line of lines.filter(Boolean)) this.given.push({ picture: { data }, text: line });
    }
    this.said.textContent = text.pairsGiven(this.given.length, pictures.length);
  }
}
