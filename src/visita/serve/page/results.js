/** The pictures for a query, page by page; a newer question ends the older one. */

import * as api from "./api.js";
import { nameOf } from "./files.js";

/** Return the probability that an item is right, of those that it has; null if none. */
export const share = (item) => item.fit ?? item.probability ?? null;

export class Results extends EventTarget {
  items = [];
  remarks = [];
  /** Among how many pictures was searched. */
  size = 0;
  /** The probability from which on a picture is more likely right than wrong. */
  sure = null;
  kind = "browse";
  text = "";
  /** "asking", "ready" or "failed" */
  state = "asking";
  error = null;
  #next = null;
  #query = null;
  #asked = null;
  #paging = false;

  /** Whether there are more than `items`. */
  get more() {
    return this.#next != null;
  }

  /** Return how many items visita thinks match; all where it does not know. */
  get matching() {
    return this.items.filter((item) => share(item) == null || share(item) >= this.sure).length;
  }

  /** Ask anew. */
  async ask(query) {
    this.#asked?.abort();
    this.#asked = new AbortController();
    this.#query = query;
    this.#tell({ state: "asking" });
    await this.#page(null, this.#asked.signal);
  }

  /** Ask for the next page, unless that is under way or there is none. */
  async extend() {
    if (!this.more || this.#paging || this.state !== "ready") return;
    this.#paging = true;
    await this.#page(this.#next, this.#asked.signal);
    this.#paging = false;
  }

  async #page(cursor, signal) {
    const query = this.#query;
    try {
      const answer = await asked(query, cursor, signal);
      const items = cursor ? [...this.items, ...answer.items] : answer.items;
      this.#next = answer.next ?? null;
      this.#tell({ ...answer, items, kind: query.kind, text: query.text.trim(), state: "ready", error: null });
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#next = null;
      this.#tell({ state: "failed", error, items: cursor ? this.items : [] });
    }
  }

  #tell(values) {
    const { next: _next, ...known } = values;
    Object.assign(this, known);
    this.dispatchEvent(new Event("change"));
  }
}

async function asked(query, cursor, signal) {
  const request = query.request(cursor);
  if (query.kind === "browse") {
    const found = await api.browse(request, signal);
    return { items: found.pictures.map(named), size: found.total, sure: null, remarks: [], next: found.next };
  }
  const found = await (query.kind === "article" ? api.recommend : api.search)(request, signal);
  const { gallery_size: size, sure, remarks, next } = found;
  return { items: found.matches.map(named), size, sure, remarks, next };
}

const named = (item) => ({ ...item, name: item.name ?? nameOf(item.path) });
