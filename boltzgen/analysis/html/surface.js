// A free-energy surface of two torsions: cells, basins and conformations on a canvas that can be zoomed.

const MARGIN = { left: 40, bottom: 34, top: 8, right: 10 };
const NEAR = 10; // degrees about a click in which conformations are taken

class Surface {
  constructor(data) {
    this.data = data;
    this.view = { x: -180, y: -180, size: 360 };
    this.cross = null;
    this.loop = null;
    this.cells = new Map(data.cells[0].map((cell, k) => [cell, k]));
    this.build();
    this.listen();
    listeners.push(() => this.draw());
  }

  build() {
    const [x, y] = this.data.symbols;
    this.name = this.data.residue ? `${this.data.residue}: ${x}, ${y}` : `${x}, ${y}`;
    this.canvas = make("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label": `Free-energy surface of ${this.name}. Arrow keys move a cross, Enter shows conformations there.`,
    });
    this.readout = make("p", { class: "readout", "aria-live": "polite" });
    const tools = make("span");
    for (const [text, label, act] of [
      ["+", "Zoom in", () => this.zoom(2)],
      ["−", "Zoom out", () => this.zoom(0.5)],
      ["0", "Show the whole surface", () => this.zoom(0)],
    ]) {
      const button = make("button", { type: "button", "aria-label": label, title: label }, text);
      button.addEventListener("click", act);
      tools.append(button, " ");
    }
    this.figure = make("figure", { class: "surface" }, make("figcaption", {}, this.name, tools), this.canvas, this.readout);
    element("panels").append(this.figure);
  }

  listen() {
    const canvas = this.canvas;
    let start = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = this.at(event);
      if (event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = this.at(event);
      if (start && event.pointerType !== "touch" && (this.loop || this.pixels(start, here) > 5)) {
        this.loop = [...(this.loop || [start]), here];
        this.draw();
      } else if (!start) this.say(here);
    });
    canvas.addEventListener("pointerup", (event) => {
      const loop = this.loop;
      this.loop = null;
      if (loop) this.selectWithin(loop);
      else if (start) this.selectNear(this.at(event));
      start = null;
    });
    canvas.addEventListener("pointercancel", () => {
      start = this.loop = null;
      this.draw();
    });
    canvas.addEventListener("dblclick", (event) => this.zoom(2, this.at(event)));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => {
      this.cross = null;
      this.draw();
    });
  }

  key(event) {
    const step = 360 / this.data.bins;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const k = shown();
    const here = this.cross || { x: this.data.values[0][k], y: this.data.values[1][k] };
    if (moves[event.key]) {
      this.cross = { x: turn(here.x + moves[event.key][0], 0), y: turn(here.y + moves[event.key][1], 0) };
      this.follow(this.cross);
      this.say(this.cross);
      this.draw();
    } else if (event.key === "Enter" || event.key === " ") this.selectNear(here);
    else if (event.key === "+" || event.key === "=") this.zoom(2, here);
    else if (event.key === "-") this.zoom(0.5, here);
    else if (event.key === "0") this.zoom(0);
    else if (event.key === "Escape") select(ALL, "");
    else return;
    event.preventDefault();
  }

  /** Zooms by a factor about a place, or about the shown conformation; a factor of 0 shows everything. */
  zoom(factor, about) {
    const k = shown();
    const { x, y } = about || { x: this.data.values[0][k], y: this.data.values[1][k] };
    const size = factor ? Math.max(30, Math.min(360, this.view.size / factor)) : 360;
    this.view = { x: x - size / 2, y: y - size / 2, size };
    this.limit();
    this.draw();
  }

  /** Moves the view so that a place is in it. */
  follow({ x, y }) {
    const { size } = this.view;
    if (x < this.view.x || x > this.view.x + size) this.view.x = x - size / 2;
    if (y < this.view.y || y > this.view.y + size) this.view.y = y - size / 2;
    this.limit();
  }

  limit() {
    this.view.x = Math.max(-180, Math.min(180 - this.view.size, this.view.x));
    this.view.y = Math.max(-180, Math.min(180 - this.view.size, this.view.y));
  }

  /** Torsions in degrees at the place of an event. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const side = box.width - MARGIN.left - MARGIN.right;
    return {
      x: this.view.x + ((event.clientX - box.left - MARGIN.left) / side) * this.view.size,
      y: this.view.y + (1 - (event.clientY - box.top - MARGIN.top) / (box.height - MARGIN.top - MARGIN.bottom)) * this.view.size,
    };
  }

  pixels(a, b) {
    return (Math.hypot(a.x - b.x, a.y - b.y) / this.view.size) * this.canvas.clientWidth;
  }

  /** The number of the cell at a place among those with draws; undefined where there are none. */
  cell(x, y) {
    const n = this.data.bins;
    const [i, j] = [x, y].map((angle) => Math.floor((turn(angle, 0) + 180) / (360 / n)));
    return this.cells.get(Math.min(i, n - 1) * n + Math.min(j, n - 1));
  }

  energy(x, y) {
    return this.data.cells[1][this.cell(x, y)];
  }

  /** Says what the surface is at a place. */
  say({ x, y }) {
    if (Math.max(Math.abs(x), Math.abs(y)) > 180) return;
    const [a, b] = this.data.symbols;
    const k = this.cell(x, y);
    const [, energy, share, draws] = this.data.cells;
    const found =
      k === undefined
        ? "no draws"
        : `${short(energy[k])} ${DATA.unit}, ${short(100 * share[k])} % of the weight, ${draws[k]} draws`;
    this.readout.textContent = `${a} ${degrees(x)}, ${b} ${degrees(y)}: ${found}`;
  }

  /** Selects the conformations about a place, or else the nearest one. */
  selectNear(place) {
    state.focus = this.data;
    const [xs, ys] = this.data.values;
    const far = ALL.map((k) => Math.hypot(turn(xs[k], place.x), turn(ys[k], place.y)));
    const order = ALL.slice().sort((a, b) => far[a] - far[b]);
    const near = order.filter((k) => far[k] <= NEAR);
    const [a, b] = this.data.symbols;
    const where = `${a} ${degrees(place.x)}, ${b} ${degrees(place.y)}`;
    this.say(place);
    if (near.length) select(near, `within ${NEAR}° of ${where}`);
    else select(order.slice(0, 1), `the nearest to ${where}, ${degrees(far[order[0]])} away`);
  }

  /** Selects the conformations within a loop. */
  selectWithin(loop) {
    state.focus = this.data;
    const [xs, ys] = this.data.values;
    const inside = ALL.filter((k) => {
      let odd = false;
      for (let i = 0, j = loop.length - 1; i < loop.length; j = i++) {
        const [p, q] = [loop[i], loop[j]];
        if (p.y > ys[k] !== q.y > ys[k] && xs[k] < ((q.x - p.x) * (ys[k] - p.y)) / (q.y - p.y) + p.x) odd = !odd;
      }
      return odd;
    });
    if (inside.length) select(inside, `within the loop on ${this.name}`);
    else {
      this.readout.textContent = "No conformation of this page lies within the loop.";
      this.draw();
    }
  }

  draw() {
    const canvas = this.canvas;
    const width = canvas.clientWidth;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(width * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const side = { x: width - MARGIN.left - MARGIN.right, y: width - MARGIN.top - MARGIN.bottom };
    const to = (x, y) => [
      MARGIN.left + ((x - this.view.x) / this.view.size) * side.x,
      MARGIN.top + (1 - (y - this.view.y) / this.view.size) * side.y,
    ];
    pen.fillStyle = color("plot");
    pen.fillRect(MARGIN.left, MARGIN.top, side.x, side.y);
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left, MARGIN.top, side.x, side.y);
    pen.clip();
    pen.imageSmoothingEnabled = false;
    const n = this.data.bins;
    const per = n / 360;
    pen.drawImage(
      this.image(),
      (this.view.x + 180) * per,
      (180 - this.view.y - this.view.size) * per,
      this.view.size * per,
      this.view.size * per,
      MARGIN.left,
      MARGIN.top,
      side.x,
      side.y,
    );
    this.drawBasins(pen, to);
    this.drawPlaces(pen, to);
    pen.restore();
    this.drawAxes(pen, to, width);
  }

  /** The cells as a picture, a pixel each. */
  image() {
    const key = isDark();
    if (this.cached && this.cachedKey === key) return this.cached;
    const n = this.data.bins;
    const made = make("canvas", { width: n, height: n });
    const pen = made.getContext("2d");
    const colors = palette();
    const beyond = color("beyond");
    const [cells, energies] = this.data.cells;
    cells.forEach((cell, k) => {
      const level = energies[k] / DATA.top;
      pen.fillStyle = energies[k] === null || level > 1 ? beyond : colors[Math.min(colors.length - 1, Math.floor(level * colors.length))];
      pen.fillRect(Math.floor(cell / n), n - 1 - (cell % n), 1, 1);
    });
    this.cached = made;
    this.cachedKey = key;
    return made;
  }

  drawBasins(pen, to) {
    pen.beginPath();
    for (const [x, y, xEnd, yEnd] of this.data.lines) {
      pen.moveTo(...to(x, y));
      pen.lineTo(...to(xEnd, yEnd));
    }
    for (const [width, stroke] of [[2.5, "halo"], [1, "outline"]]) {
      pen.lineWidth = width;
      pen.strokeStyle = color(stroke);
      pen.stroke();
    }
    drawNames(pen, this.data.labels, to, this.view);
  }

  /** Conformations as dots, selected ones larger, the shown one as a ring; the cross and the loop. */
  drawPlaces(pen, to) {
    const [xs, ys] = this.data.values;
    const dot = (k, radius, fill) => {
      pen.beginPath();
      pen.arc(...to(xs[k], ys[k]), radius, 0, 2 * Math.PI);
      pen.fillStyle = fill;
      pen.fill();
    };
    const isPart = state.list !== ALL;
    if (element("dots").checked) {
      for (const k of ALL) {
        dot(k, 2.1, color("halo"));
        dot(k, 1.3, color("ink"));
      }
    }
    if (isPart) {
      for (const k of state.list) {
        dot(k, 4, color("page"));
        dot(k, 2.8, color("mark"));
      }
    }
    const k = shown();
    for (const [width, stroke] of [[6, color("page")], [3, color("mark")]]) {
      pen.beginPath();
      pen.arc(...to(xs[k], ys[k]), 7, 0, 2 * Math.PI);
      pen.lineWidth = width;
      pen.strokeStyle = stroke;
      pen.stroke();
    }
    pen.strokeStyle = color("ink");
    pen.lineWidth = 1.5;
    if (this.cross) {
      const [x, y] = to(this.cross.x, this.cross.y);
      pen.beginPath();
      pen.moveTo(x - 9, y);
      pen.lineTo(x + 9, y);
      pen.moveTo(x, y - 9);
      pen.lineTo(x, y + 9);
      pen.stroke();
    }
    if (this.loop) {
      pen.setLineDash([5, 3]);
      pen.beginPath();
      this.loop.forEach(({ x, y }, i) => pen[i ? "lineTo" : "moveTo"](...to(x, y)));
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  drawAxes(pen, to, width) {
    pen.strokeStyle = color("line");
    pen.fillStyle = color("ink");
    pen.lineWidth = 1;
    pen.font = "11px system-ui, sans-serif";
    const { x, y, size } = this.view;
    const [left, top] = to(x, y + size);
    const [right, bottom] = to(x + size, y);
    pen.strokeRect(left, top, right - left, bottom - top);
    const step = [10, 20, 30, 60, 90, 180].find((s) => size / s <= (width < 300 ? 4 : 6.1));
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (let t = Math.ceil(x / step) * step; t <= x + size; t += step) pen.fillText(String(t).replace("-", "−"), to(t, y)[0], bottom + 4);
    pen.fillText(`${this.data.symbols[0]} / degrees`, (left + right) / 2, bottom + 19);
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (let t = Math.ceil(y / step) * step; t <= y + size; t += step) pen.fillText(String(t).replace("-", "−"), left - 4, to(x, t)[1]);
    pen.save();
    pen.translate(8, (top + bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(`${this.data.symbols[1]} / degrees`, 0, 0);
    pen.restore();
  }
}
