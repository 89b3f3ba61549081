"""The exact rewrites of published ONNX graphs that libs/prepare.py applies.

They fold the dequantised weights, make batch, height and width dynamic, take pixels as they are (uint8, RGB,
height x width x 3) and replace what onnxruntime cannot fuse by something equal that it can. "Exact" means up
to float32 rounding; tests/unit/libs/test_prepare.py holds them to that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = dict[str, NDArray[np.float32]]
"""The initialisers of a graph by name."""

_YUNET_HEADS = ("cls", "obj", "bbox", "kps")  # 1 + 1 + 4 + 10 channels
_YUNET_LEVELS = (0, 1, 2)  # strides 8, 16 and 32


def folded(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], Weights]:
    """Returns the nodes of `graph` that need its input, and all weights, also those made of weights alone.

    A `DequantizeLinear` becomes `(q - zero_point) * scale`, one scale a block; a `Reshape` of it is done here
    too.
    """
    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            weights[node.output[0]] = _dequantised(node, weights)
        elif node.op_type == "Reshape" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]].reshape(weights[node.input[1]])
        else:
            nodes.append(node)
    return nodes, weights


def _dequantised(node: onnx.NodeProto, weights: Weights) -> NDArray[np.float32]:
    quantised, scale, zero_point = (weights[name] for name in node.input)
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    block, axis = attributes.get("block_size", 0), attributes.get("axis", 1)
    if block:
        length = quantised.shape[axis]
        scale = np.repeat(scale, block, axis).take(range(length), axis)
        zero_point = np.repeat(zero_point, block, axis).take(range(length), axis)
    return (quantised.astype(np.float32) - zero_point.astype(np.float32)) * scale


class GraphWriter:
    """Collects nodes and weights and becomes a model that takes `pixels`: uint8 RGB (N, height, width, 3)."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: Weights = {}

    def add(self, op_type: str, inputs: list[str], output: str, **attributes: int | list[int]) -> str:
        """Returns `output` after adding the node that computes it."""
        # the four before the attributes are name, doc string, domain and overload
        self.nodes.append(helper.make_node(op_type, inputs, [output], None, None, None, None, **attributes))
        return output

    def weight(self, name: str, value: NDArray[np.generic]) -> str:
        """Returns `name` after keeping `value` (float64 becomes float32) under it."""
        kept = value.astype(np.float32) if value.dtype == np.float64 else value
        self.weights[name] = np.ascontiguousarray(kept)
        return name

    def planes(self) -> str:
        """Returns the name of the input as float32 (N, 3, height, width), still RGB and 0-255."""
        planar = self.add("Transpose", ["pixels"], "planar", perm=[0, 3, 1, 2])
        return self.add("Cast", [planar], "planes", to=TensorProto.FLOAT)

    def model(self, outputs: dict[str, list[str | int]], size: tuple[str | int, str | int]) -> onnx.ModelProto:
        """Returns the model; `outputs` gives each output's shape, `size` the input's height and width."""
        pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", *size, 3])
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
        used = {name for node in self.nodes for name in node.input}
        kept = [numpy_helper.from_array(value, name) for name, value in self.weights.items() if name in used]
        graph = helper.make_graph(self.nodes, "prepared", [pixels], infos, kept)
        # 8 and 17 are the oldest IR version and operator set that hold every operator used here
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def rewrite_yunet(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns YuNet with two outputs: `scores` (N, anchors) and `regression` (N, 14, anchors).

    Anchors run over strides 8, 16, 32, each row by row. `scores` is sqrt(cls * obj); the 14 rows are the box
    (dx, dy, log w, log h) and five landmarks (dx, dy), in strides. The twelve small heads of a level are
    computed as one convolution of 16 channels.
    """
    nodes, weights = folded(model.graph)
    writer = GraphWriter()
    writer.weights = weights
    head_inputs = _copy_trunk(writer, nodes)
    for level in _YUNET_LEVELS:
        _merge_heads(writer, level, head_inputs)
    joined = writer.add("Concat", [f"anchors_{level}" for level in _YUNET_LEVELS], "anchors", axis=2)
    _yunet_outputs(writer, joined)
    return writer.model(
        {"scores": ["batch", "anchors_n"], "regression": ["batch", 14, "anchors_n"]}, ("height", "width")
    )


def _copy_trunk(writer: GraphWriter, nodes: list[onnx.NodeProto]) -> dict[str, str]:
    """Returns what each convolution of the heads reads, by weight name, after copying all before them."""
    renamed, head_inputs = {"input": writer.planes()}, {}
    for node in nodes:
        name = node.input[1] if len(node.input) > 1 else ""
        if name.startswith("bbox_head"):
            head_inputs[name] = node.input[0]
        elif node.op_type in {"Conv", "Relu", "MaxPool", "Resize", "Add"}:
            if node.input[0] == "input":  # the network was trained on BGR; our images are RGB
                renamed[name] = writer.weight("first_weight", writer.weights[name][:, ::-1])
            kept = onnx.NodeProto()
            kept.CopyFrom(node)
            kept.input[:] = [renamed.get(item, item) for item in node.input]
            writer.nodes.append(kept)
    return head_inputs


def _merge_heads(writer: GraphWriter, level: int, head_inputs: dict[str, str]) -> None:
    """Adds one 16-channel head for the four of `level`, in the order of `_YUNET_HEADS`."""
    names = {}
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            found = [
                _named(writer.weights, f"bbox_head.multi_level_{head}.{level}.{conv}.{part}") for head in _YUNET_HEADS
            ]
            names[conv, part] = writer.weight(f"head_{level}_{conv}_{part}", np.concatenate(found))
    source = next(value for name, value in head_inputs.items() if f"_cls.{level}.conv1" in name)
    mixed = writer.add("Conv", [source, names["conv1", "weight"], names["conv1", "bias"]], f"mixed_{level}")
    deep = [mixed, names["conv2", "weight"], names["conv2", "bias"]]
    head = writer.add("Conv", deep, f"head_{level}", group=16, pads=[1, 1, 1, 1])
    shape = writer.weight("head_shape", np.array([0, 16, -1], np.int64))
    writer.add("Reshape", [head, shape], f"anchors_{level}")


def _named(weights: Weights, name: str) -> NDArray[np.float32]:
    """Returns the weight `name` in its final form, whichever of them the file holds."""
    return next(weights[name + end] for end in ("_reshaped", "_dequantized", "") if name + end in weights)


def _yunet_outputs(writer: GraphWriter, joined: str) -> None:
    sizes = writer.weight("output_sizes", np.array([1, 1, 14], np.int64))
    writer.nodes.append(helper.make_node("Split", [joined, sizes], ["cls", "obj", "regression"], axis=1))
    for part in ("cls", "obj"):
        writer.add("Sigmoid", [part], f"{part}_probability")
    squared = writer.add("Mul", ["cls_probability", "obj_probability"], "squared_scores")
    root = writer.add("Sqrt", [squared], "scores_row")
    axis = writer.weight("row_axis", np.array([1], np.int64))
    writer.add("Squeeze", [root, axis], "scores")


def rewrite_sface(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns SFace with one output, `template` (N, 128), not normalised; its input is 112 x 112.

    Batch normalisation is folded into the layer before it. Each PReLU becomes what onnxruntime fuses: with
    the layer before it scaled so that x' = |1 - a| x, per channel, `prelu(x) = s (relu(x') + x' a / (1 -
    a))`, where s, the sign of 1 - a, goes into the weights of the layer after it. The product is a depth-wise
    1 x 1 convolution and onnxruntime makes the sum part of it. (The textbook form, relu(x) (1 - a) + x a,
    needs two of them.)
    """
    nodes, weights = folded(model.graph)
    writer = GraphWriter()
    centred = writer.add("Sub", [writer.planes(), writer.weight("centre", weights["scalar_op1"])], "centred")
    chain = _Chain(writer, centred, np.full(3, weights["scalar_op2"][0], np.float64))
    for node in nodes:
        chain.take(node, weights)
    chain.flush("template")
    return writer.model({"template": ["batch", 128]}, (112, 112))


class _Chain:
    """Rewrites a straight chain of layers.

    `_scale` and `_shift` are what the input channels of the next linear layer are still to be treated with.
    """

    def __init__(self, writer: GraphWriter, source: str, scale: NDArray[np.float64]) -> None:
        self._writer, self._source, self._scale = writer, source, scale
        self._shift = np.zeros_like(scale)
        self._linear: onnx.NodeProto | None = None
        self._weight = self._bias = np.zeros(0)

    def take(self, node: onnx.NodeProto, weights: Weights) -> None:
        """Adds what `node` does to the chain; a layer is written only when the one after it is known."""
        if node.op_type in {"Conv", "Gemm"}:
            self._start_layer(node, weights)
        elif node.op_type == "BatchNormalization":
            self._normalise(node, [weights[name].astype(np.float64) for name in node.input[1:]])
        elif node.op_type == "PRelu":
            self._activate(weights[node.input[1]].astype(np.float64).ravel())

    def _start_layer(self, node: onnx.NodeProto, weights: Weights) -> None:
        weight = weights[node.input[1]].astype(np.float64)
        bias = weights[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(len(weight))
        if node.op_type == "Gemm":
            repeats = weight.shape[1] // len(self._scale)  # the pixels of one channel lie together
            bias = bias + weight @ np.repeat(self._shift, repeats)
            weight = weight * np.repeat(self._scale, repeats)
        elif weight.shape[1] == 1:
            weight = weight * self._scale[:, None, None, None]
        else:
            weight = weight * self._scale[None, :, None, None]
        self._linear, self._weight, self._bias = node, weight, bias
        self._scale, self._shift = np.ones(len(weight)), np.zeros(len(weight))

    def _normalise(self, node: onnx.NodeProto, parameters: list[NDArray[np.float64]]) -> None:
        gamma, beta, mean, variance = parameters
        epsilon = next(item.f for item in node.attribute if item.name == "epsilon")
        factor = gamma / np.sqrt(variance + epsilon)
        if self._linear is None:  # after an activation: it is owed to the next layer
            self._scale, self._shift = self._scale * factor, beta - mean * factor
        else:
            self._weight = self._weight * factor.reshape(-1, *[1] * (self._weight.ndim - 1))
            self._bias = self._bias * factor + beta - mean * factor

    def _activate(self, slope: NDArray[np.float64]) -> None:
        gap = 1 - slope
        self._weight, self._bias = self._weight * np.abs(gap)[:, None, None, None], self._bias * np.abs(gap)
        layer = self.flush(f"layer_{len(self._writer.nodes)}")
        ratio = self._writer.weight(f"{layer}_slope", (slope / gap)[:, None, None, None])
        positive = self._writer.add("Relu", [layer], f"{layer}_positive")
        sloped = self._writer.add("Conv", [layer, ratio], f"{layer}_sloped", group=len(slope))
        self._source = self._writer.add("Add", [sloped, positive], f"{layer}_active")
        self._scale, self._shift = np.sign(gap), np.zeros_like(gap)

    def flush(self, output: str) -> str:
        """Returns `output` after writing the layer in hand under that name."""
        if self._linear is None:
            raise ValueError("no layer in hand")
        inputs = [self._source, self._writer.weight(f"{output}_weight", self._weight)]
        inputs.append(self._writer.weight(f"{output}_bias", self._bias))
        if self._linear.op_type == "Gemm":
            inputs[0] = self._writer.add("Flatten", [self._source], "flat")
            self._writer.add("Gemm", inputs, output, transB=1)
        else:
            kept = {item.name: helper.get_attribute_value(item) for item in self._linear.attribute}
            self._writer.add("Conv", inputs, output, **kept)
        self._linear, self._source = None, output
        return output


def drop_stray_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model, untouched but for the list of inputs, from which all but the first are gone.

    The published SFace lists every weight as an input, which OpenCV 5 refuses. For comparisons with OpenCV.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.input[1:]
    return result


REWRITES: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "yunet": rewrite_yunet,
    "sface": rewrite_sface,
    "opencv": drop_stray_inputs,
}
"""The rewrites a catalogue entry can name."""


def rewrite_file(source: Path, rewrite: str) -> bytes:
    """Returns the ONNX file `source` after the rewrite of that name."""
    content: bytes = rewritten(onnx.load(source), rewrite).SerializeToString(deterministic=True)
    return content


def rewritten(model: onnx.ModelProto, rewrite: str) -> onnx.ModelProto:
    """Returns a new model equal to `model` after the rewrite of that name, checked by onnx's own checker."""
    result = REWRITES[rewrite](model)
    onnx.checker.check_model(result)
    return result
