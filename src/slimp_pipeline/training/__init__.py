"""Training: batches of patients, the loop, and checkpoints."""
