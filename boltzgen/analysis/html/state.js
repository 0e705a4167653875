// Which conformations are selected, which of them is shown, and who wants to know when that changes.

const DATA = JSON.parse(document.getElementById("data").textContent);
const N = DATA.conformations.draw.length;
const ALL = Array.from({ length: N }, (_, k) => k);

const state = { list: ALL, place: 0, label: "", focus: null };
const listeners = [];

const element = (id) => document.getElementById(id);
const shown = () => state.list[state.place];
const changed = () => listeners.forEach((listener) => listener());

/** Shows one of the selected conformations, by its place among them. */
function show(place) {
  state.place = Math.max(0, Math.min(state.list.length - 1, place));
  changed();
}

/** Selects conformations, and shows the first; the one that is shown stays if all are selected. */
function select(list, label) {
  if (list.length === 0) return;
  const before = shown();
  state.list = list;
  state.label = label;
  state.place = list === ALL ? before : 0;
  changed();
}

/** A colour of the present theme. */
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const isDark = () =>
  matchMedia("(prefers-color-scheme: dark)").matches && !document.documentElement.classList.contains("printing");

/** Colours of free energies: what is most probable stands out from the page, whatever the theme. */
const palette = () => (isDark() ? DATA.colors.slice().reverse() : DATA.colors);

/** The shorter way round the circle between two angles, in degrees. */
const turn = (a, b) => ((((a - b + 180) % 360) + 360) % 360) - 180;

const conformations = (n) => (n === 1 ? "1 conformation" : `${n} conformations`);
const degrees = (angle) => `${angle.toFixed(0)}°`.replace("-", "−");

/** A number with as many digits as a reader needs. */
function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return (size !== 0 && size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)))).replace("-", "−");
}

/** An element with attributes and texts or elements within; texts stay texts. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Round numbers within two limits, for the ticks of an axis. */
function ticks(low, high, about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}
