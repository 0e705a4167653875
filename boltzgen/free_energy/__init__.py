"""Estimates with error bars from weighted samples: populations and free-energy differences."""
