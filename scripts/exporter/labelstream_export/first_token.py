"""Of the last layer, only what is read of it.

A classifier of texts reads the first token behind the last layer and nothing else. So of that
layer's queries, products and sums only those of the first token are computed; only its keys and
values are of all tokens. What each operator gives for the first token stays what it was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from labelstream_export.errors import ExportError
from labelstream_export.verify import TOLERANCE, difference_of

# Give for each place of a tensor what is to be had from that place.
POINTWISE = {
    *("add", "sub", "mul", "div", "neg", "pow", "sqrt", "rsqrt", "clamp", "where", "masked_fill"),
    *("relu", "gelu", "silu", "mish", "tanh", "sigmoid", "hardtanh", "leaky_relu", "elu"),
    *("dropout", "to", "float", "type_as", "contiguous", "clone", "detach"),
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__"),
}
# Give along the last dimension what is to be had from it.
ALONG_THE_LAST = {"linear", "softmax", "log_softmax"}
RESHAPE = {"view", "reshape"}
PRODUCT = {"matmul", "__matmul__", "bmm"}
# May give back the very tensor that they take.
SAME = {"dropout", "to", "float", "type_as", "contiguous", "detach"}
# What is needed of a tensor where it is not the first of one dimension.
ALL = -1

Place = int | str  # of an argument, or its name


@dataclass(frozen=True)
class _Call:
    """A call of an operator, or of a layer that Python does not see into."""

    name: str
    inputs: Mapping[Place, Any]
    output: Any

    def tensors(self) -> dict[Place, Tensor]:
        """The tensors that it takes; no single numbers, as sizes are when a model is traced."""
        found: dict[Place, Tensor] = {}
        for place, value in self.inputs.items():
            if isinstance(value, (tuple, list)):
                found |= {f"{place}.{at}": one for at, one in enumerate(value)}
            else:
                found[place] = value
        return {
            place: one for place, one in found.items() if isinstance(one, Tensor) and one.dim() > 0
        }

    def needs(self, dimension: int) -> dict[Place, int] | None:
        """What it needs of the tensors that it takes so as to give the first of a dimension.

        Returns:
            The dimension of each tensor of which the first is enough, or ``ALL``; None where all of
            all is needed.
        """
        taken, output = self.tensors(), self.output
        name, last = self.name, output.dim() - 1
        if not all(place in self.inputs for place in taken):
            return None  # some are in a list
        if name in POINTWISE:
            return {place: _aligned(one, output, dimension) for place, one in taken.items()}
        if name in ALONG_THE_LAST and dimension < last:
            if "softmax" in name and self._option("dim", 1) not in (-1, last):
                return None
            return {place: dimension if place == 0 else ALL for place in taken}
        if name == "layer_norm" and dimension <= last - len(self._option("normalized_shape", 1)):
            return {place: dimension if place == 0 else ALL for place in taken}
        if name == "transpose":
            pair = [axis % output.dim() for axis in (self.inputs[1], self.inputs[2])]
            return {0: sum(pair) - dimension if dimension in pair else dimension}
        if name == "permute":
            axes = self.inputs[1]
            axes = (
                axes
                if isinstance(axes, (tuple, list))
                else [self.inputs[1 + at] for at in range(output.dim())]
            )
            return {0: axes[dimension] % output.dim()}
        if name in RESHAPE:
            return _before_reshape(self.inputs[0], output, dimension)
        if name in PRODUCT and dimension == last - 1:
            return {0: self.inputs[0].dim() - 2, 1: ALL}
        if name == "scaled_dot_product_attention" and dimension == 2 and not self._causal():
            return {
                place: _aligned(one, output, 2, matrix=True)
                if place in (3, "attn_mask")
                else (2 if place in (0, "query") else ALL)
                for place, one in taken.items()
            }
        return None

    def _option(self, name: str, place: int) -> Any:
        return self.inputs.get(name, self.inputs.get(place))

    def _causal(self) -> bool:
        return bool(self.inputs.get("is_causal", self.inputs.get(5, False)))

    def reads_first(self) -> bool:
        """Whether it takes the first of dimension 1 of its first argument, as ``x[:, 0]`` does."""
        if self.name == "select":
            return (self.inputs.get(1), self.inputs.get(2)) == (1, 0)
        index = self.inputs.get(1)
        return (
            self.name == "__getitem__"
            and isinstance(index, tuple)
            and len(index) >= 2
            and index[0] == slice(None)
            and index[1] is not None
            and type(index[1]) is int
            and index[1] == 0
            and all(one == slice(None) for one in index[2:])
        )


def _aligned(tensor: Tensor, output: Tensor, dimension: int, matrix: bool = False) -> int:
    """The dimension of a tensor that meets one of the output when it is broadcast; ``ALL`` where
    it has one place there for all.

    Args:
        matrix: its last two dimensions are queries and keys, not those of the output.
    """
    at = tensor.dim() - 2 if matrix else tensor.dim() - output.dim() + dimension
    if at < 0 or tensor.shape[at] == 1:
        return ALL
    return at


def _before_reshape(given: Tensor, output: Tensor, dimension: int) -> dict[Place, int] | None:
    """The dimension of which a reshaped one is made, where it is of that one alone."""
    for at in range(given.dim()):
        same = math.prod(given.shape[:at]) == math.prod(output.shape[:dimension])
        if same and given.shape[at] == output.shape[dimension]:
            return {0: at}
    return None


@dataclass(frozen=True)
class _Less:
    """How a call is made to give less.

    Attributes:
        dimension: of its output, of which it gives the first.
        needs: as ``_Call.needs``.
    """

    dimension: int
    needs: Mapping[Place, int]


class _Calls(TorchFunctionMode):
    """Sees each call that a model makes, to be used in a ``with``: before it is made, when its
    arguments may be changed, and after."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> _Calls:
        # A layer that is a script calls operators that no mode sees.
        for layer in self.model.modules():
            if isinstance(layer, torch.jit.ScriptModule):
                self.handles.append(
                    layer.register_forward_pre_hook(
                        lambda _, given: tuple(self.before("linear", given, {})[0])
                    )
                )
                self.handles.append(
                    layer.register_forward_hook(
                        lambda _, given, output: self.after("linear", given, {}, output)
                    )
                )
        super().__enter__()
        return self

    def __exit__(self, *why: Any) -> None:
        super().__exit__(*why)
        while self.handles:
            self.handles.pop().remove()

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        arguments, options = self.before(name, arguments, options or {})
        output = function(*arguments, **options)
        self.after(name, arguments, options, output)
        return output

    def before(self, name: str, arguments: Any, options: Any) -> tuple[Any, Any]:
        return arguments, options

    def after(self, name: str, arguments: Any, options: Any, output: Any) -> None:
        raise NotImplementedError


