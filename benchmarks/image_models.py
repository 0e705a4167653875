"""What `images.py` trains: Glow over normal and over factorised resampled bases, with classes or without."""

import math
from collections.abc import Sequence

import torch
from glow import ClassAffine, Glow, Pixels
from torch import Tensor, nn

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import MonteCarlo
from boltzgen.flow.conditional_resampled import ConditionalResampled
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import Product, StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.transform import Chain

#: By name: whether the base is resampled, and whether it has classes.
BASES = {
    "normal": (False, False),
    "resampled": (True, False),
    "normal, by class": (False, True),
    "resampled, by class": (True, True),
}
PROPOSALS = 512


class ImageModel(nn.Module):
    """A class-conditional density of images, p(x | c), or p(x) where its base has no classes.

    Every channel of every level's latents is a factor of the base. With classes each channel is scaled and
    moved by numbers of the class, and where it is resampled each class has acceptances of its own.

    Args:
        base: one of `BASES`.
        shape: of an image.
        n_classes: of labels.
        levels: see `Glow`; so `steps` and `width`.
    """

    def __init__(
        self, base: str, shape: Sequence[int], n_classes: int, *, levels: int, steps: int, width: int
    ) -> None:
        super().__init__()
        resampled, by_class = BASES[base]
        self.n_classes = n_classes if by_class else 1
        self.glow = Glow(shape, levels, steps, width)
        affine = [ClassAffine(n_classes, self.glow.latents)] if by_class else []
        self.transform = Chain([*affine, self.glow, Pixels()])
        self.levels = nn.ModuleList(
            self._resampled(*latent) if resampled else StandardNormal(math.prod(latent))
            for latent in self.glow.latents
        )

    def _resampled(self, channels: int, height: int, width: int) -> ConditionalResampled:
        size, k = height * width, self.n_classes * channels
        return ConditionalResampled(
            StandardNormal(size),
            Acceptance(size, hidden=(32, 32), waves=1, start=0.9, n_out=k),
            self.n_classes,
            n_factors=channels,
            rate=MonteCarlo(PROPOSALS, n_out=k),
        )

    def given(self, label: Tensor) -> Flow:
        """The density of images of these classes, any labels where there are no classes."""
        label = label if self.n_classes > 1 else torch.zeros_like(label)
        parts: list[Distribution] = [
            level.given(label) if isinstance(level, ConditionalResampled) else level  # type: ignore[misc]
            for level in self.levels
        ]
        return Flow(Product(parts), self.transform)

    def log_prob(self, x: Tensor, label: Tensor) -> Tensor:
        """log p(x | c) (n,) of images x (n, C H W), intensities in 0 ... 1."""
        return self.given(label).log_prob(x, label)

    def log_prob_of_classes(self, x: Tensor) -> Tensor:
        """log p(x | c) of every class, (n, n_classes); one column where there are none."""
        return torch.stack([self.log_prob(x, torch.full((len(x),), c)) for c in range(self.n_classes)], dim=1)

    @torch.no_grad()
    def sample(self, label: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Images (n, C H W) of classes (n,)."""
        x, _, _ = self.given(label).draw(label.shape, generator=generator, context=label)
        return x.clamp(0, 1)
