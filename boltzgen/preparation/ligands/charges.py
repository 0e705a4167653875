"""Partial charges by OpenFF NAGL: a graph network that was trained on AM1-BCC charges."""

import hashlib
import warnings
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

#: NAGL's model, and the SHA-256 of its file, which OpenFF's force field 2.3.0 names. The file is a pickle: it
#: is opened only as the one that OpenFF published.
MODEL = "openff-gnn-am1bcc-1.0.0.pt"
SHA256 = "7981e7f5b0b1e424c9e10a40d9e7606d96dcd3dd2b095cb4eeff6829f92238ee"
_READOUT = "am1bcc_charges"


def partial_charges(molecule: Any) -> np.ndarray:
    """Charges (n_atoms,) in elementary charges, whose sum is the formal charge.

    Args:
        molecule: of openff-toolkit.

    Raises:
        ValueError: the model does not cover such a molecule, or its file is not the published one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = _model().compute_property(
                molecule, as_numpy=True, readout_name=_READOUT, check_domains=True, error_if_unsupported=True
            )
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"NAGL's charges do not cover this molecule ({reason}); make Amber files or an OpenMM System "
                "with charges of another program"
            ) from error
    charges = np.asarray(found, dtype=np.float64)
    if not np.isfinite(charges).all():
        raise ValueError("NAGL's charges are no finite numbers; make the System with another program")
    # The network's sum is right to float32's rounding.
    net = sum(atom.formal_charge.m for atom in molecule.atoms)
    return charges + (net - charges.sum()) / len(charges)


@cache
def _model() -> Any:
    from openff.nagl import GNNModel

    file = Path(str(resources.files("openff.nagl_models") / "models" / "am1bcc" / MODEL))
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "no file"
    if digest != SHA256:
        raise ValueError(f"{file} is not OpenFF's {MODEL} (SHA-256 {digest[:12]}); install the extra anew")
    return GNNModel.load(str(file), eval_mode=True)
