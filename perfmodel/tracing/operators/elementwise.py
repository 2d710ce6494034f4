"""Elementwise arithmetic, and activation functions."""

from __future__ import annotations

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.tracing.operators.table import per_result, table
from perfmodel.vocabulary import families as f

# A scale (alpha) of add and sub is not counted.
table(
    per_result,
    f.ELEMENTWISE,
    (
        (
            1,
            "add sub subtract rsub neg negative abs absolute "
            "sign sgn square sqrt rsqrt reciprocal pow float_power exp exp2 expm1 log log2 log10 "
            "log1p sin cos tan asin acos atan sinh cosh asinh acosh atanh arctan atan2 arctan2 erf "
            "erfc erfinv lgamma digamma floor ceil round trunc fix frac minimum maximum fmin fmax "
            "clamp_min clamp_max fmod copysign heaviside eq ne lt le gt ge not_equal less "
            "less_equal greater greater_equal logical_not logical_and logical_or logical_xor "
            "bitwise_not bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
            "bitwise_right_shift __and__ __or__ __xor__ __lshift__ __rshift__ __iand__ __ior__ "
            "__ixor__ isnan isinf isfinite isposinf isneginf where masked_fill diff "
            "polar complex angle conj_physical bernoulli ldexp rad2deg deg2rad nextafter signbit "
            "addr positive i0 igamma igammac polygamma mvlgamma lcm gcd special_bessel_j0 "
            "special_bessel_j1 special_bessel_y0 special_bessel_y1 special_i0e special_i1 "
            "special_i1e special_erfcx special_ndtri special_log_ndtr special_zeta "
            "special_modified_bessel_i0 special_modified_bessel_i1 special_modified_bessel_k0 "
            "special_modified_bessel_k1 special_scaled_modified_bessel_k0 "
            "special_scaled_modified_bessel_k1 special_spherical_bessel_j0 special_airy_ai",
        ),
        (
            2,
            "clamp clip floor_divide remainder addcdiv addcmul xlogy dropout feature_dropout "
            "alpha_dropout native_dropout special_entr special_xlog1py",
        ),
        (3, "lerp nan_to_num hypot logaddexp2 isclose sinc"),
        (4, "logaddexp logit"),
    ),
)
table(
    per_result,
    f.ACTIVATION,
    (
        (1, "relu threshold tanh"),
        (2, "relu6 leaky_relu prelu _prelu_kernel rrelu rrelu_with_noise hardtanh hardshrink"),
        (3, "softshrink celu elu"),
        (4, "sigmoid log_sigmoid log_sigmoid_forward hardsigmoid softplus selu"),
        (5, "silu hardswish mish glu"),
    ),
)


@register(
    *(
        f"aten.{name}"
        for name in ("mul", "multiply", "div", "divide", "true_divide", "outer", "ger")
    )
)
def _multiply(call: Call) -> Cost:
    """One operation; of complex numbers four products and two sums."""
    return Cost(f.ELEMENTWISE, vector_ops=(6 if call.complex else 1) * call.result_numel)


@register("aten.gelu")
def _gelu(call: Call) -> Cost:
    """0.5 x (1 + erf(x / sqrt 2)), or the tanh approximation with its cubic argument."""
    ops = 9 if call.get("approximate") == "tanh" else 5
    return Cost(f.ACTIVATION, vector_ops=ops * call.result_numel)
