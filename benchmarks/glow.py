"""A small multiscale Glow (Kingma and Dhariwal 2018, arXiv:1807.03039), for `images.py`.

A transform as the package's are: latent -> image, no state that changes by itself; of labels, which it is
given as a context, it sees nothing but where `ClassAffine` says so.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from boltzgen.flow.transform import Transform

#: A channel of a latent image is one block of a factorised base, at most this high and wide.
BLOCK = 8


class Mixing(nn.Module):
    """Channels z = W x + b, W = P L U: Glow's activation normalisation and 1 x 1 convolution as one."""

    order: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels)).Q
        p, lower, upper = torch.lu_unpack(*torch.linalg.lu_factor(rotation))
        self.register_buffer("order", p)
        self.register_buffer("sign", upper.diag().sign())
        self.lower, self.upper = nn.Parameter(lower), nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(upper.diag().abs().log())
        self.log_scale, self.shift = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def initialise(self, x: Tensor) -> None:
        """Channels of mean 0 and standard deviation 1 for these images."""
        with torch.no_grad():
            z = self.encode(x)[0].transpose(0, 1).flatten(1)
            self.log_scale -= (z.std(1) + 1e-3).log()
            self.shift.copy_((self.shift - z.mean(1)) / (z.std(1) + 1e-3))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        weight = self.log_scale.exp().unsqueeze(1) * (self.order @ lower @ upper)
        z = functional.conv2d(x, weight[..., None, None]) + self.shift[:, None, None]
        return z, (self.log_scale + self.log_diagonal).sum() * x[0, 0].numel()

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        flat = ((z - self.shift[:, None, None]) * (-self.log_scale).exp()[:, None, None]).flatten(2)
        inner = torch.linalg.solve_triangular(lower, self.order.T @ flat, upper=False, unitriangular=True)
        x = torch.linalg.solve_triangular(upper, inner, upper=True)
        return x.view_as(z), -(self.log_scale + self.log_diagonal).sum() * z[0, 0].numel()

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.lower.tril(-1) + torch.eye(len(self.lower)).to(self.lower)
        return lower, self.upper.triu(1) + (self.sign * self.log_diagonal.exp()).diag()


