/** What is searched with: how good it is, what it was taught, and what it is made of. */

import * as api from "./api.js";
import { bar, fill, h, set } from "./dom.js";
import { number, percent, score, text } from "./strings.js";
import { table } from "./teach.js";

/** Show the model in use. */
export async function show(view) {
  const [model, { kernels, bins, marks }, { jobs }] = await Promise.all([api.model(), api.quality(), api.jobs()]);
  const { name, learnt, facts } = model;
  fill(
    view,
    h("h2", {}, name),
    h("p", {}, learnt ? text.isLearnt(model.base) : text.isShipped),
    measured(jobs.find((job) => job.in_use), facts),
    reliability(bins, marks),
    weights(kernels),
    h("h2", {}, text.trainedOn),
    h("p", { class: "prose" }, trained(facts)),
    h("details", {}, h("summary", {}, text.allFacts), tree(facts)),
    h("p", { class: "prose hint" }, text.measureHow(name)),
  );
}

function trained({ data, images }) {
  if (!data) return text.notTold;
  const counted = images?.train != null ? text.trainImages(number(images.train), number(images.dev ?? 0)) : "";
  return [text.trainData(data.source ?? JSON.stringify(data)), counted].filter(Boolean).join(" ");
}

function weights(kernels) {
  const each = ({ name, weight }) => h("li", {}, h("span", {}, name), bar(weight), h("small", {}, score(weight)));
  return h("section", {}, h("h2", {}, text.kernelWeights), h("ul", { class: "kernels" }, ...kernels.map(each)));
}

/** Tell recall as it was measured: on what was held back when it learnt here, or on its own dev. */
function measured(job, { dev_rsum: ofEpochs, images }) {
  if (job) return h("section", {}, h("h2", {}, text.measured), h("p", { class: "prose hint" }, text.heldBack(job.held_back)), table(job.changes));
  if (!ofEpochs?.length || !images?.dev) return null;
  return h("section", {}, h("h2", {}, text.measured), h("p", { class: "prose" }, text.onDev(score(Math.max(...ofEpochs)), number(images.dev))));
}

/** Draw each bin as a dot, as large as it has marks: on the diagonal, what was said was right. */
function plot(bins, marks) {
  const side = 160;
  const svg = (name, props) => set(document.createElementNS("http://www.w3.org/2000/svg", name), props);
  const dot = ({ expected, observed, n }) =>
    svg("circle", { cx: side * expected, cy: side * (1 - observed), r: 3 + 9 * Math.sqrt(n / marks) });
  const drawn = svg("svg", { class: "plot", viewBox: `-12 -12 ${side + 24} ${side + 24}`, "aria-hidden": "true" });
  drawn.append(
    svg("rect", { width: side, height: side }),
    svg("line", { x1: 0, y1: side, x2: side, y2: 0 }),
    ...bins.map(dot),
  );
  return h("figure", { class: "reliable" }, drawn, h("figcaption", { class: "hint" }, text.plotHow));
}

/** Tell how often pictures were right that were said to be right with some probability. */
function reliability(bins, marks) {
  const row = ({ low, high, expected, observed, n }) =>
    h("tr", {}, h("th", { scope: "row" }, `${percent(low)} – ${percent(high)}`), h("td", {}, bar(expected), percent(expected)), h("td", {}, bar(observed), percent(observed)), h("td", {}, number(n)));
  const head = [text.said, text.expected, text.observed, text.judgements].map((name) => h("th", { scope: "col" }, name));
  const drawn = h("table", { class: "reliability" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...bins.map(row)));
  return h("section", {}, h("h2", {}, text.reliability), h("p", { class: "prose hint" }, text.reliabilityHow(marks)), marks > 0 && [plot(bins, marks), h("div", { class: "scrolls", tabindex: "0" }, drawn)]);
}

/** Return nested facts as nested lists. */
function tree(facts) {
  const value = (each) => (each && typeof each === "object" && !Array.isArray(each) ? tree(each) : [each].flat().join(", "));
  return h("dl", { class: "tree" }, ...Object.entries(facts).flatMap(([name, each]) => [h("dt", {}, name), h("dd", {}, value(each))]));
}
