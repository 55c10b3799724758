/** The pictures that the user has selected; they stay so from one search to the next. */

export const keyOf = ({ gallery, id }) => `${gallery}/${id}`;

export class Selection extends EventTarget {
  #items = new Map();

  get items() {
    return [...this.#items.values()];
  }

  get size() {
    return this.#items.size;
  }

  has(item) {
    return this.#items.has(keyOf(item));
  }

  toggle(item) {
    if (!this.#items.delete(keyOf(item))) this.#items.set(keyOf(item), item);
    this.#tell();
  }

  add(items) {
    for (const item of items) this.#items.set(keyOf(item), item);
    this.#tell();
  }

  clear() {
    this.#items.clear();
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
