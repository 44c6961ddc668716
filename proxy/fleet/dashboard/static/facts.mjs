// What a task document says, for people.

import { now } from "./clock.mjs";
import { h, setText } from "./dom.mjs";
import { ago, clockTime, count, duration, instant, whole } from "./format.mjs";
import { copyButton } from "./notice.mjs";
import { lasted } from "./row.mjs";

/** facts is the list of what is known; what is null is left out. */
export function facts(doc) {
  const rows = [
    ["Created", time(doc.created_at)],
    ["Started", time(doc.started_at)],
    ["Completed", time(doc.completed_at)],
    ["Changed", time(doc.updated_at)],
    ["Took", took(doc)],
    ["Model", doc.model],
    ["Reason", doc.status_reason],
    ["Cancel", doc.cancel_requested ? "requested" : null],
    ["Tokens", tokens(doc.usage)],
    ["Cost", doc.usage.cost_usd === null ? null : `$${doc.usage.cost_usd}`],
  ];
  return list(rows);
}

/** factsOfRow is what a list knows of a task. */
export function factsOfRow(row) {
  const rows = [
    ["Created", time(row.created_at)], ["First seen", time(row.first_seen)], ["Completed", time(row.completed_at)], ["Changed", time(row.updated_at)],
    [row.terminal ? "Took" : "Runs for", row.terminal ? lasted(row, now())[0] : h("span", { class: "runs", "data-from": row.created_at ?? row.first_seen })], ["Model", row.model], ["Stuck", row.stuck ? "running far longer than its like" : null],
  ];
  const all = list(rows);
  tick(all);
  return all;
}

/** tick moves the ages in a list of facts on. */
export function tick(facts) {
  for (const time of facts.querySelectorAll("time")) setText(time.lastElementChild, ` · ${ago(instant(time.dateTime), now())}`);
  for (const runs of facts.querySelectorAll(".runs")) setText(runs, whole((now() - instant(runs.dataset.from)) / 1000));
}

function list(rows) {
  return h("dl", { class: "facts wide" }, rows.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, typeof value === "string" ? h("bdi", null, value) : value))));
}

function time(at) {
  const ms = instant(at);
  if (!Number.isFinite(ms)) return null;
  return h("time", { datetime: at, title: at }, clockTime(ms, now()), h("span", { class: "muted" }, ` · ${ago(ms, now())}`));
}

function took(doc) {
  const seconds = (instant(doc.completed_at) - instant(doc.started_at ?? doc.created_at)) / 1000;
  return seconds >= 0 ? duration(seconds) : null;
}

function tokens({ input_tokens: input, output_tokens: output, total_tokens: total }) {
  if (total === null && input === null && output === null) return null;
  const parts = [total !== null ? count(total) : null, input !== null ? `${count(input)} in` : null, output !== null ? `${count(output)} out` : null];
  return parts.filter(Boolean).join(" · ");
}

/** progress shows how far a running task is, null if it does not say. */
export function progress(doc) {
  const { percent, stage, steps_completed: done, total_steps: total } = doc.progress;
  if (doc.terminal || (percent === null && stage === null && done === null)) return null;
  const words = [percent !== null ? `${percent} %` : null, stage, done !== null ? `step ${done}${total !== null ? ` of ${total}` : ""}` : null];
  return h("div", { class: "progress" },
    h("progress", { max: 100, value: percent ?? (total > 0 ? (done / total) * 100 : null), "aria-label": "Progress" }),
    h("bdi", null, words.filter(Boolean).join(" · ")));
}

/** trouble shows the task's error and what it waits for. */
export function trouble(doc) {
  const boxes = [];
  if (doc.error) {
    boxes.push(h("div", { class: "callout bad" },
      h("strong", null, h("bdi", null, [doc.error.type, doc.error.code].filter(Boolean).join(" · "))), h("p", { class: "text" }, doc.error.message)));
  }
  const action = doc.required_action;
  if (action) {
    boxes.push(h("div", { class: "callout warn" }, h("strong", null, "Waits for its caller: ", h("bdi", null, action.type)),
      action.tool_calls.length ? h("ul", { class: "calls" }, action.tool_calls.map(call)) : null));
  }
  return boxes;
}

function call({ id, name, arguments: args }) {
  const text = typeof args === "string" ? args : JSON.stringify(args);
  return h("li", null, h("bdi", { class: "code" }, `${name}(${text})`), id ? h("bdi", { class: "muted" }, ` ${id}`) : null);
}

const LONG = 200_000; // characters of a text that are shown

/** output is the text for people, null if there is none. */
export function output(doc) {
  const { text } = doc.output;
  if (text === null || text === "") return null;
  return h("section", { class: "panel", "aria-labelledby": "output-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "output-title" }, "Output"), copyButton("Copy the output", () => text, "the output")),
    h("div", { class: "text output", tabindex: "0" }, text.length > LONG ? `${text.slice(0, LONG)} …` : text));
}
