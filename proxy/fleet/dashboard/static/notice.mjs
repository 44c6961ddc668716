// Short messages, questions and the clipboard.

import { byId, h, s } from "./dom.mjs";

let timer;

/** toast shows a message for a few seconds, and has it read out. */
export function toast(text) {
  const element = byId("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => element.classList.remove("shown"), 2600);
}

/** say has a message read out without showing it. */
export function say(text) {
  byId("said").textContent = text;
}

/** copy puts text into the clipboard and says so. */
export async function copy(text, what) {
  try {
    await write(text);
    toast(`Copied ${what}`);
  } catch {
    toast("The browser does not allow copying here");
  }
}

async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP there is no clipboard API.
  const area = h("textarea", { class: "hush", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("copy refused");
}

/** confirmed asks a question and resolves with whether the answer was yes. what is
 * text or a node. */
export function confirmed(title, what, yes) {
  if (yes) setYes(yes);
  byId("confirm-no").hidden = false;
  return shown(title, what);
}

/** setYes names the button of a question that does it, and says whether it can. */
export function setYes(text, can = true) {
  byId("confirm-yes").textContent = text;
  byId("confirm-yes").disabled = !can;
}

/** tell shows what has to be read, with nothing to decide. */
export function tell(title, what) {
  setYes("Close");
  byId("confirm-no").hidden = true;
  return shown(title, what);
}

function shown(title, what) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").replaceChildren(what);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** copyButton copies what text() returns, or resolves with. */
export function copyButton(label, text, what) {
  return h("button", { type: "button", class: "copy", title: label, "aria-label": label, onclick: async () => copy(await text(), what) },
    s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: "M6 5.5h7v8H6zM3.5 10.5V2.5h6.5" })));
}
