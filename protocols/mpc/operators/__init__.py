"""What algorithms compute with: operators on shares, written once on ``engine.Engine``, so that every engine has them.

Numbers are fixed point with ``engine.frac_bits`` fraction bits (12 to 20 where an operator divides, exponentiates or
takes roots); nothing is opened by any operator. What needs no more than one method of the engine is called there: ``truncate``,
``less``, ``msb``, ``a2b``, ``b2a``, ``and_bits``, ``sigmoid``. docs/protocols.md, "Operators", has the table of costs and errors.
"""

from hansa.protocols.mpc.operators.arithmetic import inner, integer_product, matmul, mul, product, square
from hansa.protocols.mpc.operators.bits import (
    b2a_planes,
    bits_to_ring,
    equal,
    inject,
    mux,
    not_bits,
    or_bits,
    prefix_or,
)
from hansa.protocols.mpc.operators.division import divide, divide_positive, reciprocal
from hansa.protocols.mpc.operators.exponential import exp, log, softmax
from hansa.protocols.mpc.operators.extremes import argmax, maximum, minimum, top_k
from hansa.protocols.mpc.operators.randomness import random_bits, uniform
from hansa.protocols.mpc.operators.ranking import Ranked, auc, ks, rank
from hansa.protocols.mpc.operators.roots import rsqrt, sqrt
from hansa.protocols.mpc.operators.sorting import permute, shuffle, sort

__all__ = [
    "Ranked",
    "argmax",
    "auc",
    "b2a_planes",
    "bits_to_ring",
    "divide",
    "divide_positive",
    "equal",
    "exp",
    "inject",
    "inner",
    "integer_product",
    "ks",
    "log",
    "matmul",
    "maximum",
    "minimum",
    "mul",
    "mux",
    "not_bits",
    "or_bits",
    "permute",
    "prefix_or",
    "product",
    "random_bits",
    "rank",
    "reciprocal",
    "rsqrt",
    "shuffle",
    "softmax",
    "sort",
    "sqrt",
    "square",
    "top_k",
    "uniform",
]
