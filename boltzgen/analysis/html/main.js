// The page comes to life: panels, profiles, the molecule, and what buttons do.

/** The place of the conformation that lies deepest in all surfaces, or profiles, together. */
function deepest() {
  const height = (k) => {
    let sum = 0;
    for (const surface of surfaces) sum += surface.energy(surface.data.values[0][k], surface.data.values[1][k]) ?? DATA.top;
    if (!surfaces.length) for (const curve of curves) sum += curve.data.free_energy[curve.bin(curve.data.values[k])] ?? curve.data.top;
    return sum;
  };
  return ALL.reduce((best, k) => (height(k) < height(best) ? k : best), 0);
}

const surfaces = [];
const curves = [];

if (N > 0) {
  if (DATA.surfaces.length) {
    element("panels").classList.toggle("one", DATA.surfaces.length === 1);
    surfaces.push(...DATA.surfaces.map((data) => new Surface(data)));
    element("scale").hidden = element("hint").hidden = false;
  } else {
    element("explore").classList.add("alone");
  }
  curves.push(...DATA.curves.map((data) => new Curve(data)));
  state.place = deepest();
  listeners.push(describe);
  const molecule = new Molecule();

  element("slider").addEventListener("input", (event) => show(Number(event.target.value)));
  element("previous").addEventListener("click", () => show(state.place - 1));
  element("next").addEventListener("click", () => show(state.place + 1));
  element("all").addEventListener("click", () => select(ALL, ""));
  element("dots").addEventListener("change", changed);
  for (const button of document.querySelectorAll("button.state")) {
    button.addEventListener("click", () => {
      const group = DATA.groups.find((one) => one.name === button.dataset.group);
      const k = Number(button.dataset.state);
      const found = ALL.filter((i) => group.labels[i] === k);
      state.focus = DATA.surfaces.find((surface) => surface.residue === group.name) || state.focus;
      const name = (group.name === "basin" ? "" : `${group.name} `) + group.states[k];
      if (found.length) select(found, `in ${name}`);
      else element("selected").textContent = `No draw lies in ${name}.`;
      element("explore").scrollIntoView({ block: "start" });
    });
  }
  for (const button of document.querySelectorAll("[data-download]")) {
    button.addEventListener("click", () => download(button.dataset.download));
  }

  const redraw = () => {
    drawScale();
    changed();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(element("panels"));
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    redraw();
    element("viewer-print").src = molecule.picture();
  });
  window.addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    redraw();
  });
  redraw();
}
