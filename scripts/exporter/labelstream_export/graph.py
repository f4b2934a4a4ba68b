"""Makes a traced module independent of the device that it was traced on, and checks that it is.

A tracer writes the device of every tensor that the model's code makes into the graph, as a constant
``cpu``; on a GPU such a module fails. The constants are replaced by the device of an input.
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
    """Replaces device constants by the device of the method's first tensor, in place.

    Returns:
        How many there were. One that stands in a method without a tensor is left alone:
        ``check_devices`` refuses it.
    """
    replaced = 0
    for _, graph in graphs(module):
        tensors = [value for value in graph.inputs() if value.type().kind() == "TensorType"]
        constants = [node for node in _constants(graph) if _is_device(node)]
        if not constants or not tensors:
            continue
        device = graph.create("prim::device", [tensors[0]], 1)
        device.output().setType(torch._C.DeviceObjType.get())
        graph.prependNode(device)
        for constant in constants:
            constant.output().replaceAllUsesWith(device.output())
            constant.destroy()
        graph.lint()
        replaced += len(constants)
    return replaced


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
            elif node.kindOf("value") == "t" and node.t("value").dim() > 0:
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
