"""Twenty-five drugs for `benchmarks/ligands.py`, chosen for what they ask of the coordinates.

Written by hand from their structural formulas, in the charge state that is usual at pH 7 unless another was
wanted for coverage; `formula` is that of this state, against which a test compares every SMILES. None of the
twenty-five has a saturated ring of six or seven atoms: those of `CHAIRS` do. `REFUSED` has what `prepare`
refuses.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Molecule:
    """A SMILES with its stereochemistry, the formula with the charge, and what it is here for."""

    smiles: str
    formula: str
    why: str


MOLECULES = {
    "ibuprofen": Molecule(
        "CC(C)Cc1ccc(cc1)[C@H](C)C(=O)O", "C13H18O2", "isopropyl, para-substituted ring, acid"
    ),
    "melatonin": Molecule(
        "CC(=O)NCCc1c[nH]c2ccc(OC)cc12", "C13H16N2O2", "secondary amide, cis and trans; indole"
    ),
    "aspirin": Molecule("CC(=O)Oc1ccccc1C(=O)[O-]", "C9H7O4-", "ester, carboxylate"),
    "lidocaine": Molecule("CC[NH+](CC)CC(=O)Nc1c(C)cccc1C", "C14H23N2O+", "ammonium, anilide, ortho methyls"),
    "atenolol": Molecule(
        "CC(C)[NH2+]C[C@H](O)COc1ccc(CC(N)=O)cc1",
        "C14H23N2O3+",
        "ten rotatable bonds, primary amide, hydroxyl",
    ),
    "salbutamol": Molecule("CC(C)(C)[NH2+]C[C@H](O)c1ccc(O)c(CO)c1", "C13H22NO3+", "tert-butyl, ammonium"),
    "dopamine": Molecule("[NH3+]CCc1ccc(O)c(O)c1", "C8H12NO2+", "ammonium with three hydrogens, catechol"),
    "diazepam": Molecule(
        "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21", "C16H13ClN2O", "seven-membered ring, chlorine"
    ),
    "celecoxib": Molecule(
        "Cc1ccc(cc1)-c1cc(nn1-c1ccc(cc1)S(N)(=O)=O)C(F)(F)F", "C17H14F3N3O2S", "sulfonamide, CF3, biaryls"
    ),
    "flutamide": Molecule(
        "CC(C)C(=O)Nc1ccc([N+](=O)[O-])c(c1)C(F)(F)F", "C11H11F3N2O3", "nitro, CF3, anilide"
    ),
    "pregabalin": Molecule("CC(C)C[C@H](C[NH3+])CC(=O)[O-]", "C8H17NO2", "zwitterion"),
    "tamoxifen": Molecule(
        r"CC/C(=C(\c1ccccc1)/c1ccc(OCCN(C)C)cc1)/c1ccccc1",
        "C26H29NO",
        "double bond, Z; amine that inverts",
    ),
    "terbinafine": Molecule(
        "CN(C/C=C/C#CC(C)(C)C)Cc1cccc2ccccc12",
        "C21H25N",
        "alkyne, double bond, tert-butyl, amine that inverts",
    ),
    "letrozole": Molecule(
        "N#Cc1ccc(cc1)C(c1ccc(cc1)C#N)n1cncn1", "C17H11N5", "nitriles, three rings on a carbon"
    ),
    "captopril": Molecule(
        "C[C@H](CS)C(=O)N1CCC[C@H]1C(=O)O", "C9H15NO3S", "thiol, proline: five-membered ring"
    ),
    "penicillin_g": Molecule(
        "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)[O-]",
        "C16H17N2O4S-",
        "fused rings of four and five",
    ),
    "guanfacine": Molecule("NC(=[NH2+])NC(=O)Cc1c(Cl)cccc1Cl", "C9H10Cl2N3O+", "acylguanidinium"),
    "iobenguane": Molecule("NC(=[NH2+])NCc1cccc(I)c1", "C8H11IN3+", "guanidinium, iodine"),
    "furosemide": Molecule(
        "NS(=O)(=O)c1cc(C(=O)[O-])c(NCc2ccco2)cc1Cl", "C12H10ClN2O5S-", "sulfonamide, furan"
    ),
    "sulfamethoxazole": Molecule("Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1", "C10H11N3O3S", "isoxazole, aniline"),
    "tenofovir": Molecule(
        "C[C@H](Cn1cnc2c(N)ncnc12)OCP(=O)(O)[O-]", "C9H13N5O4P-", "phosphonate, adenine, ether"
    ),
    "zidovudine": Molecule(
        "CC1=CN(C(=O)NC1=O)[C@H]1C[C@H](N=[N+]=[N-])[C@@H](CO)O1",
        "C10H13N5O4",
        "azide, sugar, three stereocentres",
    ),
    "esomeprazole": Molecule(
        "COc1ccc2[nH]c(nc2c1)[S@@](=O)Cc1ncc(C)c(OC)c1C", "C17H19N3O3S", "sulfoxide, methoxy groups"
    ),
    "chloroquine": Molecule(
        "CC[NH+](CC)CCC[C@@H](C)Nc1ccnc2cc(Cl)ccc12", "C18H27ClN3+", "ten rotatable bonds, aminoquinoline"
    ),
    "brompheniramine": Molecule(
        "C[NH+](C)CC[C@@H](c1ccc(Br)cc1)c1ccccn1", "C16H20BrN2+", "bromine, two rings on a stereocentre"
    ),
}

#: Rings that flip between chairs.
CHAIRS = {
    "methylpiperidine": Molecule("CN1CCCCC1", "C6H13N", "piperidine whose nitrogen inverts"),
    "menthol": Molecule("CC(C)[C@@H]1CC[C@@H](C)C[C@H]1O", "C10H20O", "cyclohexane, three substituents"),
    "moclobemide": Molecule("O=C(NCCN1CCOCC1)c1ccc(Cl)cc1", "C13H17ClN2O2", "morpholine, secondary amide"),
    "dexmethylphenidate": Molecule(
        "COC(=O)[C@@H]([C@H]1CCCC[NH2+]1)c1ccccc1", "C14H20NO2+", "piperidinium, ester"
    ),
    "glucose": Molecule(
        "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O", "C6H12O6", "sugar, hydrogen bonds around a ring"
    ),
}

#: What `prepare` refuses, and a word of its message.
REFUSED = {
    "exaltolide": ("O=C1CCCCCCCCCCCCCCO1", "ring of more than 7"),
    "butadiene-1,2": ("CC=C=C", "cumulated"),
    "sulfur hexafluoride": ("FS(F)(F)(F)(F)F", "neighbours"),
}
