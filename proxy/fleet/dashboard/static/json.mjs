// JSON as it was received. JSON.parse would round long numbers and reorder
// keys, so documents are shown from their own text. The text is valid JSON:
// Pollux refuses any other. Pure, but for show.

import { h } from "./dom.mjs";

/** tokens yields {kind, start, end} for text: kind is one of the six signs of
 * JSON, or "string", "number", "word". */
export function* tokens(text) {
  let at = 0;
  while (at < text.length) {
    const c = text[at];
    if (c === " " || c === "\n" || c === "\t" || c === "\r") {
      at++;
      continue;
    }
    const start = at;
    if ("{}[]:,".includes(c)) at++;
    else if (c === '"') at = stringEnd(text, at);
    else while (at < text.length && !/[\s{}[\]:,"]/.test(text[at])) at++;
    const kind = at - start === 1 && "{}[]:,".includes(c) ? c : c === '"' ? "string" : /[-\d]/.test(c) ? "number" : "word";
    yield { kind, start, end: at };
  }
}

function stringEnd(text, at) {
  for (let from = at + 1; ;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return text.length;
    let slashes = 0;
    while (text[quote - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

/** members splits an object into its own members: [[name, text of the value]]. */
export function members(text) {
  const found = [];
  let depth = 0;
  let name = null;
  let start = -1;
  let end = -1;
  const close = () => {
    if (name !== null && start >= 0) found.push([name, text.slice(start, end)]);
    name = null;
    start = -1;
  };
  for (const t of tokens(text)) {
    if (t.kind === "{" || t.kind === "[") depth++;
    if (depth === 1 && (t.kind === "," || t.kind === "}")) close();
    else if (depth === 1 && name === null && t.kind === "string") name = JSON.parse(text.slice(t.start, t.end));
    else if (name !== null && (depth > 1 || t.kind !== ":")) {
      if (start < 0) start = t.start;
      end = t.end;
    }
    if (t.kind === "}" || t.kind === "]") depth--;
  }
  return found;
}

/** without is the object's text with some of its members left out. */
export function without(text, names) {
  const kept = members(text).filter(([name]) => !names.includes(name));
  return `{${kept.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
}

/** pretty yields [class, text] pieces that, joined, are text with line breaks
 * and indentation. Every value keeps its own spelling. */
export function* pretty(text) {
  let depth = 0;
  let previous = "";
  const all = [...tokens(text)];
  for (let i = 0; i < all.length; i++) {
    const { kind, start, end } = all[i];
    const closes = kind === "}" || kind === "]";
    if (closes) depth--;
    const opened = previous === "{" || previous === "[";
    if (previous === "," || (opened && !closes) || (closes && !opened)) yield ["", `\n${"  ".repeat(depth)}`];
    if (kind === "{" || kind === "[") depth++;
    const isKey = kind === "string" && all[i + 1]?.kind === ":";
    yield [isKey ? "key" : kind.length > 1 ? kind : "", text.slice(start, end) + (kind === ":" ? " " : "")];
    previous = kind;
  }
}

const COLOURED = 150_000; // characters; beyond, a node per token makes the page slow
const SHOWN = 1_000_000; // characters; the copy button has all of them

/** show is a block with text laid out for reading. */
export function show(text) {
  const block = h("pre", { class: "json", tabindex: "0" });
  const cut = text.length > SHOWN;
  if (cut || text.length > COLOURED) {
    block.textContent = cut ? `${text.slice(0, SHOWN)}\n… ${text.length - SHOWN} more characters` : [...pretty(text)].map(([, piece]) => piece).join("");
    return block;
  }
  let plain = "";
  for (const [kind, piece] of pretty(text)) {
    if (!kind) {
      plain += piece;
      continue;
    }
    if (plain) block.append(plain);
    plain = "";
    block.append(h("span", { class: `j-${kind}` }, piece));
  }
  block.append(plain);
  return block;
}
