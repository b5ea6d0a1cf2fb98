"""Which layers of a pretrained network to fine-tune, and how fast."""
