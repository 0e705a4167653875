// A free-energy profile along one quantity, with the band of its intervals, as a drawing that prints sharply.

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 360, height: 230, left: 44, right: 10, top: 10, bottom: 40 };

function draw(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

class Curve {
  constructor(data) {
    this.data = data;
    this.cursor = null;
    const [low, high] = [data.edges[0], data.edges[data.edges.length - 1]];
    const known = data.free_energy.filter((f) => f !== null);
    const room = data.top / 10;
    this.top = Math.min(data.top, Math.max(...known) + room);
    this.x = (v) => BOX.left + ((v - low) / (high - low)) * (BOX.width - BOX.left - BOX.right);
    this.y = (f) => BOX.height - BOX.bottom - (f / this.top) * (BOX.height - BOX.bottom - BOX.top);
    this.value = (pixel) => low + ((pixel - BOX.left) / (BOX.width - BOX.left - BOX.right)) * (high - low);
    this.build();
    this.listen();
    listeners.push(() => this.mark());
  }

  build() {
    this.svg = draw("svg", {
      viewBox: `0 0 ${BOX.width} ${BOX.height}`,
      tabindex: "0",
      role: "application",
      "aria-label": `Free-energy profile along ${this.data.label}. Arrow keys move along it, Enter shows conformations.`,
    });
    const clip = `clip-${document.querySelectorAll("svg").length}`;
    const inside = draw("clipPath", { id: clip });
    inside.append(draw("rect", { x: BOX.left, y: BOX.top, width: BOX.width - BOX.left - BOX.right, height: BOX.height - BOX.top - BOX.bottom }));
    const within = draw("g", { "clip-path": `url(#${clip})` });
    within.append(draw("path", { class: "band", d: this.band() }), draw("path", { class: "line", d: this.steps() }));
    this.svg.append(inside, within);
    this.axes();
    this.line = draw("line", { class: "mark", y1: BOX.top, y2: BOX.height - BOX.bottom });
    this.dashed = draw("line", { class: "cursor", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
    this.svg.append(this.line, this.dashed);
    this.readout = make("p", { class: "readout", "aria-live": "polite" });
    this.figure = make("figure", { class: "curve" }, make("figcaption", {}, this.data.label), this.svg, this.readout);
    element("curves").append(this.figure);
  }

  axes() {
    const { edges } = this.data;
    const [low, high] = [edges[0], edges[edges.length - 1]];
    const bottom = BOX.height - BOX.bottom;
    this.svg.append(draw("path", { class: "axis", d: `M${BOX.left} ${BOX.top}V${bottom}H${BOX.width - BOX.right}` }));
    const along = this.data.torsion ? [-180, -90, 0, 90, 180] : ticks(low, high, 5);
    for (const t of along) {
      this.svg.append(draw("text", { x: this.x(t), y: bottom + 15, "text-anchor": "middle" }, String(t).replace("-", "−")));
    }
    for (const t of ticks(0, this.top, 5)) {
      this.svg.append(draw("text", { x: BOX.left - 5, y: this.y(t) + 4, "text-anchor": "end" }, String(t)));
    }
    const middle = (BOX.top + bottom) / 2;
    this.svg.append(
      draw("text", { x: (BOX.left + BOX.width - BOX.right) / 2, y: bottom + 32, "text-anchor": "middle" }, this.data.label),
      draw("text", { transform: `translate(12 ${middle}) rotate(-90)`, "text-anchor": "middle" }, `free energy / ${DATA.unit}`),
    );
  }

  /** Steps over the bins that have draws. */
  steps() {
    const { edges, free_energy: f } = this.data;
    let path = "";
    f.forEach((value, k) => {
      if (value === null) return;
      path += `${k === 0 || f[k - 1] === null ? "M" : "L"}${this.x(edges[k])} ${this.y(value)}H${this.x(edges[k + 1])}`;
    });
    return path;
  }

  /** Rectangles from the lower to the upper end of each closed interval. */
  band() {
    const { edges, low, high } = this.data;
    return low
      .map((value, k) =>
        value === null || high[k] === null
          ? ""
          : `M${this.x(edges[k])} ${this.y(value)}H${this.x(edges[k + 1])}V${this.y(high[k])}H${this.x(edges[k])}Z`,
      )
      .join("");
  }

  listen() {
    const pixel = (event) => ((event.clientX - this.svg.getBoundingClientRect().left) / this.svg.clientWidth) * BOX.width;
    this.svg.addEventListener("pointermove", (event) => this.say(this.bin(this.value(pixel(event)))));
    this.svg.addEventListener("click", (event) => this.selectNear(this.bin(this.value(pixel(event)))));
    this.svg.addEventListener("blur", () => this.move(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const here = this.cursor === null ? this.bin(this.data.values[shown()]) : this.cursor;
      if (step) this.move(Math.max(0, Math.min(this.data.counts.length - 1, here + step)));
      else if (event.key === "Enter" || event.key === " ") this.selectNear(here);
      else if (event.key === "Escape") select(ALL, "");
      else return;
      event.preventDefault();
    });
  }

  bin(value) {
    const { edges, counts } = this.data;
    const share = (value - edges[0]) / (edges[edges.length - 1] - edges[0]);
    return Math.max(0, Math.min(counts.length - 1, Math.floor(share * counts.length)));
  }

  centre(k) {
    return (this.data.edges[k] + this.data.edges[k + 1]) / 2;
  }

  move(k) {
    this.cursor = k;
    this.dashed.setAttribute("visibility", k === null ? "hidden" : "visible");
    if (k === null) return;
    this.dashed.setAttribute("x1", this.x(this.centre(k)));
    this.dashed.setAttribute("x2", this.x(this.centre(k)));
    this.say(k);
  }

  say(k) {
    const { free_energy: f, low, high, counts } = this.data;
    const interval = low[k] !== null && high[k] !== null ? ` (${short(low[k])} to ${short(high[k])})` : "";
    const found = f[k] === null ? "no draws" : `${short(f[k])} ${DATA.unit}${interval}, ${counts[k]} draws`;
    this.readout.textContent = `${short(this.centre(k))} ${this.data.unit}: ${found}`;
  }

  /** Selects the conformations in a bin, or else the one nearest to it. */
  selectNear(k) {
    const { values, edges, label } = this.data;
    const there = ALL.filter((i) => edges[k] <= values[i] && values[i] < edges[k + 1]);
    const far = (i) => Math.abs(values[i] - this.centre(k));
    const where = `${short(this.centre(k))} along ${label}`;
    if (there.length) select(there, `at ${where}`);
    else select([ALL.reduce((best, i) => (far(i) < far(best) ? i : best))], `the nearest to ${where}`);
  }

  mark() {
    const { values, edges } = this.data;
    const value = values[shown()];
    const inside = value !== null && edges[0] <= value && value <= edges[edges.length - 1];
    this.line.setAttribute("visibility", inside ? "visible" : "hidden");
    if (!inside) return;
    this.line.setAttribute("x1", this.x(value));
    this.line.setAttribute("x2", this.x(value));
  }
}
