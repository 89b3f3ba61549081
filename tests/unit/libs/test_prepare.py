import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from libs.errors import UserError
from libs.inference import Session, SessionSettings
from libs.prepare import prepare, prepared_path
from libs.rewrites import folded, rewritten

CPU = SessionSettings(device="cpu")


def only_folded(model, tmp_path):
    """The published model with nothing done but the weights folded, as the truth to compare with."""
    nodes, weights = folded(model.graph)
    for node in nodes:
        if node.op_type == "Reshape":  # published for a batch of one
            weights[node.input[1]] = np.array([0, *weights[node.input[1]][1:]], np.int64)
    used = {name for node in nodes for name in node.input}
    (source,) = [item.name for item in model.graph.input if item.name in {"input", "data"}]
    graph = helper.make_graph(
        nodes,
        "folded",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info(item.name, TensorProto.FLOAT, None) for item in model.graph.output],
        [numpy_helper.from_array(value, name) for name, value in weights.items() if name in used],
    )
    path = tmp_path / "folded.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]), path)
    names = [item.name for item in model.graph.output]
    return lambda planes: dict(zip(names, Session(path, CPU).run({source: planes}), strict=True))


def pixels(shape):
    return np.random.default_rng(7).integers(0, 256, (*shape, 3), np.uint8)


def planes(images, channels=slice(None)):
    return np.ascontiguousarray(images[..., channels].transpose(0, 3, 1, 2), dtype=np.float32)


def test_a_block_of_weights_is_folded_with_its_own_scale_and_zero_point():
    quantised = np.arange(-6, 6, dtype=np.int8).reshape(2, 6)
    scale = np.float32([[0.5, 2.0], [1.0, 0.25]])
    zero_point = np.int8([[0, 1], [-2, 3]])
    node = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=1, block_size=4)
    weights = [numpy_helper.from_array(*item) for item in ((quantised, "q"), (scale, "s"), (zero_point, "z"))]
    nodes, found = folded(helper.make_graph([node], "one", [], [], weights))
    expected = [[-3, -2.5, -2, -1.5, -6, -4], [2, 3, 4, 5, 0.25, 0.5]]
    assert nodes == []
    np.testing.assert_array_equal(found["w"], np.float32(expected))


def test_the_prepared_embedder_answers_what_the_published_one_does(assets, tmp_path):
    chips = pixels((3, 112, 112))
    truth = only_folded(onnx.load(assets.path("sface-2021dec")), tmp_path)(planes(chips))["fc1"]
    (found,) = Session(prepared_path(assets, "sface-2021dec"), CPU).run({"pixels": chips})
    np.testing.assert_allclose(found, truth, atol=2e-5 * np.abs(truth).max())


def test_the_prepared_detector_answers_what_the_published_one_does(assets, tmp_path):
    images = pixels((2, 96, 160))
    truth = only_folded(onnx.load(assets.path("yunet-2023mar")), tmp_path)(planes(images, slice(None, None, -1)))
    scores, regression = Session(prepared_path(assets, "yunet-2023mar"), CPU).run({"pixels": images})
    for stride, start, stop in ((8, 0, 240), (16, 240, 300), (32, 300, 315)):
        squared = (truth[f"cls_{stride}"] * truth[f"obj_{stride}"])[..., 0]
        np.testing.assert_allclose(scores[:, start:stop] ** 2, squared, atol=1e-6)
        expected = np.concatenate([truth[f"bbox_{stride}"], truth[f"kps_{stride}"]], axis=2)
        np.testing.assert_allclose(regression[:, :, start:stop].swapaxes(1, 2), expected, atol=1e-4)


@pytest.fixture
def published(assets):
    return assets.path("yunet-2023mar")


def test_a_model_is_prepared_once(published, tmp_path):
    first = prepare(published, "yunet", tmp_path)
    made = first.stat().st_mtime_ns
    assert prepare(published, "yunet", tmp_path) == first
    assert first.stat().st_mtime_ns == made
    assert list(tmp_path.iterdir()) == [first]


def test_a_damaged_prepared_model_is_noticed_and_made_anew(published, tmp_path):
    path = prepare(published, "yunet", tmp_path)
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert prepare(published, "yunet", tmp_path).read_bytes() == sound


def test_preparing_is_repeatable_byte_for_byte(published):
    model = onnx.load(published)
    first, second = (rewritten(model, "yunet").SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_a_cache_that_cannot_be_written_names_the_setting(published, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="WATCHLINE_CACHE"):
        prepare(published, "yunet", tmp_path / "file" / "prepared")
