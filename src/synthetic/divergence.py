"""What both descents check and how both end: step counts and sizes, and a loss that leaves the finite numbers."""

from math import inf


class DivergenceError(ArithmeticError):
    """The loss left the finite numbers. `trajectory` holds what was recorded up to there."""

    def __init__(self, message: str, trajectory: object) -> None:
        super().__init__(message)
        self.trajectory = trajectory

    def arrays(self) -> dict[str, object]:
        """The trajectory, by name."""
        return vars(self.trajectory)


def divergence_message(loss: float, step: int, lr_value: float, lr_attention: float) -> str:
    return (
        f"the loss became {loss} at step {step} with lr_value = {lr_value:g} and lr_attention = {lr_attention:g}; "
        "smaller steps are needed, a third of each is a good try"
    )


def check_descent(
    steps: int, lr_value: float, lr_attention: float, record_every: int = 1, max_move: float = inf
) -> None:
    """Raise ValueError for step counts below 1, negative step sizes, and a cap on moves that is not positive."""
    for name, count in (("steps", steps), ("record_every", record_every)):
        if count < 1:
            raise ValueError(f"{name} = {count}: an integer >= 1 is needed; the nearest: 1")
    for name, rate in (("lr_value", lr_value), ("lr_attention", lr_attention)):
        if not rate >= 0:
            raise ValueError(f"{name} = {rate}: a step size >= 0 is needed; the nearest: 0.0")
    if not max_move > 0:
        raise ValueError(f"max_move = {max_move}: a number above 0 is needed; inf for no cap")
