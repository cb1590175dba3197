"""The paper's theory: a distribution that hides a partition, and a one-layer ViT that finds it."""

from src.common.lazy import lazy_names

HOMES = {  # what the package offers, and where it lives
    "Partition": "src.structure",
    "patch_association": "src.structure",
    "SpatialDistribution": "src.synthetic.distribution",
    "SpatialSample": "src.synthetic.distribution",
    "random_feature": "src.synthetic.distribution",
    "PositionalAttentionModel": "src.synthetic.model",
    "Trajectory": "src.synthetic.realistic",
    "gradient_descent": "src.synthetic.realistic",
    "IdealizedTrajectory": "src.synthetic.idealized",
    "idealized_descent": "src.synthetic.idealized",
    "TransferCurve": "src.synthetic.transfer",
    "transfer_curve": "src.synthetic.transfer",
    "fit_generalized_linear": "src.synthetic.baselines",
    "shortcut_model": "src.synthetic.baselines",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, HOMES)
