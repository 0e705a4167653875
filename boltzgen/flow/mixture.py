"""Mixtures of distributions with fixed shares."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.distribution import Distribution, context_for


class DefensiveMixture(Distribution):
    """q(z) = (1 - s) a(z) + s b(z): a flexible density a, and a share s of a broad one b.

    Nowhere is q below s b, so that an importance weight p/q is at most p/b/s, whatever a does there
    (Hesterberg, Technometrics 37, 185, 1995; Owen and Zhou, J. Am. Stat. Assoc. 95, 135, 2000). The share is
    no parameter. Draws are stratified: of n draws, n s come from b, up to rounding at random, in random
    places.

    Args:
        main: a; it and b may take a context.
        broad: b, of the same event shape.
        share: s, between 0 and 1.

    Raises:
        ValueError: the event shapes differ, or `share` is not between 0 and 1.
    """

    takes_context = True

    def __init__(self, main: Distribution, broad: Distribution, share: float) -> None:
        super().__init__()
        if main.event_shape != broad.event_shape:
            raise ValueError(
                f"expected two densities of one event shape, got {tuple(main.event_shape)} and "
                f"{tuple(broad.event_shape)}"
            )
        if not 0 < share < 1:
            raise ValueError(f"expected a `share` between 0 and 1, got {share}")
        self.components = nn.ModuleList((main, broad))
        self.share = share
        self.event_shape, self.has_rsample = main.event_shape, main.has_rsample and broad.has_rsample

    @property
    def main(self) -> Distribution:
        """a."""
        return self.components[0]  # type: ignore[return-value]

    @property
    def broad(self) -> Distribution:
        """b."""
        return self.components[1]  # type: ignore[return-value]

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        of_main, of_broad = (c.log_prob(z, **context_for(c, context)) for c in (self.main, self.broad))
        return self._mixed(of_main, of_broad)

    def log_prob_by_main(self, z: Tensor, of_broad: Tensor) -> Tensor:
        """`log_prob` of z, without a context, given log b(z)."""
        return self._mixed(self.main.log_prob(z), of_broad)

    @override
    def draw(
        self,
        shape: Sequence[int] = (),
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, log_prob, surrogate = self._stratified(shape, generator, context, with_score=False)
        return z, log_prob, surrogate

    @override
    def draw_with_score(
        self,
        shape: Sequence[int] = (),
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z, log_prob, surrogate, score = self._stratified(shape, generator, context, with_score=True)
        return z, log_prob, surrogate, score

    @override
    def frozen(self) -> "DefensiveMixture":
        return DefensiveMixture(self.main.frozen(), self.broad.frozen(), self.share)

    def _stratified(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None,
        context: Tensor | None,
        *,
        with_score: bool,
    ) -> list[Tensor]:
        n = math.prod(shape)
        flat = None if context is None else context.reshape(n, -1)
        device = next((p.device for p in self.parameters()), None)
        chance = torch.rand((), generator=generator, device=device, dtype=torch.float64)
        n_broad = int(n * self.share + float(chance))
        places = torch.randperm(n, generator=generator, device=device)
        found = []
        for which, where in ((self.main, places[n_broad:]), (self.broad, places[:n_broad])):
            if n > 0 and len(where) == 0:
                continue
            rows = None if flat is None else flat[where]
            size = (len(where),)
            if with_score:
                z, own, *more = which.draw_with_score(size, generator=generator, context=rows)
            else:
                z, own, *more = which.draw(size, generator=generator, **context_for(which, rows))
            other = self.broad if which is self.main else self.main
            if with_score:
                others, score = other.log_prob_and_score(z, rows)
            else:
                others = other.log_prob(z, **context_for(other, rows))
            log_prob = self._mixed(own, others) if which is self.main else self._mixed(others, own)
            if with_score:
                share = 1 - self.share if which is self.main else self.share
                part = share * (own - log_prob).detach().exp().unsqueeze(-1)
                more[-1] = part * more[-1] + (1 - part) * score
            found.append((z, log_prob, *more))
        back = places.roll(-n_broad).argsort()
        joined = [torch.cat(parts)[back] for parts in zip(*found, strict=True)]
        return [part.reshape(*shape, *part.shape[1:]) for part in joined]

    def _mixed(self, of_main: Tensor, of_broad: Tensor) -> Tensor:
        return torch.logaddexp(math.log1p(-self.share) + of_main, math.log(self.share) + of_broad)
