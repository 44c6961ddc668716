// Building the page. Text of upstreams enters it as text nodes and attribute
// values only; there is no way through here from a string to markup.

const SVG = "http://www.w3.org/2000/svg";

/** h makes an HTML element. A function among props is an event listener
 * ("onclick"), false, null and undefined leave the attribute out, true sets it
 * empty. Children are nodes or text; null and false are left out. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** s makes an SVG element, with the same rules. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export const byId = (id) => document.getElementById(id);

/** setText writes only what differs, so that a selection in unchanged text survives. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttr(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** keyed keeps one child of parent per item, in the order of items, reusing the
 * elements of keys that stay. make builds one, update refreshes it. */
export function keyed(parent, items, key, make, update) {
  const old = new Map();
  for (const child of parent.children) old.set(child.dataset.key, child);
  const keys = items.map((item) => String(key(item)));
  const stay = new Set(keys);
  // First what is gone: behind it everything would have to move.
  for (const [k, element] of old) if (!stay.has(k)) element.remove();
  let at = parent.firstElementChild;
  for (const [i, item] of items.entries()) {
    const k = keys[i];
    let element = old.get(k);
    if (!element) {
      element = make(item);
      element.dataset.key = k;
    }
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
    update(element, item);
  }
}
