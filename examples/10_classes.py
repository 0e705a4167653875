"""Small images by class: one flow, and a base that is resampled for each class and block of coordinates.

    pip install scikit-learn
    python examples/10_classes.py [--quick]

The images are handwritten digits, 8 x 8. Writes classes.png: samples, a row for each class. `--quick` only
shows the mechanics, on made images of bars, and needs no scikit-learn. RealNVP is a poor flow for images; for
a multiscale Glow over the same base see benchmarks/images.py.
"""

import argparse

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import MonteCarlo
from boltzgen.flow.conditional_resampled import ConditionalResampled
from boltzgen.flow.coupling import real_nvp
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.likelihood import Likelihood
from boltzgen.flow.resampling import update_rates
from boltzgen.training.early_stopping import EarlyStopping
from boltzgen.training.fit import fit
from boltzgen.training.likelihood_objective import LikelihoodObjective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.schedule import cosine


def bars() -> tuple[np.ndarray, np.ndarray]:
    """Lying and standing bars."""
    rng = np.random.default_rng(0)
    label, x = np.arange(400) % 2, np.zeros((400, 8, 8))
    for image, standing, place in zip(x, label, rng.integers(0, 8, 400), strict=True):
        image[(slice(None), place) if standing else (place, slice(None))] = 16
    return x.reshape(400, 64), label


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    steps, every = (6, 3) if quick else (3000, 100)

    torch.manual_seed(0)
    if quick:
        pixels, classes = bars()
    else:
        from sklearn.datasets import load_digits

        pixels, classes = load_digits(return_X_y=True)
    # Levels 0 ... 16 get noise of a level's width: there is no density otherwise.
    x = (torch.tensor(pixels, dtype=torch.float32) + torch.rand(pixels.shape)) / 17 * 4 - 2
    order = torch.randperm(len(x))
    x, label = x[order], torch.tensor(classes)[order]
    n_classes, n_test = int(label.max()) + 1, len(x) // 10

    # 16 blocks of 4 coordinates; each has an acceptance of its own for each class.
    acceptance = Acceptance(4, start=0.9, n_out=16 * n_classes)
    rate = MonteCarlo(2048, n_out=16 * n_classes)
    base = ConditionalResampled(StandardNormal(4), acceptance, n_classes, n_factors=16, rate=rate)
    transform = real_nvp(64, 8, hidden=(64, 64))
    model = nn.ModuleList([base, transform])

    def log_prob(rows: Tensor) -> Tensor:
        return Flow(base.given(label[rows]), transform).log_prob(x[rows])

    test, validation, train = torch.arange(len(x)).split([n_test, n_test, len(x) - 2 * n_test])

    @torch.no_grad()
    def held_out() -> float:
        update_rates(model, 20_000)
        return -float(log_prob(validation).mean())

    stopping = EarlyStopping(model, held_out, every=every, patience=5)
    objective = LikelihoodObjective(model, lambda: log_prob(train[torch.randint(len(train), (256,))]))
    fit(objective, MatrixOptimizer(model, learning_rate=2e-3), cosine(steps), stopping.steps(steps))
    model.load_state_dict(stopping.state)
    update_rates(model, 200_000)
    with torch.no_grad():
        print(f"log-likelihood of the test images {Likelihood.of(log_prob(test), model)}")
        each = base.of_draws(base.log_acceptance_rate())
        print(f"log Z = {', '.join(f'{value:.2f}' for value in each.tolist())} of the classes, all blocks")
        wanted = torch.arange(n_classes).repeat_interleave(10)
        drawn = Flow(base.given(wanted), transform).sample((10 * n_classes,))

    figure = Figure(figsize=(5, 0.5 * n_classes), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    picture = drawn.reshape(n_classes, 10, 8, 8).transpose(1, 2).reshape(8 * n_classes, 80)
    axes.imshow(picture.numpy(), cmap="gray", vmin=-2, vmax=2)
    axes.set(xticks=[], yticks=[])
    figure.savefig("classes.png", dpi=150)


if __name__ == "__main__":
    main()