class Recorder(_Calls):
    """Keeps all calls; what they take and give is kept too, so that each has an id of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.calls: list[_Call] = []

    def after(self, name: str, arguments: Any, options: Any, output: Any) -> None:
        self.calls.append(_Call(name, {**dict(enumerate(arguments)), **options}, output))

    def readers(self) -> Counter[int]:
        """How many calls read each tensor, by its id."""
        found: Counter[int] = Counter()
        for call in self.calls:
            taken = {id(one) for one in call.tensors().values()}
            gives = isinstance(call.output, Tensor) or _holds_tensors(call.output)
            if gives and not (call.name in SAME and id(call.output) in taken):
                found.update(taken)
        return found

    def plan(self, result: Tensor) -> list[tuple[str, _Less | None]]:
        """What each call may leave out so that the result stays the same."""
        needed: dict[int, int] = {id(result): ALL}
        plan: list[tuple[str, _Less | None]] = []

        def need(tensor: Tensor, dimension: int) -> None:
            known = needed.setdefault(id(tensor), dimension)
            if known != dimension:
                needed[id(tensor)] = ALL

        for call in reversed(self.calls):
            less = None
            taken = call.tensors()
            if isinstance(call.output, Tensor):
                same = any(call.output is one for one in taken.values())
                if same and call.name in SAME:
                    taken = {}
                elif not same:
                    dimension = needed.get(id(call.output))
                    if dimension is None or call.name == "size":
                        taken = {}  # nobody reads it, or it tells of the shape alone
                    elif call.reads_first():
                        need(taken.pop(0), 1)
                    elif dimension != ALL:
                        needs = call.needs(dimension)
                        if needs is not None:
                            less = _Less(dimension, needs)
                            for place, one in taken.items():
                                need(one, needs.get(place, ALL))
                            taken = {}
            elif not _holds_tensors(call.output):
                taken = {}  # a size, or a type
            for one in taken.values():
                need(one, ALL)
            plan.append((call.name, less))
        return plan[::-1]


def _holds_tensors(output: Any) -> bool:
    sizes = isinstance(output, torch.Size)
    return isinstance(output, (tuple, list)) and not sizes and any(map(torch.is_tensor, output))


class _Replay(_Calls):
    """Makes the calls of a plan give no more than is needed."""

    def __init__(self, model: nn.Module, plan: Sequence[tuple[str, _Less | None]]) -> None:
        super().__init__(model)
        self.plan, self.at = plan, 0
        self.reduced: dict[int, tuple[Tensor, int]] = {}

    def before(self, name: str, arguments: Any, options: Any) -> tuple[Any, Any]:
        if self.at >= len(self.plan) or self.plan[self.at][0] != name:
            raise _OtherCallsError
        less = self.plan[self.at][1]
        if less is None:
            return arguments, options
        given: dict[Place, Any] = {**dict(enumerate(arguments)), **options}
        with torch._C.DisableTorchFunction():  # what is called here is no call of the model's
            for place, dimension in less.needs.items():
                if dimension != ALL and id(given[place]) not in self.reduced:
                    given[place] = given[place].narrow(dimension, 0, 1)
        if name in RESHAPE:
            _one_at(given, less.dimension)
        return [given[place] for place in range(len(arguments))], {
            key: given[key] for key in options
        }

    def after(self, name: str, arguments: Any, options: Any, output: Any) -> None:
        less = self.plan[self.at][1]
        self.at += 1
        if less is not None:
            self.reduced[id(output)] = (output, less.dimension)


def _one_at(given: dict[Place, Any], dimension: int) -> None:
    """Changes the sizes that ``view`` and ``reshape`` take: one place is left of a dimension."""
    where = "shape" if "shape" in given else 1
    if isinstance(given[where], (tuple, list)):
        sizes = list(given[where])
        sizes[dimension] = 1
        given[where] = sizes
    else:
        given[1 + dimension] = 1


class _OtherCallsError(Exception):
    """A model does not make the same calls each time."""


def first_token_only(
    encoder: nn.Module,
    examples: Sequence[Tensor],
    checks: Sequence[Sequence[Tensor]],
    trace: Callable[[nn.Module, Mapping[str, tuple[Tensor, ...]]], Callable[..., Tensor]],
    tolerance: float = TOLERANCE["fp32"],
) -> int:
    """Lets the ``forward`` of an encoder that reads the first token behind its last layer compute
    no other one there.

    Args:
        encoder: its attribute ``model`` is the model.
        examples: its arguments, of more than one token.
        checks: other arguments, for which it has to give what it gave.
        trace: traces methods of a module: a model may make other calls when it is traced.
        tolerance: for what it gives then, as ``difference_of`` has it.

    Returns:
        How many calls give less; 0 where the encoder is left as it is, because its model reads more
        than the first token, or does not allow it.
    """
    forward = encoder.forward
    plans: list[list[tuple[str, _Less | None]]] = []

    def record(*tensors: Tensor) -> Tensor:
        with Recorder(encoder.model) as recorder:
            result = forward(*tensors)
        plans.append(recorder.plan(result))
        return result

    def replay(*tensors: Tensor) -> Tensor:
        with _Replay(encoder.model, plans[-1]):
            return forward(*tensors)

    try:
        encoder.forward = record
        trace(encoder, {"forward": tuple(examples)})
        count = sum(less is not None for _, less in plans[-1])
        encoder.forward = replay
        if count:
            traced = trace(encoder, {"forward": tuple(examples)})
            with torch.inference_mode():
                differences = [difference_of(traced(*given), forward(*given)) for given in checks]
            if all(difference <= tolerance for difference in differences):
                return count
    except (ExportError, RuntimeError):
        pass  # some call needs more than it seems to
    del encoder.forward
    return 0
