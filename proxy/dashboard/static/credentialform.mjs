import { remember } from "./credentials.mjs";
import { h } from "./dom.mjs";

/** askCredential is a form for the upstream credential under which a task is
 * kept. challenge is what Pollux said about it (WWW-Authenticate), "" for
 * nothing. done is called once it was typed in. */
export function askCredential(upstream, challenge, done) {
  const bearer = challenge === "" || /^bearer\b/i.test(challenge);
  const header = h("input", { type: "text", name: "header", value: bearer ? "Authorization" : "X-API-Key", list: "credential-headers", required: true,
    pattern: "[A-Za-z0-9\\-]+", autocomplete: "off", spellcheck: "false", maxlength: "64" });
  const value = h("input", { type: "password", name: "value", required: true, autocomplete: "off", placeholder: bearer ? "Bearer …" : "" });
  const submit = (e) => {
    e.preventDefault();
    remember(upstream, header.value, value.value);
    value.value = "";
    done();
  };
  return h("form", { class: "credential", onsubmit: submit },
    h("p", { class: "muted" }, "Answers belong to the credential that asked for them. This one stays in this tab's memory and is sent only with requests about tasks of ", h("bdi", null, upstream), "."),
    h("datalist", { id: "credential-headers" }, ["Authorization", "X-API-Key"].map((v) => h("option", { value: v }))),
    h("label", null, "Header", header), h("label", null, "Value", value), h("button", { type: "submit", class: "button" }, "Use it"));
}
