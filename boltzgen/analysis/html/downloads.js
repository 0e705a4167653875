// What the page holds, as files: conformations in the PDB format, numbers as JSON and CSV.

/** Conformations as PDB models with bonds; each says which draw it is and what it weighs. */
function pdb(list) {
  const { draw: index, weight, x } = DATA.conformations;
  const lines = [`REMARK   ${DATA.stem}, ${DATA.report.temperature} K`];
  for (const [model, k] of list.entries()) {
    lines.push(`REMARK   model ${model + 1}: draw ${index[k]} from 0, ${weight[k]} times the mean weight`);
  }
  for (const [model, k] of list.entries()) {
    if (list.length > 1) lines.push(`MODEL     ${String(model + 1).padStart(4)}`);
    DATA.atoms.forEach(([name, elem, resn, resi, chain], i) => {
      const [a, b, c] = [0, 1, 2].map((d) => (x[k][3 * i + d] / 1000).toFixed(3).padStart(8));
      const label = (elem.length === 1 && name.length < 4 ? ` ${name}` : name).padEnd(4).slice(0, 4);
      const residue = resn.slice(0, 3).padStart(3);
      const letter = String.fromCharCode(65 + (chain % 26));
      const number = String(resi % 10000).padStart(4);
      lines.push(
        `ATOM  ${String((i + 1) % 100000).padStart(5)} ${label} ${residue} ${letter}${number}    ${a}${b}${c}  1.00  0.00          ${elem.toUpperCase().padStart(2)}`,
      );
    });
    if (list.length > 1) lines.push("ENDMDL");
  }
  for (const [i, j] of DATA.bonds) {
    lines.push(`CONECT${String(i + 1).padStart(5)}${String(j + 1).padStart(5)}`);
  }
  lines.push("END");
  return lines.join("\n") + "\n";
}

const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const table = (rows) => rows.map((row) => row.map((cell) => quoted(String(cell ?? ""))).join(",")).join("\n") + "\n";

function surfacesTable() {
  const rows = [["first", "second", "first_degrees", "second_degrees", `free_energy_${DATA.unit}`, "probability", "count"]];
  for (const { names, bins, cells } of DATA.surfaces) {
    const centre = (i) => -180 + ((i + 0.5) * 360) / bins;
    cells[0].forEach((cell, k) => {
      rows.push([...names, centre(Math.floor(cell / bins)), centre(cell % bins), cells[1][k], cells[2][k], cells[3][k]]);
    });
  }
  return table(rows);
}

function profilesTable() {
  const energies = ["free_energy", "free_energy_low", "free_energy_high"].map((name) => `${name}_${DATA.unit}`);
  const rows = [["quantity", "unit", "from", "to", ...energies, "probability", "count"]];
  for (const c of DATA.curves) {
    c.counts.forEach((count, k) => {
      rows.push([c.name, c.unit, c.edges[k], c.edges[k + 1], c.free_energy[k], c.low[k], c.high[k], c.probability[k], count]);
    });
  }
  return table(rows);
}

const DOWNLOADS = {
  pdb: [() => pdb([shown()]), () => `_${DATA.conformations.draw[shown()]}.pdb`, "chemical/x-pdb"],
  pdbs: [() => pdb(state.list), () => "_conformations.pdb", "chemical/x-pdb"],
  json: [() => JSON.stringify(DATA.report, null, 2) + "\n", () => "_report.json", "application/json"],
  surfaces: [surfacesTable, () => "_surfaces.csv", "text/csv"],
  profiles: [profilesTable, () => "_profiles.csv", "text/csv"],
};

function download(kind) {
  const [contents, name, type] = DOWNLOADS[kind];
  const address = URL.createObjectURL(new Blob([contents()], { type }));
  const link = make("a", { href: address, download: DATA.stem + name() });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
