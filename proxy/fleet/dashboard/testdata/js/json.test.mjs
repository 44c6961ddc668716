import assert from "node:assert/strict";
import { test } from "node:test";
import { members, pretty, without } from "../../static/json.mjs";

const laidOut = (text) => [...pretty(text)].map(([, piece]) => piece).join("");

test("values keep their spelling, and keys their order", () => {
  const text = '{"b":90071992547409931234,"a":2.50,"e":1E+2,"s":"\\u00fc \\"{[,:]}\\" \\\\","n":[null,true,{"x":{}},[]]}';
  assert.equal(laidOut(text), `{
  "b": 90071992547409931234,
  "a": 2.50,
  "e": 1E+2,
  "s": "\\u00fc \\"{[,:]}\\" \\\\",
  "n": [
    null,
    true,
    {
      "x": {}
    },
    []
  ]
}`);
});

test("text that is laid out already looks the same", () => {
  const value = { a: [1, { b: "c" }], d: {}, e: [], f: "x" };
  assert.equal(laidOut(JSON.stringify(value)), JSON.stringify(value, null, 2));
  assert.equal(laidOut(JSON.stringify(value, null, 7)), JSON.stringify(value, null, 2));
});

test("members are cut out as they are", () => {
  const text = ' { "a" : 1.0 , "native":{"a":[1,{"native":2}],"x":"}"}, "s":"a,b\\"}" ,"z": [ ] } ';
  assert.deepEqual(members(text), [["a", "1.0"], ["native", '{"a":[1,{"native":2}],"x":"}"}'], ["s", '"a,b\\"}"'], ["z", "[ ]"]]);
  assert.equal(without(text, ["native", "z"]), '{"a":1.0,"s":"a,b\\"}"}');
  assert.deepEqual(members("{}"), []);
});

test("keys are told from strings", () => {
  const kinds = [...pretty('{"k":"v","n":1,"w":null}')].filter(([kind]) => kind).map(([kind]) => kind);
  assert.deepEqual(kinds, ["key", "string", "key", "number", "key", "word"]);
});

test("a long string takes no longer than its length", () => {
  const long = `{"a":"${"\\\\\\\"x".repeat(400_000)}"}`;
  assert.equal(members(long)[0][1].length, long.length - 6);
});
