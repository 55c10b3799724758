/** What is searched with: how good it is, what it was taught, and what it is made of. */

import * as api from "./api.js";
import { bar, fill, h } from "./dom.js";
import { number, percent, score, text } from "./strings.js";

/** Show the model in use. */
export async function show(view) {
  const [model, { kernels, bins, marks }] = await Promise.all([api.model(), api.quality()]);
  const { name, learnt, facts } = model;
  fill(
    view,
    h("h2", {}, name),
    h("p", {}, learnt ? text.isLearnt(model.base) : text.isShipped),
    plot(bins, marks),
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

/** Draw how often pictures were right that were said to be right with some probability. */
function plot(bins, marks) {
  const row = ({ low, high, expected, observed, n }) =>
    h("tr", {}, h("th", { scope: "row" }, `${percent(low)} – ${percent(high)}`), h("td", {}, bar(expected), percent(expected)), h("td", {}, bar(observed), percent(observed)), h("td", {}, number(n)));
  const head = [text.said, text.expected, text.observed, text.judgements].map((name) => h("th", { scope: "col" }, name));
  const drawn = h("table", { class: "reliability" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...bins.map(row)));
  return h("section", {}, h("h2", {}, text.reliability), h("p", { class: "prose hint" }, text.reliabilityHow(marks)), marks > 0 && h("div", { class: "scrolls", tabindex: "0" }, drawn));
}

/** Return nested facts as nested lists. */
function tree(facts) {
  const value = (each) => (each && typeof each === "object" && !Array.isArray(each) ? tree(each) : [each].flat().join(", "));
  return h("dl", { class: "tree" }, ...Object.entries(facts).flatMap(([name, each]) => [h("dt", {}, name), h("dd", {}, value(each))]));
}
