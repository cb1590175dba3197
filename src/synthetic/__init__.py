"""The paper's theory: a distribution that hides a partition, and a one-layer ViT that finds it."""
