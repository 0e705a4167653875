// The molecule in 3-D, by 3Dmol.js, and what is said of the conformation that is shown.

const MOST_OVERLAID = 40;
const FOCUS = 0xe69f00; // carbons of the torsions of the surface that was clicked
const CARBON = 0x8a8f98;

function hasWebGL() {
  const canvas = make("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}

class Molecule {
  constructor() {
    const holder = element("viewer");
    this.bonds = DATA.atoms.map(() => []);
    for (const [i, j] of DATA.bonds) {
      this.bonds[i].push(j);
      this.bonds[j].push(i);
    }
    this.viewer = hasWebGL()
      ? $3Dmol.createViewer(holder, { backgroundColor: color("plot"), antialias: true, disableFog: true })
      : null;
    if (!this.viewer) {
      holder.replaceChildren(make("p", { class: "hint" }, "This browser shows no 3-D pictures: WebGL is off. Everything else works."));
      return;
    }
    this.listen(holder);
    this.draw();
    this.viewer.zoomTo();
    this.viewer.zoom(1.15);
    this.viewer.render();
    listeners.push(() => this.draw());
  }

  listen(holder) {
    const turns = { ArrowLeft: [-15, "y"], ArrowRight: [15, "y"], ArrowUp: [-15, "x"], ArrowDown: [15, "x"] };
    holder.addEventListener("keydown", (event) => {
      if (turns[event.key]) this.viewer.rotate(...turns[event.key]);
      else if (event.key === "+" || event.key === "=") this.viewer.zoom(1.2);
      else if (event.key === "-") this.viewer.zoom(1 / 1.2);
      else if (event.key === "0") this.viewer.zoomTo();
      else return;
      event.preventDefault();
    });
    for (const id of ["hydrogens", "overlay"]) element(id).addEventListener("change", () => this.draw());
  }

  /** Atoms of a conformation as 3Dmol.js takes them. */
  atoms(k) {
    const x = DATA.conformations.x[k];
    return DATA.atoms.map(([name, elem, resn, resi], i) => ({
      atom: name,
      elem,
      resn,
      resi,
      serial: i,
      x: x[3 * i] / 1000,
      y: x[3 * i + 1] / 1000,
      z: x[3 * i + 2] / 1000,
      bonds: this.bonds[i],
      bondOrder: this.bonds[i].map(() => 1),
    }));
  }

  draw() {
    if (!this.viewer) return;
    const viewer = this.viewer;
    viewer.setBackgroundColor(color("plot"));
    viewer.removeAllModels();
    const hidden = element("hydrogens").checked ? {} : { elem: "H", invert: true };
    const focus = new Set(state.focus && DATA.surfaces.length > 1 ? state.focus.atoms : []);
    const paint = (atom) =>
      atom.elem === "C" ? (focus.has(atom.serial) ? FOCUS : CARBON) : ($3Dmol.elementColors.Jmol[atom.elem] ?? 0xff69b4);
    const add = (k, style) => {
      const model = viewer.addModel();
      model.addAtoms(this.atoms(k));
      model.setStyle({}, {});
      model.setStyle(hidden, style);
    };
    if (element("overlay").checked) {
      const others = state.list.filter((k) => k !== shown()).slice(0, MOST_OVERLAID);
      for (const k of others) add(k, { stick: { radius: 0.035, colorfunc: paint, opacity: 0.55 } });
    }
    add(shown(), { stick: { radius: 0.13, colorfunc: paint }, sphere: { scale: 0.22, colorfunc: paint } });
    viewer.render();
  }

  /** The view as a picture, for print. */
  picture() {
    this.draw();
    return this.viewer ? this.viewer.pngURI() : "";
  }
}

/** What is said of the conformation that is shown, and of the selection. */
function describe() {
  const k = shown();
  const { draw: index, weight } = DATA.conformations;
  const torsions = new Map();
  for (const surface of DATA.surfaces) surface.symbols.forEach((name, i) => torsions.set(name, surface.values[i][k]));
  const isWeighted = DATA.report.source === "samples";
  const kind = isWeighted ? "Draw" : "Frame";
  const parts = [`${kind} ${(index[k] + 1).toLocaleString("en")} of ${DATA.report.n_samples.toLocaleString("en")}`];
  if (isWeighted) parts.push(`weight ${short(weight[k])} × the mean`);
  const regions = DATA.groups.filter((group) => !(group.name in DATA.report.rotamers));
  const states = (regions.length ? regions : DATA.groups)
    .filter((group) => group.labels[k] >= 0)
    .map((group) => (group.name === "basin" ? "" : `${group.name} `) + group.states[group.labels[k]]);
  const angles = [...torsions].map(([name, angle]) => `${name} ${degrees(angle)}`);
  element("which").replaceChildren(
    ...[parts, states, angles].filter((part) => part.length).map((part) => make("div", {}, part.join(", "))),
  );
  const n = state.list.length;
  element("selected").textContent =
    state.list === ALL
      ? `${state.place + 1} of ${N} conformations`
      : `${state.place + 1} of ${conformations(n)} ${state.label}`;
  element("all").hidden = state.list === ALL;
  const slider = element("slider");
  slider.max = n - 1;
  slider.value = state.place;
  slider.disabled = n < 2;
  slider.setAttribute("aria-valuetext", `${state.place + 1} of ${n}: ${[...states, ...angles].join(", ")}`);
}
