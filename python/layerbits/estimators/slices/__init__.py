"""Slices: information of readouts A^T T by frames A, which the measurement samples or fits. Proofs: docs/theory.md.

fit_passes        signals of passes of their own, to which frames are fitted
principal_frames  the leading principal axes of signals
learnt_frames     frames that maximize an estimate of an information
known_frames      the problem with the frames of all slices
slice_estimates   the information of every random slice
frame_mean        the mean over random frames, with an interval that includes their sampling
slice_rows        symbols of the rows of slices, and notes on slices that theory rules out
"""

from layerbits.estimators.slices.known_frames import with_frames
from layerbits.estimators.slices.slice_estimates import random_slice_estimates
from layerbits.estimators.slices.slice_rows import with_slice_notes, with_symbols

__all__ = ["random_slice_estimates", "with_frames", "with_slice_notes", "with_symbols"]
