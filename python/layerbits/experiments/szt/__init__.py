"""Experiments on the data and the network of Shwartz-Ziv and Tishby (SZT)."""
