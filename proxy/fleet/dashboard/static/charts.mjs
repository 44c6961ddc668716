import { s } from "./dom.mjs";

const HEIGHT = 100;

/** line is the path of a series over a grid as wide as its number of gaps;
 * closed, it goes back along the ground. Pure. */
export function line(points, top, closed) {
  const y = (v) => (HEIGHT - (top > 0 ? (Math.max(0, v) / top) * HEIGHT : 0)).toFixed(1);
  const path = points.map((v, i) => `${i ? "L" : "M"}${i} ${y(v)}`).join("");
  return closed && points.length ? `${path}L${points.length - 1} ${HEIGHT}L0 ${HEIGHT}Z` : path;
}

/** Chart draws series on one scale, each an area with a line above. */
export class Chart {
  #areas;
  #lines;

  /** names are the classes of the series, the first drawn first. */
  constructor(names, className) {
    this.#areas = names.map((name) => s("path", { class: `area ${name}` }));
    this.#lines = names.map((name) => s("path", { class: `line ${name}` }));
    this.element = s("svg", { class: `chart ${className}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.#areas, this.#lines);
  }

  draw(series) {
    const width = Math.max(2, ...series.map((points) => points.length)) - 1;
    const top = Math.max(1, ...series.flat());
    this.element.setAttribute("viewBox", `0 -4 ${width} ${HEIGHT + 8}`);
    series.forEach((points, i) => {
      this.#areas[i].setAttribute("d", line(points, top, true));
      this.#lines[i].setAttribute("d", line(points, top, false));
    });
  }
}

/** Strip is one bar made of parts side by side. */
export class Strip {
  #parts;

  constructor(names, className) {
    this.#parts = names.map((name) => s("rect", { class: `part ${name}`, y: 0, height: "100%" }));
    this.element = s("svg", { class: `strip ${className}`, "aria-hidden": "true" }, this.#parts);
  }

  /** draw gives each part its share of the whole; without any, nothing is drawn. */
  draw(values) {
    const total = values.reduce((sum, v) => sum + v, 0);
    let x = 0;
    values.forEach((v, i) => {
      const share = total > 0 ? (v / total) * 100 : 0;
      this.#parts[i].setAttribute("x", `${x.toFixed(3)}%`);
      this.#parts[i].setAttribute("width", `${share.toFixed(3)}%`);
      x += share;
    });
  }
}
