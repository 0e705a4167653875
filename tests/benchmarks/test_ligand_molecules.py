"""The molecules of `benchmarks/ligand_molecules.py` are what they say."""

import sys
from pathlib import Path

import pytest

from boltzgen.preparation.ligands import extra

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.skipif(bool(extra.missing()), reason="the extra [ligands] is not installed")
def test_formulas_and_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdkit import Chem
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    from boltzgen.preparation.ligands.checks import check
    from boltzgen.preparation.ligands.stereo import undefined

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from ligand_molecules import CHAIRS, MOLECULES

    assert len(MOLECULES) == 25
    for name, molecule in (MOLECULES | CHAIRS).items():
        mol = Chem.MolFromSmiles(molecule.smiles)
        check(mol)
        assert CalcMolFormula(mol) == molecule.formula, name
        assert undefined(mol) == [], name
    sys.modules.pop("ligand_molecules")
