/** Elements, made from text only: what files say of themselves is never read as markup. */

/**
 * Make an element. A property that begins with "on" is a listener, true is an attribute without
 * a value, null and false are left out; children are elements or text, and null or false is none.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  set(element, props);
  return fill(element, ...children);
}

/** Put other children into an element, in place of those that it has. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child != null && typeof child !== "boolean"));
  return element;
}

/** Set attributes and listeners as `h` does, and return the element. */
export function set(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value == null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

/** Show a share from 0 to 1 as a quiet bar; those who cannot see it are told the number elsewhere. */
export function bar(share) {
  const filled = h("span");
  filled.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, filled);
}

/** Call a function once nothing has called for some milliseconds. */
export function settled(wait, call) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(call, wait, ...values);
  };
}

/** Do something for an element; if it fails, say why in its place. */
export async function attempt(element, act) {
  try {
    await act();
  } catch (error) {
    fill(element, h("p", { role: "alert" }, error.message));
  }
}
