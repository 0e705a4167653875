"""What is written in a figure, and where."""

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def boxes(figure: Figure) -> dict[str, Bbox]:
    """Boxes, in pixels, of every text that is seen; by the text and a number."""
    figure.draw_without_rendering()
    # Ticks outside an axis's limits keep their texts, which are not drawn.
    ticked = {id(t) for axis in figure.findobj(Axis) for t in axis.findobj(Text)}
    seen = {
        id(label)
        for axis in figure.findobj(Axis)
        for tick in axis._update_ticks()
        for label in (tick.label1, tick.label2)
        if label.get_visible()
    } | {id(axis.label) for axis in figure.findobj(Axis)}
    found = [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and (id(text) not in ticked or id(text) in seen)
    ]
    return {f"{k}: {text.get_text()}": text.get_window_extent() for k, text in enumerate(found)}
