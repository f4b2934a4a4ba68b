"""Turns Hugging Face checkpoints into Labelstream model folders."""

__version__ = "0.1.0"
