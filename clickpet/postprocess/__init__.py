"""From raw to final lesion masks."""
