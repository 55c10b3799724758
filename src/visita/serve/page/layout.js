/** A justified grid: rows of pictures in their own shapes, all rows as wide as the page. */

const NARROWEST = 0.5;
const WIDEST = 3;
const UNKNOWN = 1.5;

/** Return width / height as shown; of a very long picture only the middle is seen. */
export function shape({ width, height }) {
  return width && height ? Math.min(WIDEST, Math.max(NARROWEST, width / height)) : UNKNOWN;
}

/**
 * Lay pictures out in rows.
 *
 * @param {number[]} shapes - Width / height of each picture.
 * @param {object} room - `width` of the page, `height` that a row should have, `gap` in between,
 *   `below` each row for words; `line`: the first picture under the line (or none), which takes
 *   `lineHeight`.
 * @returns {{rows: {top, height, start, lefts, widths}[], height: number, line: number | null}}
 *   All in pixels; `line` is where the line is.
 */
export function justify(shapes, room) {
  const cut = room.line ?? shapes.length;
  const rows = [];
  let top = place(shapes, 0, cut, 0, room, rows);
  const line = cut < shapes.length ? top : null;
  if (line !== null) top = place(shapes, cut, shapes.length, top + room.lineHeight, room, rows);
  return { rows, height: top, line };
}

function place(shapes, from, end, top, room, rows) {
  for (let start = from; start < end; ) {
    const count = fitting(shapes, start, end, room);
    const taken = shapes.slice(start, start + count);
    const full = height(sum(taken), count, room);
    const row = rowOf(taken, start, top, Math.min(full, start + count === end ? room.height * 1.15 : full), room.gap);
    rows.push(row);
    top += row.height + room.below + room.gap;
    start += count;
  }
  return top;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const height = (total, count, { width, gap }) => (width - gap * (count - 1)) / total;

/** Return how many pictures make the row whose height is nearest to what it should be. */
function fitting(shapes, start, end, room) {
  let total = 0;
  for (let at = start; at < end; at++) {
    const without = at > start ? height(total, at - start, room) : Infinity;
    total += shapes[at];
    const withIt = height(total, at - start + 1, room);
    if (withIt <= room.height) {
      return without - room.height < room.height - withIt ? at - start : at - start + 1;
    }
  }
  return end - start;
}

function rowOf(shapes, start, top, rowHeight, gap) {
  const widths = shapes.map((each) => each * rowHeight);
  let left = 0;
  const lefts = widths.map((width) => {
    const here = left;
    left += width + gap;
    return here;
  });
  return { top, height: rowHeight, start, lefts, widths };
}

/** Return the first row whose lower edge is below a height. */
export function rowAt(rows, y) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Return the row that holds a picture. */
export function rowOfPicture(rows, index) {
  let low = 0;
  let high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle].start <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Return the picture of another row that is nearest to straight above or below a picture. */
export function across(rows, index, by) {
  const from = rowOfPicture(rows, index);
  const to = rows[Math.min(rows.length - 1, Math.max(0, from + by))];
  const at = index - rows[from].start;
  const middle = rows[from].lefts[at] + rows[from].widths[at] / 2;
  const distances = to.lefts.map((left, each) => Math.abs(left + to.widths[each] / 2 - middle));
  return to.start + distances.indexOf(Math.min(...distances));
}