class Coupling(nn.Module):
    """The second half of the channels moves, z = (x + t) exp(s), by a convolutional network of the first."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.moved = channels // 2
        last = nn.Conv2d(width, 2 * self.moved, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.net = nn.Sequential(
            nn.Conv2d(channels - self.moved, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            last,
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = x.split([x.shape[1] - self.moved, self.moved], dim=1)
        shift, log_scale = self._moves(kept)
        return torch.cat((kept, (moved + shift) * log_scale.exp()), dim=1), log_scale.flatten(1).sum(1)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = z.split([z.shape[1] - self.moved, self.moved], dim=1)
        shift, log_scale = self._moves(kept)
        return torch.cat((kept, moved * (-log_scale).exp() - shift), dim=1), -log_scale.flatten(1).sum(1)

    def _moves(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.net(kept).chunk(2, dim=1)
        return shift, 2 * torch.tanh(raw / 2)


class Glow(Transform):
    """Levels of: squeeze 2 x 2 pixels into channels, some steps, and half of the channels are latents.

    Images (..., C H W) and latents (..., C H W) are flat. The latents are one level after the other, each
    channel by channel; a channel larger than `BLOCK` is squeezed into four.

    Args:
        shape: C, H and W of an image.
        levels: H and W are divisible by 2^levels.
        steps: couplings in each level.
        width: of their networks.

    Attributes:
        latents: (channels, height, width) of each level's.
    """

    def __init__(self, shape: Sequence[int], levels: int, steps: int, width: int) -> None:
        super().__init__()
        channels, height, wide = shape
        if height % 2**levels or wide % 2**levels:
            raise ValueError(f"expected height and width divisible by {2**levels}, got {height} and {wide}")
        self.shape = tuple(shape)
        self.latents: list[tuple[int, int, int]] = []
        self.squeezings: list[int] = []
        self.levels = nn.ModuleList()
        for level in range(levels):
            channels, height, wide = 4 * channels, height // 2, wide // 2
            layers = [(Mixing(channels), Coupling(channels, width)) for _ in range(steps)]
            self.levels.append(nn.ModuleList([layer for pair in layers for layer in pair]))
            out = channels if level == levels - 1 else channels // 2
            times = _squeezings(height, wide)
            self.squeezings.append(times)
            self.latents.append((out * 4**times, height // 2**times, wide // 2**times))
            channels -= out

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latents of images."""
        z, log_det = self._encode(x.reshape(-1, *self.shape), initialise=False)
        return z.reshape(x.shape), log_det.reshape(x.shape[:-1])

    def initialise(self, x: Tensor) -> None:
        """Make all channels normalised for these images (n, C H W), once before training."""
        with torch.no_grad():
            self._encode(x.reshape(-1, *self.shape), initialise=True)

    def _encode(self, image: Tensor, *, initialise: bool) -> tuple[Tensor, Tensor]:
        found, total = [], image.new_zeros(len(image))
        for level, shape, times in zip(self.levels, self.latents, self.squeezings, strict=True):
            image = functional.pixel_unshuffle(image, 2)
            for layer in level:  # type: ignore[union-attr]
                if initialise and isinstance(layer, Mixing):
                    layer.initialise(image)
                image, log_det = layer.encode(image)
                total = total + log_det
            out = math.prod(shape) // image[0, 0].numel()
            latent, image = image.split([out, image.shape[1] - out], dim=1)
            for _ in range(times):
                latent = functional.pixel_unshuffle(latent, 2)
            found.append(latent.flatten(1))
        return torch.cat(found, dim=1), total

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images of latents."""
        rows = z.reshape(-1, z.shape[-1])
        parts = rows.split([math.prod(shape) for shape in self.latents], dim=1)
        image, total = None, rows.new_zeros(len(rows))
        whole = list(zip(self.levels, parts, self.latents, self.squeezings, strict=True))
        for level, part, shape, times in reversed(whole):
            latent = part.reshape(-1, *shape)
            for _ in range(times):
                latent = functional.pixel_shuffle(latent, 2)
            image = latent if image is None else torch.cat((latent, image), dim=1)
            for layer in reversed(level):  # type: ignore[call-overload]
                image, log_det = layer.decode(image)
                total = total + log_det
            image = functional.pixel_shuffle(image, 2)
        assert image is not None
        return image.reshape(z.shape), total.reshape(z.shape[:-1])


def _squeezings(height: int, wide: int) -> int:
    """How many times a channel must be squeezed to be at most a block."""
    times = 0
    while max(height, wide) > BLOCK and height % 2 == wide % 2 == 0:
        times, height, wide = times + 1, height // 2, wide // 2
    return times


class ClassAffine(Transform):
    """Each latent channel scaled and moved by numbers of the class; the context is labels (...).

    Args:
        n_classes: of labels 0, 1, ...
        latents: see `Glow`.
    """

    channel: Tensor

    def __init__(self, n_classes: int, latents: Sequence[Sequence[int]]) -> None:
        super().__init__()
        sizes = torch.tensor([shape[1] * shape[2] for shape in latents for _ in range(shape[0])])
        self.register_buffer("channel", torch.arange(len(sizes)).repeat_interleave(sizes), persistent=False)
        self.shift = nn.Parameter(torch.zeros(n_classes, len(sizes)))
        self.log_scale = nn.Parameter(torch.zeros(n_classes, len(sizes)))

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scale, then move."""
        shift, log_scale = self._of(context)
        return z * log_scale.exp() + shift, log_scale.sum(-1)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Move back, then scale back."""
        shift, log_scale = self._of(context)
        return (x - shift) * (-log_scale).exp(), -log_scale.sum(-1)

    def _of(self, label: Tensor | None) -> tuple[Tensor, Tensor]:
        if label is None:
            raise ValueError("expected labels as the context, got none")
        return self.shift[label][..., self.channel], self.log_scale[label][..., self.channel]


class Pixels(Transform):
    """Intensities 0 < x < 1 of the whole line: x = (sigmoid(z) - margin) / (1 - 2 margin)."""

    def __init__(self, margin: float = 0.05) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A drawn x may lie outside 0 ... 1 by a few hundredths."""
        return (torch.sigmoid(z) - self.margin) / (1 - 2 * self.margin), self._log_det(z)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logit."""
        z = torch.logit(self.margin + (1 - 2 * self.margin) * x)
        return z, -self._log_det(z)

    def _log_det(self, z: Tensor) -> Tensor:
        each = functional.logsigmoid(z) + functional.logsigmoid(-z) - math.log(1 - 2 * self.margin)
        return each.sum(-1)
