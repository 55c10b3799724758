/** The words of the page, in the reader's language where there is a file of it. */

const HERE = ["en", "de"];
const wanted = navigator.languages.map((each) => each.split("-")[0]);
export const language = wanted.find((each) => HERE.includes(each)) ?? "en";
document.documentElement.lang = language;
const locale = navigator.languages.find((each) => each.split("-")[0] === language) ?? language;

export const { default: text } = await import(`./strings/${language}.js`);

const plain = new Intl.NumberFormat(locale);
const rounded = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const decimal = new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const sizes = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });

export const number = (value) => plain.format(value);
export const percent = (value) => (value < 0.01 && value > 0 ? fine : rounded).format(value);
export const score = (value) => decimal.format(value);

/** Write a number of bytes for people. */
export function bytes(count) {
  const power = Math.min(3, Math.floor(Math.log10(Math.max(1, count)) / 3));
  return `${sizes.format(count / 1000 ** power)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** Write a date as ISO gives it, "2024", "2024-05" or with day and time, for people. */
export function date(given) {
  const [day, clock] = given.split(/[T ]/);
  const parts = day.split("-").map(Number);
  const style = [{ year: "numeric" }, { year: "numeric", month: "long" }, { dateStyle: "long" }][parts.length - 1];
  const moment = new Date(parts[0], (parts[1] ?? 1) - 1, parts[2] ?? 1);
  if (!style || Number.isNaN(moment.getTime())) return given;
  const shown = new Intl.DateTimeFormat(locale, style).format(moment);
  return clock ? `${shown}, ${clock.slice(0, 5)}` : shown;
}
