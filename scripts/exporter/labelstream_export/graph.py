"""Makes a traced module independent of the device that it was traced on, and checks that it is.

A tracer writes the device of every tensor that the model's code makes into the graph, as a constant
``cpu``; on a GPU such a module fails. The constants are replaced by the device of an input; a table
that is a constant itself is moved to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from labelstream_export.errors import ExportError


def graphs(module: torch.jit.ScriptModule) -> Iterator[tuple[str, torch.Graph]]:
    """Each method's graph, of the module and all modules inside it, by dotted name.

    Args:
        module: traced or scripted, or loaded from a file.
    """
    for name, part in module.named_modules():
        script = getattr(part, "_c", None)
        if script is None:
            continue
        for method in script._method_names():
            yield f"{name}.{method}".lstrip("."), script._get_method(method).graph


def free_devices(module: torch.jit.ScriptModule) -> int:
    """Replaces device constants by the device of the method's first tensor, in place, and moves
    constant tables to it.

    Returns:
        How many there were. One that stands in a method without a tensor is left alone:
        ``check_devices`` refuses it.
    """
    replaced = 0
    for _, graph in graphs(module):
        tensors = [value for value in graph.inputs() if value.type().kind() == "TensorType"]
        devices = [node for node in _constants(graph) if _is_device(node)]
        tables = [node for node in _constants(graph) if _is_table(node)]
        if not (devices or tables) or not tensors:
            continue
        device = graph.create("prim::device", [tensors[0]], 1)
        device.output().setType(torch._C.DeviceObjType.get())
        graph.prependNode(device)
        for constant in devices:
            constant.output().replaceAllUsesWith(device.output())
            constant.destroy()
        for constant in tables:
            _move(graph, constant, device)
        graph.lint()
        replaced += len(devices) + len(tables)
    return replaced


def _move(graph: torch.Graph, constant: torch.Node, device: torch.Node) -> None:
    """Lets everything use ``constant.to(device=device)`` in place of the constant."""
    # dtype, layout, device, pin_memory, non_blocking, copy, memory_format
    options = [graph.insertConstant(value) for value in (None, None, None, False, False, None)]
    for option in options:
        option.node().moveBefore(constant)
    options.insert(2, device.output())
    moved = graph.create("aten::to", [constant.output(), *options], 1)
    constant.output().replaceAllUsesWith(moved.output())
    moved.replaceInput(0, constant.output())
    moved.insertAfter(constant)


def check_devices(module: torch.jit.ScriptModule) -> None:
    """Checks that nothing in the module is bound to the CPU.

    Raises:
        ExportError: a device constant is left, or a tensor constant of one dimension or more (a
            scalar may meet a GPU's tensors, a larger one may not).
    """
    for name, graph in graphs(module):
        for node in _constants(graph):
            if _is_device(node):
                what = f'the device constant "{node.s("value")}"'
            elif _is_table(node) and not _is_moved(node):
                what = f"a tensor constant of shape {list(node.t('value').shape)}"
            else:
                continue
            raise ExportError(
                f"the traced method {name} holds {what}, and would fail on a GPU: give a "
                "checkpoint of another architecture"
            )


def _constants(graph: torch.Graph) -> list[torch.Node]:
    found = graph.findAllNodes("prim::Constant", recurse=True)
    return [node for node in found if node.hasAttribute("value")]


def _is_device(node: torch.Node) -> bool:
    return node.output().type().kind() == "DeviceObjType"


def _is_table(node: torch.Node) -> bool:
    return node.kindOf("value") == "t" and node.t("value").dim() > 0


def _is_moved(node: torch.Node) -> bool:
    """Whether nothing uses the constant but what moves it to the device of an input."""
    users = [use.user for use in node.output().uses()]
    return all(
        user.kind() == "aten::to"
        and any(value.node().kind() == "prim::device" for value in user.inputs())
        for user in users
    )
