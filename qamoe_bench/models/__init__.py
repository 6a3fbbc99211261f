"""The reference QA-MoE and its variant; reached through entry points only."""
