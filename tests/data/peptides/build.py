"""Make the PDB files of this folder, with PDBFixer.

The backbone is copies of the shipped alanine dipeptide, each laid with its acetyl group on the amide before
it; PDBFixer puts its own side-chain templates on it, OpenMM the hydrogens, and a minimisation with amber14
and OBC2 removes the strain.

Run it as ``python tests/data/peptides/build.py`` from the top of the checkout.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

HERE = Path(__file__).parent
SOURCE = HERE.parents[2] / "systems" / "alanine_dipeptide" / "topology.pdb"

AMINO_ACIDS = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL"
HISTIDINES = ["HID", "HIE", "HIP"]
LARGER = {
    "chignolin.pdb": "GLY TYR ASP PRO GLU THR GLY THR TRP GLY",
    "trp_cage.pdb": "ASN LEU TYR ILE GLN TRP LEU LYS ASP GLY GLY PRO SER SER GLY ARG PRO PRO PRO SER",
}
TRIPEPTIDES = [
    "GLY ALA VAL",
    "LEU ILE MET",
    "PHE PRO TRP",
    "SER THR CYS",
    "TYR ASN GLN",
    "ASP GLU LYS",
    "ARG HIS ALA",
]

Atoms = dict[str, np.ndarray]


def pieces() -> tuple[Atoms, Atoms, Atoms]:
    """Heavy atoms of ACE, ALA and NME in Angstrom, by name."""
    structure = app.PDBFile(str(SOURCE))
    positions = structure.getPositions(asNumpy=True).value_in_unit(unit.angstrom)

    def heavy(residue: app.topology.Residue) -> Atoms:
        return {atom.name: positions[atom.index] for atom in residue.atoms() if atom.element.symbol != "H"}

    ace, ala, nme = structure.topology.residues()
    return heavy(ace), heavy(ala), heavy(nme)


def superpose(moving: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation R and shift t with moving @ R.T + t closest to target."""
    a, b = moving.mean(0), target.mean(0)
    u, _, v = np.linalg.svd((moving - a).T @ (target - b))
    handed = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    rotation = (u @ handed @ v).T
    return rotation, b - rotation @ a


def backbone(names: Sequence[str], capped: bool) -> list[tuple[str, Atoms]]:
    """Residues with their heavy backbone atoms and CB, in Angstrom."""
    ace, ala, nme = pieces()
    methyl = next(name for name in nme if name != "N")
    chain: list[tuple[str, Atoms]] = [("ACE", ace)] if capped else []
    first = plane = np.array([ace["CH3"], ace["C"], ace["O"], ala["N"], ala["CA"]])
    for name in names:
        rotation, shift = superpose(first, plane)
        placed = {
            atom: rotation @ r + shift for atom, r in ala.items() if not (atom == "CB" and name == "GLY")
        }
        amide = {atom: rotation @ r + shift for atom, r in nme.items()}
        chain.append((name, placed))
        plane = np.array([placed["CA"], placed["C"], placed["O"], amide["N"], amide[methyl]])
    if capped:
        chain.append(("NME", {"N": amide["N"], "C": amide[methyl]}))
    return chain


def pdb_text(chains: Sequence[list[tuple[str, Atoms]]]) -> str:
    lines, serial = [], 0
    for letter, chain in zip("AB", chains, strict=False):
        for number, (name, atoms) in enumerate(chain, 1):
            for atom, (x, y, z) in atoms.items():
                serial += 1
                lines.append(
                    f"ATOM  {serial:5d}  {atom:<3s} {name} {letter}{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  "
                    f"1.00  0.00           {atom[0]}"
                )
        lines.append("TER")
    return "\n".join([*lines, "END", ""])


def with_side_chains(chains: Sequence[list[tuple[str, Atoms]]]) -> tuple[app.Topology, unit.Quantity]:
    """The same with every heavy atom."""
    from pdbfixer import PDBFixer

    fixer = PDBFixer(pdbfile=io.StringIO(pdb_text(chains)))
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=1)
    return fixer.topology, fixer.positions


def finish(
    topology: app.Topology, positions: unit.Quantity, variants: list[str | None] | None, file: str
) -> None:
    """Add hydrogens, minimise, write."""
    forcefield = app.ForceField("amber14/protein.ff14SB.xml", "implicit/obc2.xml")
    model = app.Modeller(topology, positions)
    model.addHydrogens(
        forcefield, pH=7.0, variants=variants, platform=openmm.Platform.getPlatformByName("Reference")
    )
    system = forcefield.createSystem(model.topology)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(model.positions)
    openmm.LocalEnergyMinimizer.minimize(context, 5.0, 2000)
    state = context.getState(getPositions=True, getEnergy=True)
    with (HERE / file).open("w") as out:
        app.PDBFile.writeFile(model.topology, state.getPositions(), out, keepIds=True)
    print(f"{file}: {model.topology.getNumAtoms()} atoms, {state.getPotentialEnergy()}")  # noqa: T201


def disulfide() -> tuple[app.Topology, unit.Quantity]:
    """Two capped cysteines, the second the first turned by half about an axis that brings the sulphurs to
    2.05 Angstrom.
    """
    topology, positions = with_side_chains([backbone(["CYS"], capped=True)])
    r = np.array(positions.value_in_unit(unit.angstrom))
    index = {atom.name: atom.index for atom in topology.atoms() if atom.residue.name == "CYS"}
    others = [i for i in range(len(r)) if i != index["SG"]]
    rng = np.random.default_rng(0)
    best, distance = r, 0.0
    for _ in range(5000):
        toward, axis = rng.normal(size=(2, 3))
        toward /= np.linalg.norm(toward)
        axis -= (axis @ toward) * toward
        axis /= np.linalg.norm(axis)
        centre = r[index["SG"]] + 1.025 * toward
        turned = 2 * np.outer((r - centre) @ axis, axis) - (r - centre) + centre
        near = np.linalg.norm(r[others, None] - turned[None, others], axis=-1).min()
        near = min(near, np.linalg.norm(r[others] - turned[index["SG"]], axis=-1).min() + 0.3)
        if near > distance:
            best, distance = turned, near
    model = app.Modeller(topology, positions)
    model.add(topology, best * unit.angstrom)
    model.topology.createDisulfideBonds(model.positions)
    return model.topology, model.positions


def main() -> None:
    for name in AMINO_ACIDS.split():
        forms = HISTIDINES if name == "HIS" else [name]
        for form in forms:
            topology, positions = with_side_chains([backbone([name], capped=True)])
            variants = [None, form, None] if name == "HIS" else None
            finish(topology, positions, variants, f"ace_{form.lower()}_nme.pdb")
    for length, file in ((3, "capped_ala3.pdb"), (5, "ace_ala5_nme.pdb"), (13, "capped_ala13.pdb")):
        finish(*with_side_chains([backbone(["ALA"] * length, capped=True)]), None, file)
    finish(*disulfide(), None, "disulfide.pdb")
    for names in TRIPEPTIDES:
        finish(
            *with_side_chains([backbone(names.split(), capped=False)]),
            None,
            f"{names.lower().replace(' ', '_')}.pdb",
        )
    for file, names in LARGER.items():
        finish(*with_side_chains([backbone(names.split(), capped=False)]), None, file)


if __name__ == "__main__":
    main()
