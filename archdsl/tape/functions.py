"""Functions of PyTorch on tensors without numbers: what they return, and what they keep for the backward."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from archdsl.tape.strides import Numbers, channels_last, contiguous, is_channels_last, pointwise
from archdsl.tape.tensor import Memory, Tensor, fresh, keep


def parameter(like: Tensor, *shape: int) -> Tensor:
    """A parameter of the module, on the tape of `like`."""
    return Tensor(shape, contiguous(shape), Memory(0, grows=False, weight=True), like.tape)


def zeros(like: Tensor, *shape: int, item: int = 4, grows: bool = False) -> Tensor:
    """Constants made in the forward: zeros, indices, masks; `item` bytes each."""
    return fresh(shape, like, item=item, gradient=False, grows=grows)


def unary(x: Tensor) -> Tensor:
    """A function of every number whose gradient is computed from what went in: gelu, silu, elu, softplus."""
    if x.gradient:
        keep(x)
    return _elements(x)


def relu(x: Tensor) -> Tensor:
    """Keeps what comes out."""
    return exp(x)


def exp(x: Tensor) -> Tensor:
    """Keeps what comes out."""
    y = _elements(x)
    if y.gradient:
        keep(y)
    return y


def scaled(x: Tensor) -> Tensor:
    """Every number plus, times or by a constant: a new tensor, nothing kept."""
    return _elements(x)


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b, broadcast; keeps nothing."""
    return _elements(a, b)


def mul(a: Tensor, b: Tensor) -> Tensor:
    """a * b, broadcast; keeps each where the other has a gradient."""
    if b.gradient:
        keep(a)
    if a.gradient:
        keep(b)
    return _elements(a, b)


def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b, broadcast; keeps b, and a where b has a gradient."""
    if a.gradient or b.gradient:
        keep(b)
    if b.gradient:
        keep(a)
    return _elements(a, b)


def where(condition: Tensor, a: Tensor) -> Tensor:
    """`a` where a condition of one byte each holds, else a constant; keeps the condition."""
    if a.gradient:
        keep(condition)
    shape = _broadcast((condition.shape, a.shape))
    return fresh(shape, condition, a)


def linear(x: Tensor, out: int, bias: bool = True) -> Tensor:
    """W x + b: keeps x, or the copy of it that the product of matrices needs."""
    given = x if len(x.shape) == 2 and bias else x.reshape(-1, x.shape[-1])
    keep(given)
    return fresh((*x.shape[:-1], out), x, gradient=True)


def conv2d(x: Tensor, out: int, kernel: tuple[int, int], stride: int = 1, padding: int = 0) -> Tensor:
    """A convolution of maps (B, C, H, W): keeps x; channels stay last in memory where they were."""
    keep(x)
    batch, _, *sides = x.shape
    places = [(n + 2 * padding - k) // stride + 1 for n, k in zip(sides, kernel, strict=True)]
    shape = (batch, out, *places)
    return fresh(shape, x, strides=_map_strides(x, shape), gradient=True)


def pad(x: Tensor, *more: int) -> Tensor:
    """Zeros around x, `more` along each dimension; keeps nothing."""
    if not any(more):
        return _elements(x)
    shape = tuple(n + m for n, m in zip(x.shape, more, strict=True))
    return fresh(shape, x, strides=_map_strides(x, shape) if len(shape) == 4 else None)


def layer_norm(x: Tensor) -> Tensor:
    """Keeps x, and mean and deviation of every token."""
    keep(x, zeros(x, *x.shape[:-1], grows=True), zeros(x, *x.shape[:-1], grows=True))
    return fresh(x.shape, x, gradient=True)


def rms_norm(x: Tensor) -> Tensor:
    """Keeps x, the root of every token, and x divided by it."""
    keep(x, zeros(x, *x.shape[:-1], grows=True), zeros(x, *x.shape, grows=True))
    return fresh(x.shape, x, gradient=True)


def batch_norm(x: Tensor) -> Tensor:
    """Of tokens (n, C): keeps x, and mean and deviation of every channel, however large the batch."""
    keep(x, zeros(x, x.shape[-1]), zeros(x, x.shape[-1]))
    return fresh(x.shape, x, gradient=True)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Products of matrices (..., n, k) and (..., k, m): keeps both, or copies with matrices side by side."""
    *before, n, k = a.shape
    m = b.shape[-1]
    count = prod(before)
    rows, columns = a.reshape(count, n, k), b.reshape(count, k, m)
    if b.gradient:
        keep(rows)
    if a.gradient:
        keep(columns)
    return fresh((*before, n, m), a, b)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of (B, heads, T, d).

    Keeps q, k, v, the result, the logarithm of every token's sum, and a mask as numbers; where the mask is
    learned, copies of q, k and v and all weights (B, heads, T, T).
    """
    batch, heads, tokens, _ = q.shape
    if mask is not None and mask.gradient:
        weights = matmul(scaled(q), scaled(k.transpose(2, 3)))
        weights = fresh(weights.shape, weights)
        keep(weights)
        return matmul(weights, v)
    y = _elements(q)
    keep(q, k, v, y, zeros(q, batch, heads, tokens, grows=True))
    if mask is not None:
        keep(zeros(q, *mask.shape, grows=mask.memory.grows))
    return y


def cat(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Tensors behind each other, copied; keeps nothing."""
    first = parts[0]
    dim %= len(first.shape)
    size = sum(p.shape[dim] for p in parts)
    return fresh((*first.shape[:dim], size, *first.shape[dim + 1 :]), *parts)


def stack(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Tensors along a new dimension, copied; keeps nothing."""
    return cat([p.unsqueeze(dim) for p in parts], dim)


def index_select(x: Tensor, tokens: int) -> Tensor:
    """Some tokens of (B, T, C) in another order, by indices that are a buffer."""
    return fresh((x.shape[0], tokens, x.shape[2]), x)


def moved(x: Tensor) -> Tensor:
    """The same numbers in other places (flip, roll): a copy, nothing kept."""
    return _elements(x)


def reduced(x: Tensor, *dims: int) -> Tensor:
    """Sum or mean along dimensions, which stay with size 1; keeps nothing."""
    dims = tuple(d % len(x.shape) for d in dims)
    return fresh(tuple(1 if d in dims else n for d, n in enumerate(x.shape)), x)


def amax(x: Tensor, dim: int) -> Tensor:
    """The greatest along a dimension, which stays with size 1: keeps x and the result."""
    y = reduced(x, dim)
    if x.gradient:
        keep(x, y)
    return y


def _elements(*operands: Tensor) -> Tensor:
    first = operands[0]
    if len(operands) == 1:
        return fresh(first.shape, first, strides=pointwise(first.shape, [(first.shape, first.strides)]))
    shape = _broadcast([v.shape for v in operands])
    return fresh(shape, *operands, strides=pointwise(shape, [(v.shape, v.strides) for v in operands]))


def _broadcast(shapes: Sequence[Numbers]) -> Numbers:
    if all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    count = max(map(len, shapes))
    aligned = [(1,) * (count - len(s)) + s for s in shapes]
    return tuple(max(sizes) for sizes in zip(*aligned, strict=True))


def _map_strides(x: Tensor, shape: Numbers) -> Numbers:
    return channels_last(shape) if is_channels_last(x.shape, x.strides) else contiguous(shape)
