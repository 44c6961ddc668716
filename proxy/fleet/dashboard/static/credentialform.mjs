import { headerNameFor, remember } from "./credentials.mjs";
import { h } from "./dom.mjs";
import { samples } from "./session.mjs";
import { readUpstreams, upstream as known } from "./upstreamlist.mjs";

/** placeOf resolves with {header, scheme} of an upstream's credentials. challenge
 * is what Pollux said of it (WWW-Authenticate), for those who may not see the
 * upstreams. */
export async function placeOf(upstream, challenge) {
  if (!known(upstream)) await readUpstreams().catch(() => {}); // then the challenge has to do
  const place = known(upstream)?.credential;
  if (place) return place;
  return challenge === "" || /^bearer\b/i.test(challenge) ? { header: "Authorization", scheme: "Bearer" } : { header: "X-API-Key", scheme: "" };
}

/** withScheme is value as its header has it: people paste the bare key. Pure. */
export function withScheme(value, scheme) {
  const bare = value.trim();
  return scheme === "" || bare.toLowerCase().startsWith(`${scheme.toLowerCase()} `) ? bare : `${scheme} ${bare}`;
}

/** askCredential is a form for the upstream credential under which a task is
 * kept, see placeOf. done is called once it was typed in. */
export function askCredential(upstream, { header: name, scheme }, done) {
  const typed = headerNameFor(upstream);
  const header = h("input", { type: "text", name: "header", value: typed || name, required: true, pattern: "[A-Za-z0-9\\-]+", autocomplete: "off", spellcheck: "false", maxlength: "64" });
  const value = h("input", { type: "password", name: "value", required: true, autocomplete: "off", placeholder: scheme ? `${scheme} …` : "" });
  const use = (text) => {
    remember(upstream, header.value, header.value === name ? withScheme(text, scheme) : text.trim());
    value.value = "";
    done();
  };
  const submit = (e) => {
    e.preventDefault();
    use(value.value);
  };
  const offered = samples().map((text) => h("button", { type: "button", class: "button", onclick: () => use(text) }, text));
  return h("form", { class: "credential", onsubmit: submit },
    h("p", { class: "muted" }, "Answers belong to the credential that asked for them. This one stays in this tab's memory and is sent only with requests about tasks of ", h("bdi", null, upstream), "."),
    offered.length ? h("p", null, "These upstreams are simulated. Their teams: ", offered) : null,
    h("label", null, "Header", header), h("label", null, scheme ? `Value (${scheme} is added)` : "Value", value), h("button", { type: "submit", class: "button primary" }, typed ? "Use this one instead" : "Use it"));
}
