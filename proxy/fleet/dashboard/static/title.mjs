// The title of the tab: trouble first, since a narrow tab shows its beginning.

let trouble = "";
let subject = "Pollux";

function draw() {
  document.title = trouble ? `${trouble} · ${subject}` : subject;
}

/** setSubject says what the page is about. */
export function setSubject(text) {
  subject = text;
  draw();
}

/** setTrouble says which upstreams are in trouble, "" for none. */
export function setTrouble(text) {
  trouble = text;
  draw();
}
