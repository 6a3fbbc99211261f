"""The reference QA-MoE."""
