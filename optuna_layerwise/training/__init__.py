"""The one fine-tuning loop."""
