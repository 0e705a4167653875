"""OpenFF's parameters as `boltzgen.preparation.ligands` makes forces of them, against OpenFF's own exporter.

    python benchmarks/ligand_parameters.py export FOLDER FILE.json   # with boltzgen and its extra `ligands`
    python benchmarks/ligand_parameters.py compare FILE.json         # with openff-interchange, Python 3.12

FOLDER is that of `benchmarks/ligands.py`. `export` writes each molecule's System without the solvent, its
charges, and three structures: the minimum, and it with Gaussian noise of 0.01 and 0.02 nm. `compare` makes
the System anew by openff-interchange, from the same charges, and prints the largest difference of energies
by OpenMM's Reference platform in kJ/mol. The two need not be installed together, and on Python 3.11 cannot.
"""

import json
import sys
from pathlib import Path

import numpy as np
import openmm
from openmm import unit

FORCEFIELD = "openff_unconstrained-2.3.0.offxml"


def export(folder: Path, file: Path) -> None:
    from ligand_molecules import MOLECULES
    from openff.toolkit import Molecule
    from rdkit import Chem

    from boltzgen.molecule.system import System

    found = []
    for name in [name for name in MOLECULES if (folder / name / "system").is_dir()]:
        system = System.load(folder / name / "system")
        bare = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system.openmm_system))
        for k in reversed(range(bare.getNumForces())):
            if isinstance(bare.getForce(k), openmm.GBSAOBCForce | openmm.CustomGBForce):
                bare.removeForce(k)
        (force,) = (f for f in bare.getForces() if isinstance(f, openmm.NonbondedForce))
        charges = [force.getParticleParameters(k)[0] / unit.elementary_charge for k in range(system.n_atoms)]
        mol = Chem.AddHs(Chem.MolFromSmiles(MOLECULES[name].smiles))
        molecule = Molecule.from_rdkit(mol, allow_undefined_stereo=True, hydrogens_are_explicit=True)
        x = system.positions.numpy()
        noise = [np.random.default_rng(k).normal(scale=0.01 * k, size=x.shape) for k in range(3)]
        found.append(
            {
                "name": name,
                "smiles": molecule.to_smiles(mapped=True),
                "charges": charges,
                "system": openmm.XmlSerializer.serialize(bare),
                "x": [(x + n).tolist() for n in noise],
            }
        )
    file.write_text(json.dumps(found))


def compare(file: Path) -> None:
    import openforcefields
    from openff.interchange import Interchange
    from openff.toolkit import ForceField, Molecule
    from openff.units import Quantity

    fields = ForceField(str(Path(openforcefields.__file__).parent / "offxml" / FORCEFIELD))
    worst = 0.0
    for entry in json.loads(file.read_text()):
        molecule = Molecule.from_mapped_smiles(entry["smiles"], allow_undefined_stereo=True)
        molecule.partial_charges = Quantity(np.array(entry["charges"]), "elementary_charge")
        made = Interchange.from_smirnoff(fields, molecule.to_topology(), charge_from_molecules=[molecule])
        theirs = made.to_openmm_system(combine_nonbonded_forces=True)
        ours = openmm.XmlSerializer.deserialize(entry["system"])
        x = np.array(entry["x"])
        off = float(np.abs(energies(ours, x) - energies(theirs, x)).max())
        worst = max(worst, off)
        print(f"{entry['name']}: {off:.1e} kJ/mol")
    print(f"largest: {worst:.1e} kJ/mol")


def energies(system: openmm.System, x: np.ndarray) -> np.ndarray:
    """Potential energies (n,) in kJ/mol of positions (n, n_atoms, 3) in nm."""
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    found = []
    for frame in x:
        context.setPositions(frame)
        state = context.getState(getEnergy=True)
        found.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
    return np.array(found)


def main() -> None:
    arguments = sys.argv[1:]
    if len(arguments) == 3 and arguments[0] == "export":
        export(Path(arguments[1]), Path(arguments[2]))
    elif len(arguments) == 2 and arguments[0] == "compare":
        compare(Path(arguments[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
