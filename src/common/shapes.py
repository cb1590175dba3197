"""Shapes in signatures: jaxtyping's, or, on a machine that lacks it, plain tensors.

Records can be made without jaxtyping; the tests, which check shapes, need it.
"""

try:
    from jaxtyping import Bool, Float, Int, Int64, Shaped, UInt8
except ModuleNotFoundError:

    class Float:
        """`Float[Tensor, "…"]` is Tensor."""

        def __class_getitem__(cls, array_and_shape: tuple[type, str]) -> type:
            return array_and_shape[0]

    Bool = Int = Int64 = Shaped = UInt8 = Float

__all__ = ["Bool", "Float", "Int", "Int64", "Shaped", "UInt8"]
