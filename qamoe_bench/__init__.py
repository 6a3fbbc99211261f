"""A robustness benchmarking suite for multimodal sentiment analysis."""

__version__ = "0.1.0"
