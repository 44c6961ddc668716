// The login: a Pollux key becomes a cookie that scripts cannot read.

import { endpoint, getJSON, request } from "./api.mjs";
import { forgetAll } from "./credentials.mjs";
import { byId, h } from "./dom.mjs";

let session = { login_required: false, client: null, scopes: [] };

/** read asks whether a key is needed, and whose is in use. An unreachable Pollux
 * changes nothing: the streams will say so. It resolves with whether a key is
 * missing. */
export async function read() {
  try {
    session = await getJSON(endpoint("v1/session"));
  } catch (err) {
    if (err.status === 401) session = { login_required: true, client: null, scopes: [] };
  }
  draw();
  return missing();
}

function draw() {
  const { client, login_required: required, scopes, version } = session;
  byId("logout").hidden = !required || client === null;
  byId("me-name").textContent = client ?? "";
  byId("who").replaceChildren(...who(client, required, scopes));
  byId("about").textContent = version ? `Pollux ${version}` : "Pollux";
  byId("to-webhooks").hidden = !["webhooks", "purge"].some((scope) => scopes.includes(scope));
}

function who(client, required, scopes) {
  if (client !== null) return ["You are ", h("strong", null, h("bdi", null, client)), h("span", { class: "muted" }, ` · may ${scopes.join(", ")}`)];
  return [required ? "You are not logged in." : "Nobody has to log in here.", scopes.length ? h("span", { class: "muted" }, ` You may ${scopes.join(", ")}.`) : ""];
}

/** partOf is the name of a key that sees a part of the whole, "" of others. */
export const partOf = () => (session.client !== null && !session.scopes.includes("fleet") ? session.client : "");

export const missing = () => session.login_required && session.client === null;

/** samples are credentials that simulated upstreams take. */
export const samples = () => session.samples ?? [];

/** keyed says whether requests need a Pollux key. */
export const keyed = () => session.login_required;

/** logout ends the session. */
export async function logout() {
  forgetAll();
  await request(endpoint("v1/session"), { method: "DELETE" });
  await read();
}

/** ask shows the form; done is called when Pollux has accepted a key. */
export function ask(done) {
  const key = h("input", { id: "key", type: "password", name: "key", required: true, autocomplete: "current-password" });
  const wrong = h("p", { class: "callout bad", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "button primary" }, "Log in");
  const submit = async (e) => {
    e.preventDefault();
    button.disabled = true;
    wrong.hidden = true;
    try {
      await request(endpoint("v1/session"), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key: key.value }) });
      key.value = "";
      await read();
      byId("login").hidden = true;
      done();
    } catch (err) {
      wrong.textContent = err.status === 401 ? "Pollux does not know this key." : err.message;
      wrong.hidden = false;
      key.select();
    } finally {
      button.disabled = false;
    }
  };
  byId("login").replaceChildren(h("form", { class: "panel", onsubmit: submit },
    h("h1", { id: "login-title" }, "Log in"),
    h("p", { class: "muted" }, "This Pollux is open to those who have one of its keys."),
    h("label", { for: "key" }, "Pollux key"), key, wrong, button));
  byId("login").hidden = false;
  key.focus();
}
