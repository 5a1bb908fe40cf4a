"""Training: labels, and TRL trainers on them."""
