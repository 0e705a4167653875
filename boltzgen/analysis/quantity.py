"""Quantities by their texts, where analyses look for them; `samples.quantity` has them."""

from boltzgen.samples.quantity import Quantity, check_finite, quantity

__all__ = ["Quantity", "check_finite", "quantity"]
