/** What is searched for: words, pictures marked + or −, filters, an order. It is kept in the address. */

import { key, thumbnail } from "./api.js";
import { fileOf } from "./files.js";

const ARTICLE = 300;
const ENOUGH_ALIKE = 0.6;
const PAGE = 100;
const RECOMMENDED = 100;
const MOST_MARKS = 10;

/**
 * @typedef {object} Mark
 * @property {1 | -1} sign - What is found is to be like the picture, or unlike it.
 * @property {object} given - The picture, as a request gives it.
 * @property {string} address - Where it can be seen.
 * @property {string} name
 */

export class Query extends EventTarget {
  text = "";
  /** @type {Mark[]} */
  marks = [];
  among = {};
  sort = "relevance";
  /** Whether a long text is searched for as it is, rather than as an article. */
  plain = false;

  /** Change some of it, and tell who listens. */
  change(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event("change"));
  }

  clear() {
    this.change({ text: "", marks: [], plain: false });
  }

  /** Tell what it is: browsing without anything asked, a search, or pictures for an article. */
  get kind() {
    if (!this.text.trim() && !this.marks.length) return "browse";
    return this.looksLikeArticle && !this.plain ? "article" : "search";
  }

  get looksLikeArticle() {
    const sentences = this.text.match(/[.!?。！？](\s|$)/g) ?? [];
    const paragraphs = this.text.trim().split(/\n\s*\n/);
    return !this.marks.length && (this.text.length > ARTICLE || paragraphs.length > 1) && sentences.length > 1;
  }

  /** Mark a picture + or −; the same mark again takes it back. */
  mark(picture, sign) {
    const same = (mark) => mark.given.id === picture.id && mark.given.gallery === picture.gallery;
    const before = this.marks.find(same);
    const marks = this.marks.filter((mark) => !same(mark));
    if (before?.sign !== sign) marks.push(markOf(picture, sign));
    this.change({ marks: marks.slice(-MOST_MARKS) });
  }

  /** Search for pictures like one, and for nothing else. */
  moreLike(picture) {
    this.change({ text: "", marks: [markOf(picture, 1)], plain: false });
  }

  /** Return 1 or −1 where a picture is marked, else 0. */
  signOf(picture) {
    const found = this.marks.find(({ given }) => given.id === picture.id && given.gallery === picture.gallery);
    return found?.sign ?? 0;
  }

  /** Return what is asked of the service for results from a cursor on. */
  request(cursor) {
    const { among } = this;
    if (this.kind === "browse") {
      return { ...among, order: this.sort === "date" ? "date" : "path", k: PAGE, cursor };
    }
    if (this.kind === "article") return { article: this.text, among, k: RECOMMENDED };
    const given = (sign) => this.marks.filter((mark) => mark.sign === sign).map((mark) => mark.given);
    const request = { like: given(1), among, sort: this.sort, k: PAGE };
    if (given(-1).length) request.unlike = given(-1);
    if (this.text.trim()) request.text = this.text.trim();
    if (cursor) request.cursor = cursor;
    if (this.sort === "date" && this.marks.length) request.threshold = ENOUGH_ALIKE;
    return request;
  }

  /** Return it as a part of the address; pictures that were sent are only of this session. */
  toString() {
    const found = new URLSearchParams();
    if (this.text) found.set("text", this.text);
    if (this.sort !== "relevance") found.set("sort", this.sort);
    if (Object.keys(this.among).length) found.set("among", JSON.stringify(this.among));
    for (const { sign, given, name } of this.marks) {
      if (given.id) found.append(sign > 0 ? "like" : "unlike", `${given.gallery}/${given.id}/${name}`);
    }
    return found.toString();
  }

  /** Take up what an address says. */
  read(address) {
    const found = new URLSearchParams(address);
    const marks = [["like", 1], ["unlike", -1]].flatMap(([field, sign]) =>
      found.getAll(field).map((each) => {
        const [gallery, id, ...name] = each.split("/");
        return markOf({ gallery, id, name: name.join("/") }, sign);
      }),
    );
    this.change({
      text: found.get("text") ?? "",
      sort: found.get("sort") === "date" ? "date" : "relevance",
      among: filters(found.get("among")),
      marks,
      plain: false,
    });
  }
}

function filters(given) {
  try {
    return Object(JSON.parse(given ?? "{}"));
  } catch {
    return {};
  }
}

function markOf(picture, sign) {
  return { sign, given: key(picture), address: thumbnail(picture, 160), name: picture.name };
}

/** Return the mark of a picture file that the user gave. */
export async function markOfFile(file, sign = 1) {
  return { sign, given: { data: await fileOf(file) }, address: URL.createObjectURL(file), name: file.name };
}
