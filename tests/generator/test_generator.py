"""The generator: densities of its samples, chunking, checkpoints and their refusals."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy import CountedEnergy, ForceFieldEnergy
from boltzgen.flow.acceptance_rate import Quadrature
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.generator.architecture import molecular_flow
from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.storage import read_tensors, write_atomically, write_tensors


@pytest.fixture(scope="module")
def generator(system: System) -> BoltzmannGenerator:
    return BoltzmannGenerator.for_system(system, ForceFieldEnergy(system), seed=1, temperature=1200.0)


def test_samples_carry_the_density_of_their_positions(system: System, generator: BoltzmannGenerator) -> None:
    samples = generator.sample(500, ForceFieldEnergy(system, 1200.0))
    moved = samples.x.double() + 0.7
    torch.testing.assert_close(generator.log_prob(moved).double().detach(), samples.log_q, atol=5e-3, rtol=0)
    torch.testing.assert_close(samples.log_w, -samples.u - samples.log_q, atol=1e-9, rtol=0)


def test_density_is_zero_outside_the_domain(system: System, generator: BoltzmannGenerator) -> None:
    x = generator.sample(100, ForceFieldEnergy(system, 1200.0)).x
    assert torch.isfinite(generator.log_prob(x)).all()
    mirrored = x * torch.tensor([1.0, 1.0, -1.0])
    assert (generator.log_prob(mirrored) == -math.inf).all()


def test_untrained_is_a_useful_harmonic_start(system: System, generator: BoltzmannGenerator) -> None:
    """Uniform torsions and Hessian scales: at 1200 K the untrained flow already has an efficiency of some per
    cent.
    """
    samples = generator.sample(20_000, ForceFieldEnergy(system, 1200.0), seed=2)
    assert samples.sampling_efficiency > 0.01
    assert float((samples.log_w == -math.inf).double().mean()) < 0.01


@pytest.mark.parametrize("chunk_size", [1, 3 * BLOCK, 10**6])
def test_samples_do_not_depend_on_chunks(
    system: System, generator: BoltzmannGenerator, chunk_size: int
) -> None:
    energy = CountedEnergy(ForceFieldEnergy(system))
    n = 2 * BLOCK + 100
    whole = generator.sample(n, energy, seed=3)
    assert energy.n_evaluations == 3 * BLOCK
    chunks = list(generator.sample_chunks(n, energy, seed=3, chunk_size=chunk_size))
    joined = WeightedSamples.concatenate(chunks)
    assert torch.equal(joined.x, whole.x)
    assert torch.equal(joined.log_w, whole.log_w)
    assert torch.equal(generator.sample(150, energy, seed=3).log_w, whole.log_w[:150])
    assert not torch.equal(generator.sample(150, energy, seed=4).log_w, whole.log_w[:150])
    with pytest.raises(ValueError, match="positive number"):
        next(generator.sample_chunks(0, energy))
    with pytest.raises(ValueError, match="`start` >= 0, got 5 and -1"):
        next(generator.sample_chunks(5, energy, start=-1))


def test_draws_from_a_number_on_are_those_of_the_whole(system: System, generator: BoltzmannGenerator) -> None:
    energy = ForceFieldEnergy(system)
    n = 2 * BLOCK + 100
    whole = generator.sample(n, energy, seed=3)
    for start in (1, BLOCK, 2 * BLOCK + 99):
        rest = WeightedSamples.concatenate(
            list(generator.sample_chunks(n, energy, seed=3, start=start, chunk_size=BLOCK))
        )
        assert torch.equal(rest.x, whole.x[start:])
        assert torch.equal(rest.log_w, whole.log_w[start:])
    assert [len(list(generator.sample_chunks(n, energy, start=k))) for k in (n, n + 1)] == [0, 0]


def test_the_digest_is_that_of_the_parameters(generator: BoltzmannGenerator) -> None:
    digest = generator.digest
    assert generator.digest == digest
    parameter = next(generator.flow.parameters())
    with torch.no_grad():
        parameter.flatten()[0] += 1e-3
    assert generator.digest != digest
    with torch.no_grad():
        parameter.flatten()[0] -= 1e-3


def test_samples_do_not_depend_on_threads_by_powers_of_two(generator: BoltzmannGenerator) -> None:
    """With three, PyTorch's activations round otherwise at the ends of threads' shares: docs/files.md."""
    before, draws = torch.get_num_threads(), []
    try:
        for n in (1, 2, 4):
            torch.set_num_threads(n)
            draws.append(generator.sample(BLOCK, seed=3))
    finally:
        torch.set_num_threads(before)
    for found in draws[1:]:
        assert torch.equal(found.x, draws[0].x)
        assert torch.equal(found.log_w, draws[0].log_w)


def test_acceptance_rates_are_computed_once(generator: BoltzmannGenerator) -> None:
    energy = ForceFieldEnergy(generator.system)
    with patch.object(Quadrature, "forward", autospec=True, side_effect=Quadrature.forward) as computed:
        list(generator.sample_chunks(3 * BLOCK, energy, chunk_size=BLOCK))
    assert computed.call_count == sum(isinstance(m, Quadrature) for m in generator.flow.modules())


def test_checkpoint_round_trip(system: System, generator: BoltzmannGenerator, tmp_path: Path) -> None:
    generator.save(tmp_path / "checkpoint.safetensors")
    metadata, _ = read_tensors(tmp_path / "checkpoint.safetensors")
    assert metadata["seed"] == 1
    assert metadata["temperature"] == 1200.0
    assert metadata["domain"] == system.domain.model_dump()
    loaded = BoltzmannGenerator.load(tmp_path, system)
    energy = ForceFieldEnergy(system)
    assert torch.equal(loaded.sample(100, energy).log_w, generator.sample(100, energy).log_w)


def test_a_generator_of_format_3(tmp_path: Path) -> None:
    """The shipped one draws with its own masks, and goes on to do so when it is saved and loaded again."""
    system = System.load("alanine_dipeptide")
    assert system.folder is not None
    assert read_tensors(system.folder / CHECKPOINT)[0]["format"] == 3
    old = BoltzmannGenerator.load("alanine_dipeptide")
    options = {
        "masks": "three bits",
        "covariance": "whole",
        "broad_torsions": 0.0,
        "broad_stiff": 0.0,
        "stiff_width": 256,
    }
    assert old.options == options
    old.save(tmp_path / CHECKPOINT)
    metadata, _ = read_tensors(tmp_path / CHECKPOINT)
    assert metadata["format"] == 7
    assert metadata["options"] == options
    new = BoltzmannGenerator.load(tmp_path, system)
    found, expected = new.sample(100), old.sample(100)
    assert torch.equal(found.x, expected.x)
    assert torch.equal(found.log_q, expected.log_q)
    # With other masks the same parameters are another flow, or none.
    del metadata["options"]["masks"]
    tensors = load_file(tmp_path / CHECKPOINT)
    save_file(tensors, tmp_path / CHECKPOINT, metadata={"boltzgen": json.dumps(metadata)})
    with pytest.raises(ValueError, match="not a checkpoint of 'alanine_dipeptide'"):
        BoltzmannGenerator.load(tmp_path, system)


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (4, {"stiff_width": 256, "broad_torsions": 0.0, "broad_stiff": 0.0}),
        (5, {"stiff_width": 256}),
        (6, {}),
    ],
)
def test_a_generator_of_formats_4_to_6(
    version: int, options: dict[str, Any], system: System, tmp_path: Path
) -> None:
    """The first had no broad components; two had wider networks; all had other triangular layers."""
    energy = ForceFieldEnergy(system)
    old = BoltzmannGenerator.for_system(system, energy, covariance="whole", **options)
    old.save(tmp_path / CHECKPOINT)
    metadata, _ = read_tensors(tmp_path / CHECKPOINT)
    metadata |= {"format": version, "options": {}}
    save_file(
        load_file(tmp_path / CHECKPOINT), tmp_path / CHECKPOINT, metadata={"boltzgen": json.dumps(metadata)}
    )
    found, expected = BoltzmannGenerator.load(tmp_path, system).sample(50, energy), old.sample(50, energy)
    assert torch.equal(found.x, expected.x)
    assert torch.equal(found.log_q, expected.log_q)


@pytest.mark.parametrize(
    ("name", "shares"),
    [("alanine_dipeptide", []), ("alanine_tripeptide", [0.04, 0.02]), ("alanine_hexapeptide", [0.05, 0.02])],
)
def test_broad_components_where_there_are_more_than_two_torsions(name: str, shares: list[float]) -> None:
    flow = molecular_flow(MolecularCoordinates(System.load(name)))
    assert [m.share for m in flow.modules() if isinstance(m, DefensiveMixture)] == shares


def test_energies_are_those_of_training_by_default(generator: BoltzmannGenerator) -> None:
    energy = ForceFieldEnergy(generator.system, 1200.0)
    assert torch.equal(generator.sample(50).log_w, generator.sample(50, energy).log_w)


def test_checkpoint_of_another_system_is_refused(
    system: System, generator: BoltzmannGenerator, tmp_path: Path
) -> None:
    generator.save(tmp_path / "checkpoint.safetensors")
    assert system.folder is not None
    other = System.from_pdb(system.folder / "topology.pdb", ["amber96.xml"])
    with pytest.raises(ValueError, match="trained for another system"):
        BoltzmannGenerator.load(tmp_path, other)


def test_broken_checkpoints_are_refused(
    system: System, generator: BoltzmannGenerator, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint.safetensors"
    generator.save(file)
    whole = file.read_bytes()
    for broken in (b"", b"nonsense", whole[:1000], whole[:-1000]):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match="not a whole boltzgen checkpoint"):
            BoltzmannGenerator.load(file, system)
    file.write_bytes(whole)
    tensors = load_file(file)
    save_file(tensors, file)  # without our metadata
    with pytest.raises(ValueError, match="not a whole boltzgen checkpoint"):
        BoltzmannGenerator.load(file, system)
    file.write_bytes(whole)
    metadata, tensors = read_tensors(file)
    metadata["format"] = 99
    save_file(tensors, file, metadata={"boltzgen": json.dumps(metadata)})
    with pytest.raises(ValueError, match="format 99"):
        BoltzmannGenerator.load(file, system)
    with pytest.raises(FileNotFoundError, match="train a generator of 'alanine_dipeptide' first"):
        BoltzmannGenerator.load(tmp_path / "none", system)
    with pytest.raises(FileNotFoundError, match="has no folder"):
        BoltzmannGenerator.load(None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"torsion_layers": 10**9}}, "expected 0 to 16 layers as `torsion_layers`"),
        ({"options": {"stiff_layers": 40}}, "expected 0 to 16 layers as `stiff_layers`"),
        ({"options": {"stiff_layers": -1}}, "options.stiff_layers"),
        ({"options": {"stiff_width": 10**9}}, "expected 1 to 1024 units as `stiff_width`"),
        ({"options": {"stiff_width": -1}}, "options.stiff_width"),
        ({"options": {"torsion_layers": 2.5}}, "options.torsion_layers"),
        ({"options": {"torsion_layers": 2}}, "is not a checkpoint of 'alanine_dipeptide'"),
        ({"options": {"resampled": "no"}}, "options.resampled"),
        ({"options": {"masks": "none"}}, "options.masks"),
        ({"options": {"broad_stiff": float("nan")}}, "options.broad_stiff"),
        ({"options": {"broad_torsions": 1.0}}, "options.broad_torsions"),
        ({"options": {"precision": [[1.0]]}}, "options.precision"),
        ({"options": [1, 2]}, "options"),
        ({"temperature": float("nan")}, "positive number of kelvin"),
        ({"temperature": -300.0}, "positive number of kelvin"),
        ({"temperature": "warm"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": None}, "temperature"),
        ({"seed": "first"}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"system": "../../x"}, "expected a name"),
        ({"system_fingerprint": 3}, "system_fingerprint"),
        ({"system_fingerprint": "other"}, "was trained for another system"),
        ({"format": [5]}, "checkpoint format"),
        ({"format": None}, "checkpoint format None"),
    ],
)
def test_hostile_metadata_are_refused_at_once(
    system: System, generator: BoltzmannGenerator, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = tmp_path / CHECKPOINT
    generator.save(file)
    metadata, tensors = read_tensors(file)
    write_tensors(file, metadata | changes, tensors)
    with pytest.raises(ValueError, match=message):
        BoltzmannGenerator.load(file, system)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:-1], "coordinates"),
        (lambda t: t * math.nan, "NaN or infinite"),
        (lambda t: -t, "positive scales"),
        (lambda t: t.reshape(1, -1), "positive scales"),
        (lambda t: None, "coordinates.scale"),
    ],
)
def test_hostile_tensors_are_refused(
    system: System,
    generator: BoltzmannGenerator,
    tmp_path: Path,
    change: Callable[[Tensor], Tensor | None],
    message: str,
) -> None:
    file = tmp_path / CHECKPOINT
    generator.save(file)
    metadata, tensors = read_tensors(file)
    changed = change(tensors.pop("coordinates.scale"))
    write_tensors(file, metadata, tensors | ({} if changed is None else {"coordinates.scale": changed}))
    with pytest.raises(ValueError, match=message):
        BoltzmannGenerator.load(file, system)


def test_no_changed_byte_of_a_checkpoint_is_loaded(
    system: System, generator: BoltzmannGenerator, tmp_path: Path
) -> None:
    file = tmp_path / CHECKPOINT
    generator.save(file)
    whole = file.read_bytes()
    draws = random.Random(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [draws.randrange(header) for _ in range(30)]
    places += [draws.randrange(header, len(whole)) for _ in range(10)]
    for at in places:
        changed = bytearray(whole)
        changed[at] ^= 1 << draws.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(ValueError, match=CHECKPOINT):
            read_tensors(file)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
