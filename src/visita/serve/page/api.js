/** What is asked of the service: one function a call, answers as its OpenAPI description says. */

import { text } from "./strings.js";

const BASE = "api/v1/";
const TRIES = 4;

/** Why the service refused: a sentence for the user, and the HTTP status (0: no answer). */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/**
 * Ask, and return the answer. Who is told to come back later (429) does so a few times.
 * An aborted request rejects with an AbortError.
 */
export async function ask(method, path, { body, signal } = {}) {
  for (let tries = 1; ; tries++) {
    const answer = await send(method, path, body, signal);
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    if (answer.status !== 429 || tries === TRIES) throw await refusal(answer);
    await pause(Number(answer.headers.get("Retry-After") ?? 1));
  }
}

async function send(method, path, body, signal) {
  const headers = { "X-Visita": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(BASE + path, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(text.noAnswer, 0);
  }
}

async function refusal(answer) {
  if (answer.status === 401) return new Refused(text.needsToken, 401);
  const problem = await answer.json().catch(() => ({}));
  const faults = (problem.faults ?? []).map((fault) => `${fault.where}: ${fault.what}`);
  const told = [problem.detail ?? text.refused(answer.status), ...faults].join(" ");
  return new Refused(told, answer.status);
}

const query = (values) => {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of [value].flat()) if (each != null && each !== "") found.append(name, each);
  }
  return found;
};
const place = ({ gallery, id }) => `${encodeURIComponent(gallery)}/${id}`;

export const search = (request, signal) => ask("POST", "search", { body: request, signal });
export const recommend = (request, signal) => ask("POST", "recommend", { body: request, signal });
export const browse = (values, signal) => ask("GET", `pictures?${query(values)}`, { signal });
export const galleries = () => ask("GET", "galleries");
export const sync = (gallery) => ask("POST", `galleries/${encodeURIComponent(gallery)}/sync`);
export const facets = (gallery) => ask("GET", `galleries/${encodeURIComponent(gallery)}/facets`);
export const picture = (named, signal) => ask("GET", `pictures/${place(named)}`, { signal });
export const explain = (named, words, signal) =>
  ask("POST", "explain", { body: { picture: key(named), text: words }, signal });

/** Return the address of a small copy whose longer side has so many pixels. */
export const thumbnail = (named, side) => `${BASE}thumbnails/${place(named)}?side=${side}`;
export const original = (named) => `${BASE}originals/${place(named)}`;
/** Return only what names a picture. */
export const key = ({ gallery, id }) => ({ gallery, id });

export const alike = (named, signal) => ask("GET", `pictures/${place(named)}/alike`, { signal });
export const duplicates = (gallery, cursor) => ask("GET", `duplicates?${query({ gallery, cursor, k: 30 })}`);
export const fitting = (named, texts) => ask("POST", "texts", { body: { picture: key(named), texts } });

export const collections = () => ask("GET", "collections");
export const members = (id) => ask("GET", `collections/${id}`);
export const makeCollection = (name) => ask("POST", "collections", { body: { name } });
export const renameCollection = (id, name) => ask("PATCH", `collections/${id}`, { body: { name } });
export const removeCollection = (id) => ask("DELETE", `collections/${id}`);
export const changeCollection = (id, change) => ask("POST", `collections/${id}/pictures`, { body: change });
export const exported = (id, kind) => `${BASE}collections/${id}/export?as=${kind}`;

export const marks = () => ask("GET", "feedback");
export const judge = (named, words, fits) => ask("POST", "feedback", { body: { ...key(named), text: words, fits } });
export const jobs = () => ask("GET", "jobs");
export const learn = (pairs) => ask("POST", "jobs", { body: { pairs } });
export const stop = (job) => ask("DELETE", `jobs/${job}`);
export const quality = () => ask("GET", "quality");
export const model = () => ask("GET", "model");
export const choose = (job) => ask("POST", "model", { body: { job } });
