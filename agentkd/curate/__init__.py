"""From trajectories to training rows."""
