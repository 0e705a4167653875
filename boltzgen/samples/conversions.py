"""Weighted samples as what other packages work with: MDTraj, MDAnalysis, pandas, ArviZ."""

from typing import TYPE_CHECKING, Any

import mdtraj
from torch import Tensor

from boltzgen.samples.arviz import inference_data
from boltzgen.samples.draws import Draws, Molecule
from boltzgen.samples.mdanalysis import universe

if TYPE_CHECKING:
    import pandas


class Conversions(Draws):
    """What `WeightedSamples` inherits: the same conformations for other packages, weights along.

    None of these packages weighs frames by itself. Where a program is to count all alike, `resample` first.
    """

    @property
    def weights(self) -> Tensor:
        """Weights that sum to one, float64 (n,)."""
        raise NotImplementedError

    def torsion(self, name: str) -> Tensor:
        """The named torsion of every conformation, (n,) in radians."""
        raise NotImplementedError

    @property
    def mdtraj_topology(self) -> mdtraj.Topology:
        """The molecule's atoms and bonds, as MDTraj has them.

        Raises:
            ValueError: the samples carry no molecule, or were read from a file without topology.
        """
        topology = self._molecule().mdtraj_topology
        if topology is None:
            raise ValueError(
                "these samples were read from a file without a topology; set `system` to a `System`"
            )
        return topology

    def to_mdtraj(self) -> mdtraj.Trajectory:
        """The conformations as an MDTraj trajectory (a copy); they do not have equal weight, see `resample`.

        MDTraj has no place for weights: frame k has `weights[k]`.

        Raises:
            ValueError: no topology, see `mdtraj_topology`.
        """
        return mdtraj.Trajectory(self.x.numpy(force=True).copy(), self.mdtraj_topology)

    def to_mdanalysis(self) -> Any:
        """The conformations as an MDAnalysis `Universe`, in memory, in Angstrom (a copy).

        Each frame has its weight and log-weight as auxiliary data, ``universe.trajectory.ts.aux.weight`` and
        ``.log_w``; weights sum to one over all frames.

        Raises:
            ImportError: MDAnalysis is not installed.
            ValueError: no topology, see `mdtraj_topology`, or no conformation has any weight.
        """
        arrays = {"weight": self.weights, "log_w": self.log_w}
        return universe(
            self.mdtraj_topology,
            self.x.numpy(force=True),
            {name: values.numpy(force=True) for name, values in arrays.items()},
        )

    def to_arviz(self) -> Any:
        """ArviZ's object for draws: an `InferenceData`, or from ArviZ 1 on an xarray `DataTree`.

        The group `posterior` has the named torsions in radians, `sample_stats` has `lp` = -u, `log_q`,
        `log_weight` and `weight`, of one chain with a draw for each conformation. ArviZ counts all draws
        alike: for its plots of the target, `resample` first.

        Raises:
            ImportError: ArviZ is not installed.
            ValueError: no conformation has any weight.
        """
        stats = {"lp": -self.u, "log_q": self.log_q, "log_weight": self.log_w, "weight": self.weights}
        torsions = {name: self.torsion(name) for name in self._named_torsions()}
        return inference_data(
            {name: values.numpy(force=True) for name, values in torsions.items()},
            {name: values.numpy(force=True) for name, values in stats.items()},
            {} if self.temperature is None else {"temperature": self.temperature},
        )

    def to_dataframe(self) -> "pandas.DataFrame":
        """A row for each conformation: u, log_q, log_w, weight, and all named torsions in degrees.

        Weights sum to one. Samples without a molecule have no torsions.

        Raises:
            ImportError: pandas is not installed.
            ValueError: no conformation has any weight.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("`to_dataframe` needs pandas: `pip install pandas`") from error
        columns = {"u": self.u, "log_q": self.log_q, "log_w": self.log_w, "weight": self.weights}
        columns |= {name: self.torsion(name).rad2deg() for name in self._named_torsions()}
        return pandas.DataFrame({name: values.numpy(force=True) for name, values in columns.items()})

    def _named_torsions(self) -> list[str]:
        return [] if self.system is None else list(self.system.torsions)

    def _molecule(self) -> Molecule:
        if self.system is None:
            raise ValueError(
                "these samples carry no molecule, so torsions, basins and topology are unknown; set `system` "
                "when making WeightedSamples"
            )
        return self.system
