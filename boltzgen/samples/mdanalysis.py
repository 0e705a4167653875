"""Conformations as MDAnalysis has them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import mdtraj
import numpy as np

_ANGSTROM_PER_NM = 10.0


def universe(topology: mdtraj.Topology, x: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Any:
    """An MDAnalysis `Universe` of a molecule and its conformations, in memory.

    Args:
        topology: atoms, residues, chains and bonds.
        x: positions (n, n_atoms, 3) in nm.
        arrays: numbers (n,) of the frames, by the name under which ``ts.aux`` has them.

    Raises:
        ImportError: MDAnalysis is not installed.
    """
    try:
        import MDAnalysis
    except ImportError as error:
        raise ImportError("`to_mdanalysis` needs MDAnalysis: `pip install MDAnalysis`") from error
    atoms, residues, chains = list(topology.atoms), list(topology.residues), list(topology.chains)
    found = MDAnalysis.Universe.empty(
        len(atoms),
        n_residues=len(residues),
        n_segments=len(chains),
        atom_resindex=[a.residue.index for a in atoms],
        residue_segindex=[r.chain.index for r in residues],
        trajectory=False,
    )
    elements = [getattr(a.element, "symbol", "") for a in atoms]
    found.add_TopologyAttr("names", [a.name for a in atoms])
    found.add_TopologyAttr("elements", elements)
    found.add_TopologyAttr("types", elements)
    found.add_TopologyAttr("masses", [getattr(a.element, "mass", 0.0) for a in atoms])
    found.add_TopologyAttr("resnames", [r.name for r in residues])
    found.add_TopologyAttr("resids", [r.resSeq for r in residues])
    found.add_TopologyAttr("segids", [c.chain_id or str(c.index) for c in chains])
    found.add_TopologyAttr("bonds", [(a.index, b.index) for a, b in topology.bonds])
    found.load_new((_ANGSTROM_PER_NM * x).astype(np.float32), order="fac")
    for name, values in arrays.items():
        found.trajectory.add_auxiliary(name, auxdata=_frame_classes()["FrameReader"](values.tolist()))
    return found


@cache
def _frame_classes() -> dict[str, Any]:
    """MDAnalysis' reader of numbers, one a frame, and the step that it holds; made when first needed."""
    from MDAnalysis.auxiliary.base import AuxReader, AuxStep

    class FrameStep(AuxStep):
        """The number of one frame, of which there is nothing to select."""

        _time_selector = _data_selector = None

        def __init__(self, **options: Any) -> None:
            super().__init__(**{k: v for k, v in options.items() if not k.endswith("_selector")})

    class FrameReader(AuxReader):
        """Auxiliary data of a trajectory in memory, one number for each frame."""

        format = "FRAMES"
        _Auxstep = FrameStep

        def __init__(self, auxdata: Sequence[float], **options: Any) -> None:
            # A tuple, as MDAnalysis asks whether there are any data.
            self._auxdata, self._n_steps = tuple(auxdata), len(auxdata)
            super().__init__(**options)

        def _read_next_step(self) -> Any:
            if self.step + 1 >= self.n_steps:
                self.rewind()
                raise StopIteration
            self.auxstep.step += 1
            self.auxstep._data = np.float64(self._auxdata[self.step])
            return self.auxstep

        def _go_to_step(self, i: int) -> Any:
            if not 0 <= i < self.n_steps:
                raise ValueError(f"no frame {i} of {self.n_steps}; they are counted from 0")
            self.auxstep.step = i - 1
            return self._read_next_step()

        def _memory_usage(self) -> int:
            return np.dtype(np.float64).itemsize * self.n_steps

    classes = {"FrameReader": FrameReader, "FrameStep": FrameStep}
    for name, found in classes.items():
        found.__qualname__ = name  # where pickle finds it, which sends universes to other processes
    return classes


def __getattr__(name: str) -> Any:
    """`FrameReader` and `FrameStep`, which cannot be defined before MDAnalysis is imported (PEP 562)."""
    if name in ("FrameReader", "FrameStep"):
        return _frame_classes()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
