// The theme that was chosen in this browser. It is loaded before anything is
// drawn, so that no page flashes up in the other one.

import { h } from "./dom.mjs";

const KEEP = "pollux-theme"; // nothing else is ever kept in the browser
const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };

function kept() {
  try {
    const word = localStorage.getItem(KEEP);
    return Object.hasOwn(THEMES, word) ? word : "auto";
  } catch {
    return "auto"; // the browser keeps nothing for pages
  }
}

function apply() {
  document.documentElement.dataset.theme = kept();
}

function choose(word) {
  try {
    localStorage.setItem(KEEP, word);
  } catch {
    // Then it holds until the page is left.
  }
  document.documentElement.dataset.theme = word;
}

/** themeSwitch makes the fields that choose one. */
export function themeSwitch() {
  return Object.entries(THEMES).map(([value, word]) =>
    h("label", null, h("input", { type: "radio", name: "theme", value, checked: value === kept(), onchange: () => choose(value) }), word));
}

apply();
addEventListener("storage", apply); // chosen in another tab
